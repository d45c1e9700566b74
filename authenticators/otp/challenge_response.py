"""HMAC-SHA1 challenge-response: a YubiKey slot as a keyed hash, and how its answer is checked.

The key is driven in `devices/yubikey.py`. A challenge has at most 63 bytes: in the slot's variable mode the
key strips repeated last bytes of a full 64-byte challenge, so its answer differs from plain HMAC there.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, Protocol

from authenticators.errors import OtpError, OtpErrorCode
from authenticators.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_CHALLENGE: Final = 63
SECRET_BYTES: Final = 20
RESPONSE_BYTES: Final = 20
_CHALLENGE_BYTES: Final = 32


class ChallengeResponder(Protocol):
    """Something that holds the secret and answers challenges: a key, or software."""

    def respond(self, challenge: bytes) -> Secret:
        """Return HMAC-SHA1(secret, challenge), 20 bytes."""


def check_challenge(challenge: bytes) -> bytes:
    """Return the challenge (1 to 63 bytes); raises `OtpError`: CHALLENGE_EMPTY, CHALLENGE_TOO_LONG."""
    if not challenge:
        raise OtpError(OtpErrorCode.CHALLENGE_EMPTY)
    if len(challenge) > LONGEST_CHALLENGE:
        raise OtpError(OtpErrorCode.CHALLENGE_TOO_LONG)
    return challenge


def new_challenge(entropy: Callable[[int], bytes]) -> bytes:
    """Return a challenge of 32 random bytes; it is good for one answer."""
    return entropy(_CHALLENGE_BYTES)


class SoftwareResponder:
    """The secret in memory: for verifying, for tests, and for a machine that has no key."""

    def __init__(self, secret: Secret) -> None:
        if len(secret) != SECRET_BYTES:
            raise OtpError(OtpErrorCode.WEAK_SECRET, "a slot's secret has 20 bytes")
        self._secret = secret

    def respond(self, challenge: bytes) -> Secret:
        """Return HMAC-SHA1(secret, challenge); raises `OtpError`: CHALLENGE_EMPTY, CHALLENGE_TOO_LONG."""
        return Secret(hmac.digest(self._secret.reveal(), check_challenge(challenge), hashlib.sha1))


def verify_response(secret: Secret, challenge: bytes, response: Secret) -> None:
    """Check an answer in constant time; raises `OtpError` with WRONG_RESPONSE.

    That the challenge is ours and fresh is the caller's to know: it is taken from its store once.
    """
    if SoftwareResponder(secret).respond(challenge) != response:
        raise OtpError(OtpErrorCode.WRONG_RESPONSE)
