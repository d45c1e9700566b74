"""Certificates: what they shall say, and what a presented one is worth.

    templates  what each kind of certificate says, as frozen specifications for the signer
    lifetimes  how long a person's certificate may live
    presented  a certificate that a peer showed: parsed, its signature, kind, time and options judged

The signer builds and signs (it trusts nobody's bytes, ours included); nothing here holds a private key.
"""
