"""The key algorithms a provider may offer, and the names others have for them."""

from __future__ import annotations

from enum import StrEnum


class Algorithm(StrEnum):
    """A key algorithm together with the one hash it is used with here.

    Ed25519 (RFC 8032), ECDSA over P-256 with SHA-256 and over P-384 with SHA-384 (RFC 5656), RSA
    PKCS #1 v1.5 with SHA-512 (RFC 8332). One hash each, so that one token call makes a signature
    that can be written in SSH form and in X.509 form.
    """

    ED25519 = "ed25519"
    P256 = "p256"
    P384 = "p384"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"

    @property
    def is_rsa(self) -> bool:
        """Whether it is one of the two RSA sizes."""
        return self in {Algorithm.RSA3072, Algorithm.RSA4096}

    @property
    def is_ecdsa(self) -> bool:
        """Whether it is one of the two NIST curves."""
        return self in {Algorithm.P256, Algorithm.P384}

    @property
    def bits(self) -> int:
        """The size of the modulus or of the field, in bits."""
        return _BITS[self]


_BITS = {
    Algorithm.ED25519: 256,
    Algorithm.P256: 256,
    Algorithm.P384: 384,
    Algorithm.RSA3072: 3072,
    Algorithm.RSA4096: 4096,
}

PREFERENCE = (Algorithm.ED25519, Algorithm.P256, Algorithm.P384, Algorithm.RSA3072, Algorithm.RSA4096)
"""The order in which an algorithm is chosen where nobody asked for one."""
