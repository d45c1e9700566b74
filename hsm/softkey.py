"""Private keys that are in memory: made, loaded and used with `cryptography`."""

from __future__ import annotations

from typing import assert_never

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hsm.algorithm import Algorithm
from hsm.encoding.public_key import algorithm_of_key
from hsm.encoding.signature import Signature
from hsm.errors import Malformed

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

RSA_EXPONENT = 65537


def generate(algorithm: Algorithm) -> PrivateKey:
    """Make a key; RSA takes up to a few seconds."""
    match algorithm:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case Algorithm.RSA3072 | Algorithm.RSA4096:
            return rsa.generate_private_key(RSA_EXPONENT, algorithm.bits)
        case unknown:
            assert_never(unknown)


def load(pkcs8: bytes) -> PrivateKey:
    """Return the key of a PKCS #8 DER; raises `Malformed` for other kinds."""
    key = serialization.load_der_private_key(pkcs8, password=None)
    match key:
        case ed25519.Ed25519PrivateKey() | ec.EllipticCurvePrivateKey() | rsa.RSAPrivateKey():
            return key
        case _:
            raise Malformed("not a key of an algorithm that is offered")


def sign(key: PrivateKey, message: bytes) -> Signature:
    """Sign a message of any length."""
    algorithm = algorithm_of_key(key.public_key())
    match key:
        case ed25519.Ed25519PrivateKey():
            return Signature(algorithm, key.sign(message))
        case ec.EllipticCurvePrivateKey():
            return from_der(algorithm, key.sign(message, ec.ECDSA(_hash(algorithm))))
        case rsa.RSAPrivateKey():
            return Signature(algorithm, key.sign(message, padding.PKCS1v15(), hashes.SHA512()))
        case unknown:
            assert_never(unknown)


def from_der(algorithm: Algorithm, der: bytes) -> Signature:
    """Return an ECDSA signature that came as DER (RFC 3279 §2.2.3)."""
    size = algorithm.bits // 8
    r, s = decode_dss_signature(der)
    return Signature(algorithm, r.to_bytes(size, "big") + s.to_bytes(size, "big"))


def _hash(algorithm: Algorithm) -> hashes.HashAlgorithm:
    return hashes.SHA256() if algorithm is Algorithm.P256 else hashes.SHA384()
