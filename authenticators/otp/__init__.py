"""One-time passwords.

    hotp.py                RFC 4226, counter-based: look-ahead window, resynchronisation
    totp.py                RFC 6238, time-based: one step of skew either way
    yubico_otp.py          the 44 characters a YubiKey types, checked offline with the key's own AES secret
    yubico_validation.py   the same 44 characters, checked by a validation server whose answers are signed
    modhex.py              the alphabet of keys that type
    challenge_response.py  HMAC-SHA1 by a YubiKey slot, through python-yubico
    secrets.py             what HOTP and TOTP share: the secret, the number of digits, reading typed codes

A verifier keeps nothing. It takes what was last accepted, and returns what was accepted now; the caller
stores that with a compare-and-swap, and the proof counts only if the swap was won. That is what makes a
code good for once, also when two requests bring it at the same moment to two machines.

`OtpErrorCode.ALREADY_USED` is told apart from `WRONG_CODE`, because a person who sends a form twice is no
attacker: refuse it, and do not count it as a guess.
"""
