"""The kinds of PIV keys: how each is made, imported, described and used (SP 800-78-4 and extensions)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from authenticators.virtual.card.iso7816 import StatusError, StatusWord, tlv
from authenticators.virtual.card.piv.session import required
from authenticators.virtual.curves import p256_from_bytes, p384_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

PivPrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey
)


class Algorithm(IntEnum):
    """Algorithm identifiers."""

    RSA_3072 = 0x05
    RSA_1024 = 0x06
    RSA_2048 = 0x07
    P256 = 0x11
    P384 = 0x14
    RSA_4096 = 0x16
    ED25519 = 0xE0
    X25519 = 0xE1


RSA_BITS: Final = {
    Algorithm.RSA_1024: 1024,
    Algorithm.RSA_2048: 2048,
    Algorithm.RSA_3072: 3072,
    Algorithm.RSA_4096: 4096,
}
_SINCE_5_7: Final = {Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.ED25519, Algorithm.X25519}
_COORDINATE: Final = {Algorithm.P256: 32, Algorithm.P384: 48}


def algorithm_numbered(number: int, firmware: tuple[int, int, int]) -> Algorithm:
    """Return the algorithm if this firmware has it; raises `StatusError`."""
    if number not in set(Algorithm) or (number in _SINCE_5_7 and firmware < (5, 7, 0)):
        raise StatusError(StatusWord.WRONG_DATA)
    return Algorithm(number)


def generate(algorithm: Algorithm, entropy: Callable[[int], bytes]) -> PivPrivateKey:
    """Return a new private key; RSA keys come from the library's own generator."""
    match algorithm:
        case Algorithm.P256:
            return p256_from_bytes(entropy(48))
        case Algorithm.P384:
            return p384_from_bytes(entropy(64))
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(entropy(32))
        case Algorithm.X25519:
            return x25519.X25519PrivateKey.from_private_bytes(entropy(32))
        case _:
            return rsa.generate_private_key(65537, RSA_BITS[algorithm])


def imported(algorithm: Algorithm, fields: dict[int, bytes]) -> PivPrivateKey:
    """Return the private key of an import: 01-05 RSA primes and exponents, 06 EC, 07 Ed25519, 08 X25519."""
    try:
        match algorithm:
            case Algorithm.P256 | Algorithm.P384:
                curve = ec.SECP256R1() if algorithm is Algorithm.P256 else ec.SECP384R1()
                return ec.derive_private_key(int.from_bytes(required(fields, 6), "big"), curve)
            case Algorithm.ED25519:
                return ed25519.Ed25519PrivateKey.from_private_bytes(required(fields, 7))
            case Algorithm.X25519:
                return x25519.X25519PrivateKey.from_private_bytes(required(fields, 8))
            case _:
                return _imported_rsa(RSA_BITS[algorithm], fields)
    except ValueError:
        raise StatusError(StatusWord.WRONG_DATA) from None


def _imported_rsa(bits: int, fields: dict[int, bytes]) -> rsa.RSAPrivateKey:
    p, q = (int.from_bytes(required(fields, tag), "big") for tag in (1, 2))
    exponent = 65537
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(exponent, p * q),
    )
    if (p * q).bit_length() != bits:
        raise StatusError(StatusWord.WRONG_DATA)
    return numbers.private_key()


def stored(key: PivPrivateKey) -> bytes:
    """Return the key as PKCS#8 DER."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def restored(der: bytes) -> PivPrivateKey:
    """Return the key of PKCS#8 DER that `stored` made."""
    key = serialization.load_der_private_key(der, password=None)
    if not isinstance(key, PivPrivateKey):
        raise StatusError(StatusWord.UNKNOWN)
    return key


def public_template(key: PivPrivateKey) -> bytes:
    """Return the public key as generation and metadata hand it out: 81 and 82 (RSA) or 86."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return tlv(0x81, numbers.n.to_bytes(key.key_size // 8, "big")) + tlv(
            0x82, numbers.e.to_bytes(3, "big")
        )
    if isinstance(key, ec.EllipticCurvePrivateKey):
        form = serialization.PublicFormat.UncompressedPoint
        return tlv(0x86, key.public_key().public_bytes(serialization.Encoding.X962, form))
    raw = serialization.Encoding.Raw
    return tlv(0x86, key.public_key().public_bytes(raw, serialization.PublicFormat.Raw))


def use(key: PivPrivateKey, algorithm: Algorithm, data: bytes) -> bytes:
    """Sign, or for RSA apply the private exponent; raises `StatusError` for data of a wrong length."""
    if isinstance(key, rsa.RSAPrivateKey):
        return _raw_rsa(key, data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _raw_ecdsa(key, algorithm, data)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    raise StatusError(StatusWord.WRONG_DATA)


def agree(key: PivPrivateKey, peer: bytes) -> bytes:
    """Return the ECDH secret with a peer's point; raises `StatusError` for a bad one."""
    try:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            point = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, peer)
            return key.exchange(ec.ECDH(), point)
        if isinstance(key, x25519.X25519PrivateKey):
            return key.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise StatusError(StatusWord.WRONG_DATA) from None
    raise StatusError(StatusWord.WRONG_DATA)


def _raw_rsa(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    size = key.key_size // 8
    numbers = key.private_numbers()
    value = int.from_bytes(data, "big")
    if len(data) != size or value >= numbers.public_numbers.n:
        raise StatusError(StatusWord.WRONG_DATA)
    return pow(value, numbers.d, numbers.public_numbers.n).to_bytes(size, "big")


def _raw_ecdsa(key: ec.EllipticCurvePrivateKey, algorithm: Algorithm, digest: bytes) -> bytes:
    """Sign a digest of any length up to the curve's; a shorter one counts as a smaller number."""
    size = _COORDINATE[algorithm]
    if not digest or len(digest) > size:
        raise StatusError(StatusWord.WRONG_DATA)
    hash_ = hashes.SHA256() if algorithm is Algorithm.P256 else hashes.SHA384()
    return key.sign(digest.rjust(size, b"\0"), ec.ECDSA(Prehashed(hash_)))
