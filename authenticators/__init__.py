"""Authentication factors, real and virtual: a library that knows no bastion.

    otp/               one-time passwords: TOTP, HOTP, Yubico OTP, HMAC challenge-response
    fido2/             WebAuthn: the relying party, attestation, policy, FIDO metadata
    u2f/               the protocol before it, and the way out of it
    ssh_sk.py          what a signature of an OpenSSH security key says
    recovery_codes.py  codes on paper
    devices/           a person's own key on this machine
    virtual/           software authenticators, for tests, demos and CI
    errors.py          what can go wrong, as one family with a code for each rule
    secret.py          bytes that must not be seen
    ed25519.py         Ed25519 keys that are worth verifying against

Verifiers keep nothing and know no clock: what was last accepted, the time and randomness come in, what is
to be stored goes out, and the caller stores it by compare-and-swap. That makes each proof good for once, on
any number of machines.
"""
