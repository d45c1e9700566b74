"""Recovery codes: printed once, kept in a drawer, each good for one login without a key.

A code has 80 bits: 16 characters of Crockford's base32 (no I, L, O or U) in four groups, such as
`7QKM-2XZ9-D4TB-HW0R`. People copy it from paper, so reading forgives case, spaces, dashes, and the letters
that look like digits.

Stored is one salt a set and scrypt of each code (n = 2^14, r = 8: about 16 MiB and tens of milliseconds).
80 random bits need no slow hash against one attacker today, but a set lies in a drawer, and in old backups,
for years; scrypt adds some 15 bits against bulk hardware and costs a login one derivation, as the whole set
shares the salt.

A set is a value. `verify` returns the index that matched; the caller stores `stored.without(index)` with a
compare-and-swap, and lets the person in only if the swap was won: of two parallel uses, one wins.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

from authenticators.errors import RecoveryCodeError, RecoveryCodeErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CODES: Final = 10
"""How many codes a set has when nobody says otherwise."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_STANDARD: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD: Final = str.maketrans(_STANDARD, _ALPHABET)
_READ: Final = str.maketrans("ILO", "110", "- \t\u00a0\u2010\u2011\u2013")
_CODE_BYTES: Final = 10
_CHARACTERS: Final = 16
_GROUP: Final = 4
_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_MOST_CODES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodeSet:
    """What is stored of a set: the salt, a digest a code in printed order, and which are used."""

    salt: bytes
    digests: tuple[bytes, ...]
    used: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        indices_exist = self.used <= set(range(len(self.digests)))
        sizes = {len(digest) for digest in self.digests} == {_DIGEST_BYTES} and len(self.salt) == _SALT_BYTES
        if not (indices_exist and sizes and len(self.digests) <= _MOST_CODES):
            raise RecoveryCodeError(RecoveryCodeErrorCode.BAD_SET)

    @property
    def left(self) -> int:
        """How many codes are still good."""
        return len(self.digests) - len(self.used)

    def verify(self, typed: str) -> int:
        """Return the index (from 0) of the code that was typed.

        Raises `RecoveryCodeError`: MALFORMED, WRONG_CODE, or ALREADY_USED.
        """
        digest = _digest(read_code(typed), self.salt)
        # No early exit: the time taken must not tell which code matched.
        matched = [index for index, kept in enumerate(self.digests) if hmac.compare_digest(kept, digest)]
        if not matched:
            raise RecoveryCodeError(RecoveryCodeErrorCode.WRONG_CODE)
        if matched[0] in self.used:
            raise RecoveryCodeError(RecoveryCodeErrorCode.ALREADY_USED)
        return matched[0]

    def without(self, index: int) -> Self:
        """Return the set with the code of that index used up."""
        return replace(self, used=self.used | {index})

    def to_dict(self) -> dict[str, Any]:
        """Return the set as JSON-compatible values."""
        return {
            "salt": self.salt.hex(),
            "digests": [digest.hex() for digest in self.digests],
            "used": sorted(self.used),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the set that `to_dict` wrote; raises `RecoveryCodeError` with BAD_SET for anything else."""
        try:
            return cls(
                salt=bytes.fromhex(data["salt"]),
                digests=tuple(bytes.fromhex(digest) for digest in data["digests"]),
                used=frozenset(data["used"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecoveryCodeError(RecoveryCodeErrorCode.BAD_SET) from error


def generate(
    entropy: Callable[[int], bytes], *, count: int = CODES
) -> tuple[tuple[str, ...], RecoveryCodeSet]:
    """Make `count` codes (1 to 32): the texts to show once, and the set to store.

    `entropy` is a function like `secrets.token_bytes`.
    """
    if not 1 <= count <= _MOST_CODES:
        raise RecoveryCodeError(RecoveryCodeErrorCode.BAD_SET, f"a set has 1 to {_MOST_CODES} codes")
    salt = entropy(_SALT_BYTES)
    codes = tuple(entropy(_CODE_BYTES) for _ in range(count))
    stored = RecoveryCodeSet(salt=salt, digests=tuple(_digest(code, salt) for code in codes))
    return tuple(_text(code) for code in codes), stored


def read_code(typed: str) -> bytes:
    """Return the 10 bytes of a typed code; raises `RecoveryCodeError` with MALFORMED."""
    text = typed.strip().upper().translate(_READ)
    if len(text) != _CHARACTERS or not set(text) <= set(_ALPHABET):
        raise RecoveryCodeError(RecoveryCodeErrorCode.MALFORMED)
    try:
        return base64.b32decode(
            text.translate({ord(a): b for a, b in zip(_ALPHABET, _STANDARD, strict=True)})
        )
    except binascii.Error as error:
        raise RecoveryCodeError(RecoveryCodeErrorCode.MALFORMED) from error


def _text(code: bytes) -> str:
    text = base64.b32encode(code).decode().translate(_TO_CROCKFORD)
    return "-".join(text[start : start + _GROUP] for start in range(0, _CHARACTERS, _GROUP))


def _digest(code: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(code, salt=salt, n=2**14, r=8, p=1, dklen=_DIGEST_BYTES)
