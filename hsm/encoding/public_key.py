"""Public keys in SSH wire form (RFC 4253 §6.6, 5656 §3.1, 8709 §4, OpenSSH PROTOCOL.u2f).

Two questions are kept apart: `load` reads a key that *signs* for us (one of the five algorithms),
`check_subject` judges a key that somebody wants certified, which may be of more kinds (security
keys, P-521, older RSA sizes) and is certified as the very bytes that came in.
"""

from __future__ import annotations

import base64
import hashlib
from typing import assert_never

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.algorithm import Algorithm
from hsm.encoding.wire import Reader, mpint, string
from hsm.errors import Malformed

SigningPublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES: dict[bytes, ec.EllipticCurve] = {
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
    b"nistp521": ec.SECP521R1(),
}
_CURVE_ALGORITHMS = {"secp256r1": (Algorithm.P256, b"nistp256"), "secp384r1": (Algorithm.P384, b"nistp384")}
_RSA_ALGORITHMS = {3072: Algorithm.RSA3072, 4096: Algorithm.RSA4096}
RSA_BITS = range(2048, 16384 + 1)

_P = 2**255 - 19
_ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


def dump(key: SigningPublicKey) -> bytes:
    """Return the SSH blob of a key; raises `Malformed` for one that is not of our algorithms."""
    match key:
        case ed25519.Ed25519PublicKey():
            return string(b"ssh-ed25519") + string(key.public_bytes_raw())
        case ec.EllipticCurvePublicKey():
            return _dump_ecdsa(key)
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return string(b"ssh-rsa") + mpint(numbers.e) + mpint(numbers.n)
        case unknown:
            assert_never(unknown)


def _dump_ecdsa(key: ec.EllipticCurvePublicKey) -> bytes:
    if key.curve.name not in _CURVE_ALGORITHMS:
        raise Malformed(f"no CA keys on the curve {key.curve.name}")
    name = _CURVE_ALGORITHMS[key.curve.name][1]
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return string(b"ecdsa-sha2-" + name) + string(name) + string(point)


def load(blob: bytes) -> SigningPublicKey:
    """Return the key of an SSH blob; raises `Malformed` for anything but our algorithms."""
    reader = Reader(blob)
    kind = reader.string()
    key = _load_fields(kind, reader)
    reader.end()
    algorithm_of_key(key)
    return key


def _load_fields(kind: bytes, reader: Reader) -> SigningPublicKey:
    if kind == b"ssh-ed25519":
        return _ed25519(reader.string())
    if kind.startswith(b"ecdsa-sha2-"):
        return _ecdsa(kind.removeprefix(b"ecdsa-sha2-"), reader)
    if kind == b"ssh-rsa":
        return _rsa(reader.mpint(), reader.mpint())
    raise Malformed("not a kind of public key known here")


def _ed25519(raw: bytes) -> ed25519.Ed25519PublicKey:
    if len(raw) != 32:  # noqa: PLR2004  # RFC 8032: 32 octets
        raise Malformed("an Ed25519 key has 32 bytes")
    if (int.from_bytes(raw, "little") & (2**255 - 1)) % _P in _SMALL_ORDER_Y:
        raise Malformed("an Ed25519 point of small order signs anything")
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _ecdsa(curve: bytes, reader: Reader) -> ec.EllipticCurvePublicKey:
    if curve not in _CURVES or reader.string() != curve:
        raise Malformed("an unknown curve, or two different ones")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], reader.string())
    except ValueError as error:
        raise Malformed("not a point on its curve") from error


def _rsa(exponent: int, modulus: int) -> rsa.RSAPublicKey:
    if modulus.bit_length() not in RSA_BITS:
        raise Malformed(f"RSA keys have {RSA_BITS.start} to {RSA_BITS.stop - 1} bits here")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise Malformed("not an RSA key") from error


def algorithm_of_key(key: SigningPublicKey) -> Algorithm:
    """Return the algorithm of a key; raises `Malformed` for a size that is not offered."""
    match key:
        case ed25519.Ed25519PublicKey():
            return Algorithm.ED25519
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVE_ALGORITHMS:
            return _CURVE_ALGORITHMS[key.curve.name][0]
        case rsa.RSAPublicKey() if key.key_size in _RSA_ALGORITHMS:
            return _RSA_ALGORITHMS[key.key_size]
        case _:
            raise Malformed("not a key size that is offered for signing keys")


def algorithm_of(blob: bytes) -> Algorithm:
    """Return the algorithm of an SSH blob."""
    return algorithm_of_key(load(blob))


def check_subject(blob: bytes) -> bytes:
    """Judge a key that is to be certified and return its kind, e.g. `b"sk-ssh-ed25519@openssh.com"`.

    Refuses certificates, DSA, RSA below 2048 bits, points off their curve or of small order, and
    blobs with anything left over. The key is never re-encoded.
    """
    reader = Reader(blob)
    kind = reader.string()
    if kind in {b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"}:
        _load_fields(kind.removeprefix(b"sk-").removesuffix(b"@openssh.com"), reader)
        _check_application(reader.string())
    else:
        _load_fields(kind, reader)
    reader.end()
    return kind


def _check_application(application: bytes) -> None:
    if not application.startswith(b"ssh:"):
        raise Malformed("a security key made for something that is not SSH")


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint as OpenSSH prints it: `SHA256:` and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def openssh_line(blob: bytes, comment: str = "") -> str:
    """Return the key as one line of an `authorized_keys` or `.pub` file."""
    line = f"{Reader(blob).text()} {base64.b64encode(blob).decode()}"
    return f"{line} {comment}" if comment else line
