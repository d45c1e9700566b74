"""Keys that stay where they are: a library that knows no bastion.

```
secret      Secret: prints `<secret>`
errors      the error family, drawn as a tree
algorithm   Ed25519, P-256, P-384, RSA-3072, RSA-4096, each with its one hash
naming      which labels and ids on a token are ours
encoding/   keys, signatures, SSH and X.509 certificates as bytes; pure
provider    KeyProvider and the optional abilities beside it
file        keys in an encrypted file        (software)
pkcs11      keys in a PKCS#11 token           (pkcs11_module, pkcs11_keys, profiles, uri)
piv         keys in a YubiKey's PIV applet    (over PC/SC)
registry    configuration → provider
sealing     how a PIN is released: k of n holders' keys, TPM, prompt
signer/     the process that alone may use a provider: typed requests, limits, ledger
```
Arrows run from the bottom of this list to its top. A provider is used by one process, the signer;
everything else speaks to that process through `hsm.signer.client`.
"""
