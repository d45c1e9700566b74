"""TOTP secrets at rest: sealed with AES-256-GCM, each bound to the user and device it belongs to.

The key lies in a file beside the store, not in it, so a copy of the database or of a backup alone gives no
codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.domain.errors import Unavailable

NONCE_BYTES = 12
KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class SeedVault:
    """Seals and opens small secrets. `key` has 32 bytes; `random(n)` returns n random bytes."""

    key: bytes
    random: Callable[[int], bytes]

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise Unavailable(f"the seed key has {len(self.key)} bytes instead of {KEY_BYTES}: it is damaged")

    def seal(self, secret: bytes, *, user: str, device: str) -> bytes:
        """Return nonce and ciphertext."""
        nonce = self.random(NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, secret, _context(user, device))

    def open(self, sealed: bytes, *, user: str, device: str) -> bytes:
        """Return the secret.

        Raises `Unavailable` if the key or the record is not the one it was sealed with.
        """
        try:
            return AESGCM(self.key).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _context(user, device)
            )
        except (InvalidTag, ValueError) as error:
            raise Unavailable(
                f"the one-time password secret of {user} can't be opened with this seed key"
            ) from error


def _context(user: str, device: str) -> bytes:
    return f"sallyport totp\0{user}\0{device}".encode()
