"""Private keys made from bytes that were handed in."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)


def p256_from_bytes(material: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of at least 40 random bytes (FIPS 186-5, A.2.1: 64 bits more than the order)."""
    return ec.derive_private_key(_scalar(material, P256_ORDER), ec.SECP256R1())


def p384_from_bytes(material: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the P-384 key of at least 56 random bytes."""
    return ec.derive_private_key(_scalar(material, P384_ORDER), ec.SECP384R1())


def _scalar(material: bytes, order: int) -> int:
    if len(material) * 8 < order.bit_length() + 64:
        raise ValueError("too few random bytes for this curve")
    return int.from_bytes(material, "big") % (order - 1) + 1
