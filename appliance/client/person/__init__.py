"""A person's side, on their own machine: what `sally` keeps and how it signs in.

home        `~/.sally`: who is signed in where, keys and certificates, closed to others
trust       how a cluster's TLS authority is known before the first call: saved, pinned, confirmed
sign_in     the conversation that turns proofs into certificates
agent       key and certificate in the running ssh-agent, for as long as they live
ssh_config  the OpenSSH client's configuration for a cluster
"""
