"""X.509 certificates (RFC 5280) whose signature is made elsewhere.

cryptography's builder wants a private key that signs at once. Here the bytes to be signed have to be
known *before* the token is asked (they go to the ledger first), so the builder is run with an
adapter that only tells it the algorithm, and the real signature is put in its place afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never, assert_never

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from hsm.encoding import public_key
from hsm.errors import Unsupported

if TYPE_CHECKING:
    from cryptography import x509

    from hsm.encoding.signature import Signature

_BIT_STRING, _SEQUENCE = 0x03, 0x30


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A certificate without its signature: the bytes to sign, and the algorithm's identifier (DER)."""

    to_be_signed: bytes
    algorithm: bytes

    def finish(self, signature: Signature) -> bytes:
        """Return the certificate, DER."""
        value = _tlv(_BIT_STRING, b"\x00" + signature.der)
        return _tlv(_SEQUENCE, self.to_be_signed + self.algorithm + value)


def prepare(builder: x509.CertificateBuilder, signing_key: bytes) -> Unsigned:
    """Run the builder for the CA key of that SSH blob, without a private key."""
    adapter, hash_algorithm = _adapter(public_key.load(signing_key))
    certificate = builder.sign(adapter, hash_algorithm)
    to_be_signed = certificate.tbs_certificate_bytes
    rest = _content(certificate.public_bytes(Encoding.DER))[len(to_be_signed) :]
    return Unsigned(to_be_signed, rest[: _tlv_size(rest)])


def _tlv(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:  # noqa: PLR2004  # X.690 §8.1.3: short form below 128
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def _header_size(data: bytes) -> tuple[int, int]:
    if data[1] < 0x80:  # noqa: PLR2004  # X.690 §8.1.3
        return 2, data[1]
    count = data[1] & 0x7F
    return 2 + count, int.from_bytes(data[2 : 2 + count], "big")


def _tlv_size(data: bytes) -> int:
    return sum(_header_size(data))


def _content(data: bytes) -> bytes:
    header, size = _header_size(data)
    return data[header : header + size]


def _adapter(
    key: public_key.SigningPublicKey,
) -> tuple[Any, hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None]:
    match key:
        case ed25519.Ed25519PublicKey():
            return _Ed25519Stand(key), None
        case ec.EllipticCurvePublicKey():
            return _EcdsaStand(key), hashes.SHA256() if key.key_size == 256 else hashes.SHA384()  # noqa: PLR2004
        case rsa.RSAPublicKey():
            return _RsaStand(key), hashes.SHA512()
        case unknown:
            assert_never(unknown)


def _refuse(*_: object, **__: object) -> Never:
    raise Unsupported("the private key is in the token")


class _Ed25519Stand(ed25519.Ed25519PrivateKey):
    """Stands where the builder wants a private key; its signature is a blank of the right form."""

    private_bytes = private_bytes_raw = __copy__ = __deepcopy__ = _refuse

    def __init__(self, key: ed25519.Ed25519PublicKey) -> None:
        self._key = key

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._key

    def sign(self, data: object) -> bytes:  # noqa: ARG002  # the interface's
        return bytes(64)


class _EcdsaStand(ec.EllipticCurvePrivateKey):
    """As `_Ed25519Stand`, for the NIST curves."""

    exchange = private_bytes = private_numbers = __copy__ = __deepcopy__ = _refuse

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key

    def sign(self, data: object, signature_algorithm: object) -> bytes:  # noqa: ARG002  # the interface's
        return encode_dss_signature(1, 1)


class _RsaStand(rsa.RSAPrivateKey):
    """As `_Ed25519Stand`, for RSA."""

    decrypt = private_bytes = private_numbers = __copy__ = __deepcopy__ = _refuse

    def __init__(self, key: rsa.RSAPublicKey) -> None:
        self._key = key

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._key

    def sign(self, data: object, padding: object, algorithm: object) -> bytes:  # noqa: ARG002  # the interface's
        return bytes(self._key.key_size // 8)
