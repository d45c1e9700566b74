"""Passwords: argon2id (RFC 9106), and the same work for people who don't exist (threat M06)."""

from __future__ import annotations

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from appliance.domain.errors import Invalid

MAX_LENGTH = 128
"""Characters of the longest password; more would only feed a denial of service."""

_HASHER = PasswordHasher(
    time_cost=3, memory_cost=65536, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)
"""RFC 9106's second recommendation (64 MiB, 3 passes).

One lane, because a box of two cores serves others too.
"""


def hash_password(password: str, *, shortest: int, user: str) -> str:
    """Return the PHC string of a new password.

    Raises `Invalid` when it is too short, too long, or the name.
    """
    if not shortest <= len(password) <= MAX_LENGTH:
        raise Invalid(f"a password has {shortest} to {MAX_LENGTH} characters, this one has {len(password)}")
    if password.casefold() == user.casefold():
        raise Invalid("a password must differ from the user name")
    return _HASHER.hash(password)


class PasswordCheck:
    """Verifies passwords; holds the hash that stands in for people who don't exist."""

    def __init__(self, decoy: str) -> None:
        self._decoy = _HASHER.hash(decoy)

    def __call__(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one of `stored`; costs one derivation in every case."""
        candidate = password if len(password) <= MAX_LENGTH else ""
        try:
            return _HASHER.verify(stored or self._decoy, candidate) and stored is not None
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False
