"""Credential public keys (COSE, RFC 9053): well-formed, on their curve, of an offered algorithm."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeGuard

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from fido2 import cbor
from fido2.cose import CoseKey

from authenticators.ed25519 import load_ed25519
from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import check_cbor

ES256: Final = -7
EDDSA: Final = -8
ES384: Final = -35
ES512: Final = -36
PS256: Final = -37
ED448: Final = -53
RS256: Final = -257

ALGORITHMS: Final = (ES256, EDDSA, RS256)
"""What is offered by default: what security keys (ES256, EdDSA) and TPMs (RS256) have."""

SUPPORTED: Final = frozenset({ES256, EDDSA, ES384, ES512, PS256, ED448, RS256})

_KTY, _ALG, _CRV, _X, _Y, _N, _E = 1, 3, -1, -2, -3, -1, -2
_OKP, _EC2, _RSA = 1, 2, 3
_ED25519_CURVE, _ED448_CURVE = 6, 7
_EC_CURVES: Final[dict[int, tuple[int, ec.EllipticCurve]]] = {
    ES256: (1, ec.SECP256R1()),
    ES384: (2, ec.SECP384R1()),
    ES512: (3, ec.SECP521R1()),
}
_RSA_BITS: Final = range(2048, 8193)
_RSA_EXPONENTS: Final = range(3, 2**32)


def parse_public_key(encoded: bytes, algorithms: Collection[int] = SUPPORTED) -> CoseKey:
    """Return the COSE key of its CBOR form.

    Raises `WebAuthnError`: MALFORMED_CBOR, ALGORITHM_NOT_OFFERED, or BAD_PUBLIC_KEY (not of its algorithm's
    type, not on its curve, of small order, or an RSA key outside 2048 to 8192 bits).
    """
    check_cbor(encoded)
    parameters = cbor.decode(encoded)
    if not isinstance(parameters, Mapping):
        raise WebAuthnError(WebAuthnErrorCode.BAD_PUBLIC_KEY)
    algorithm = parameters.get(_ALG)
    if not is_supported(algorithm) or algorithm not in algorithms:
        raise WebAuthnError(WebAuthnErrorCode.ALGORITHM_NOT_OFFERED)
    try:
        _check(algorithm, parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise WebAuthnError(WebAuthnErrorCode.BAD_PUBLIC_KEY) from error
    return CoseKey.parse(parameters)


def is_supported(algorithm: object) -> TypeGuard[int]:
    """Tell whether this is the identifier of an algorithm that can be verified."""
    return isinstance(algorithm, int) and algorithm in SUPPORTED


def _check(algorithm: int, key: Mapping[Any, Any]) -> None:
    if algorithm in _EC_CURVES:
        _check_ec(key, *_EC_CURVES[algorithm])
    elif algorithm == EDDSA:
        _expect(key, kty=_OKP, crv=_ED25519_CURVE)
        load_ed25519(key[_X])
    elif algorithm == ED448:
        _expect(key, kty=_OKP, crv=_ED448_CURVE)
        ed448.Ed448PublicKey.from_public_bytes(key[_X])
    else:
        _check_rsa(key)


def _check_ec(key: Mapping[Any, Any], crv: int, curve: ec.EllipticCurve) -> None:
    _expect(key, kty=_EC2, crv=crv)
    size = (curve.key_size + 7) // 8
    if len(key[_X]) != size or len(key[_Y]) != size:
        message = "a coordinate has the size of its field"
        raise ValueError(message)
    x, y = int.from_bytes(key[_X], "big"), int.from_bytes(key[_Y], "big")
    ec.EllipticCurvePublicNumbers(x, y, curve).public_key()


def _check_rsa(key: Mapping[Any, Any]) -> None:
    modulus, exponent = int.from_bytes(key[_N], "big"), int.from_bytes(key[_E], "big")
    if key[_KTY] != _RSA or modulus.bit_length() not in _RSA_BITS or exponent not in _RSA_EXPONENTS:
        message = "an RSA key has 2048 to 8192 bits"
        raise ValueError(message)
    rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _expect(key: Mapping[Any, Any], *, kty: int, crv: int) -> None:
    if key[_KTY] != kty or key[_CRV] != crv:
        message = "the key is of another type than its algorithm"
        raise ValueError(message)
