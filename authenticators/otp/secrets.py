"""What HOTP and TOTP share: the secret, the form of the codes, and how a typed code is read."""

from __future__ import annotations

import base64
import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from authenticators.errors import OtpError, OtpErrorCode
from authenticators.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET_BYTES: Final = 20
"""RFC 4226 §4, R6 recommends 160 bits; a shorter secret is refused."""

_LONGEST_SECRET: Final = 64
_DIGITS: Final = range(6, 9)
_SPACES: Final = str.maketrans("", "", " \u00a0")


class OtpHash(StrEnum):
    """The hash inside the HMAC, named as in the `otpauth:` URI."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"

    @property
    def constructor(self) -> Callable[..., Any]:
        """Return the `hashlib` constructor."""
        return _CONSTRUCTORS[self]


_CONSTRUCTORS: Final[dict[OtpHash, Callable[..., Any]]] = {
    OtpHash.SHA1: hashlib.sha1,
    OtpHash.SHA256: hashlib.sha256,
    OtpHash.SHA512: hashlib.sha512,
}


def new_secret(entropy: Callable[[int], bytes], *, size: int = SECRET_BYTES) -> Secret:
    """Make a secret of `size` bytes (at least 20) from `entropy`, a function like `secrets.token_bytes`."""
    secret = Secret(entropy(size))
    check_secret(secret)
    return secret


def check_secret(secret: Secret) -> None:
    """Refuse a secret shorter than 160 bits or longer than one hash block; raises WEAK_SECRET."""
    if not SECRET_BYTES <= len(secret) <= _LONGEST_SECRET:
        raise OtpError(OtpErrorCode.WEAK_SECRET, f"a secret has {SECRET_BYTES} to {_LONGEST_SECRET} bytes")


def check_digits(digits: int) -> None:
    """Refuse codes shorter than 6 (RFC 4226 §4, R4) or longer than 8 digits; raises BAD_PARAMETER."""
    if digits not in _DIGITS:
        raise OtpError(OtpErrorCode.BAD_PARAMETER, "a code has 6 to 8 digits")


def base32(secret: Secret) -> str:
    """Return the secret in unpadded base32, as apps and `pyotp` read it."""
    return base64.b32encode(secret.reveal()).decode().rstrip("=")


def read_code(typed: str, digits: int) -> str:
    """Return the ASCII digits of a typed code; spaces are ignored. Raises MALFORMED for anything else."""
    code = typed.translate(_SPACES)
    if len(code) != digits or not (code.isascii() and code.isdecimal()):
        raise OtpError(OtpErrorCode.MALFORMED, f"a code is {digits} digits")
    return code
