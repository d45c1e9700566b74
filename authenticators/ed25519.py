"""Ed25519 public keys that are worth verifying against.

OpenSSL verifies against a public key of small order, too; under such a key one signature fits one message in
eight, so a key that signs for nobody in particular must not be enrolled or accepted.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_BYTES: Final = 32

_PRIME: Final = 2**255 - 19
_ORDER_EIGHT: Final = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
_SMALL_ORDER: Final = frozenset(
    [y.to_bytes(KEY_BYTES, "little") for y in (0, 1, _PRIME - 1, _PRIME, _PRIME + 1)]
    + [bytes.fromhex(y) for y in _ORDER_EIGHT]
)
"""The y coordinates of the eight points of small order, in each of their spellings (RFC 8032 §5.1)."""


def load_ed25519(raw: bytes) -> Ed25519PublicKey:
    """Return the key of 32 raw bytes; raises ValueError for another length or a point of small order."""
    if len(raw) != KEY_BYTES:
        message = "an Ed25519 public key has 32 bytes"
        raise ValueError(message)
    if raw[:-1] + bytes([raw[-1] & 0x7F]) in _SMALL_ORDER:
        message = "an Ed25519 public key of small order"
        raise ValueError(message)
    return Ed25519PublicKey.from_public_bytes(raw)
