"""One signature, in the forms that SSH and X.509 want."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.encoding.wire import Reader, mpint, string
from hsm.errors import Malformed

_SSH_NAMES = {
    Algorithm.ED25519: b"ssh-ed25519",
    Algorithm.P256: b"ecdsa-sha2-nistp256",
    Algorithm.P384: b"ecdsa-sha2-nistp384",
    Algorithm.RSA3072: b"rsa-sha2-512",
    Algorithm.RSA4096: b"rsa-sha2-512",
}
_RAW_SIZES = {
    Algorithm.ED25519: 64,
    Algorithm.P256: 64,
    Algorithm.P384: 96,
    Algorithm.RSA3072: 384,
    Algorithm.RSA4096: 512,
}
_ECDSA_HASHES: dict[Algorithm, hashes.HashAlgorithm] = {
    Algorithm.P256: hashes.SHA256(),
    Algorithm.P384: hashes.SHA384(),
}


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as the token gives it.

    `raw` is 64 bytes for Ed25519, r and s of equal length for ECDSA, the PKCS #1 v1.5 block of the
    modulus' size for RSA.
    """

    algorithm: Algorithm
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _RAW_SIZES[self.algorithm]:
            raise Malformed(f"a {self.algorithm} signature has {_RAW_SIZES[self.algorithm]} bytes")

    @property
    def ssh(self) -> bytes:
        """The SSH wire form: name of the algorithm, then the signature."""
        body = mpint(self._r) + mpint(self._s) if self.algorithm.is_ecdsa else self.raw
        return string(_SSH_NAMES[self.algorithm]) + string(body)

    @property
    def der(self) -> bytes:
        """The form inside of an X.509 BIT STRING: DER for ECDSA, else the raw bytes."""
        return encode_dss_signature(self._r, self._s) if self.algorithm.is_ecdsa else self.raw

    @property
    def _r(self) -> int:
        return int.from_bytes(self.raw[: len(self.raw) // 2], "big")

    @property
    def _s(self) -> int:
        return int.from_bytes(self.raw[len(self.raw) // 2 :], "big")


def parse_ssh(algorithm: Algorithm, wire: bytes) -> Signature:
    """Return the signature behind an SSH wire form; raises `Malformed`."""
    reader = Reader(wire)
    if reader.string() != _SSH_NAMES[algorithm]:
        raise Malformed("a signature of another algorithm than its key")
    body = reader.string()
    reader.end()
    return Signature(algorithm, _raw_ecdsa(algorithm, body) if algorithm.is_ecdsa else body)


def _raw_ecdsa(algorithm: Algorithm, body: bytes) -> bytes:
    reader, size = Reader(body), _RAW_SIZES[algorithm] // 2
    numbers = reader.mpint(), reader.mpint()
    reader.end()
    try:
        return b"".join(number.to_bytes(size, "big") for number in numbers)
    except OverflowError as error:
        raise Malformed("r or s is longer than the field") from error


def digest(algorithm: Algorithm, message: bytes) -> bytes:
    """Return the hash that the algorithm signs; for tokens that want it made outside."""
    match algorithm:
        case Algorithm.P256:
            return hashlib.sha256(message).digest()
        case Algorithm.P384:
            return hashlib.sha384(message).digest()
        case Algorithm.RSA3072 | Algorithm.RSA4096:
            return hashlib.sha512(message).digest()
        case Algorithm.ED25519:
            raise Malformed("Ed25519 signs the message itself")
        case unknown:
            assert_never(unknown)


def verify(blob: bytes, message: bytes, signature: Signature) -> bool:
    """Whether the signature was made over the message by the key of that SSH blob."""
    return verify_with(public_key.load(blob), message, signature)


def verify_with(key: public_key.SigningPublicKey, message: bytes, signature: Signature) -> bool:
    """As `verify`, for a key that is loaded already."""
    try:
        match key:
            case ed25519.Ed25519PublicKey():
                key.verify(signature.raw, message)
            case ec.EllipticCurvePublicKey():
                key.verify(signature.der, message, ec.ECDSA(_ECDSA_HASHES[signature.algorithm]))
            case rsa.RSAPublicKey():
                key.verify(signature.raw, message, padding.PKCS1v15(), hashes.SHA512())
            case unknown:
                assert_never(unknown)
    except (InvalidSignature, KeyError):  # KeyError: an ECDSA key with a signature of another kind
        return False
    return True
