"""Key pairs as PKCS#11 attributes and mechanisms, and back to SSH blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import KeyType, Mechanism
from pkcs11.constants import Attribute, MechanismFlag

from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.encoding.signature import digest
from hsm.errors import Malformed, TokenFault

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_OIDS = {  # DER of the curves' object identifiers: RFC 5480 §2.1.1.1, RFC 8410 §3
    Algorithm.P256: bytes.fromhex("06082a8648ce3d030107"),
    Algorithm.P384: bytes.fromhex("06052b81040022"),
    Algorithm.ED25519: bytes.fromhex("06032b6570"),
}
_EDWARDS_NAMES = (_OIDS[Algorithm.ED25519], b"\x13\x0cedwards25519")  # PKCS#11 3.0 §2.3.10 has both
_CURVES: dict[bytes, ec.EllipticCurve] = {
    _OIDS[Algorithm.P256]: ec.SECP256R1(),
    _OIDS[Algorithm.P384]: ec.SECP384R1(),
}
_POINT_SIZES = (32, 65, 97)
_SHA512_INFO = bytes.fromhex("3051300d060960864801650304020305000440")  # RFC 8017 §9.2, DigestInfo
RSA_EXPONENT = b"\x01\x00\x01"


def offered(algorithm: Algorithm, mechanisms: AbstractSet[Any]) -> bool:
    """Whether keys of the algorithm can be made and used with these mechanisms."""
    match algorithm:
        case Algorithm.ED25519:
            return {Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA} <= mechanisms
        case Algorithm.P256 | Algorithm.P384:
            return {Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA} <= mechanisms
        case Algorithm.RSA3072 | Algorithm.RSA4096:
            signs = mechanisms & {Mechanism.SHA512_RSA_PKCS, Mechanism.RSA_PKCS}
            return Mechanism.RSA_PKCS_KEY_PAIR_GEN in mechanisms and bool(signs)
        case unknown:
            assert_never(unknown)


def input_of(algorithm: Algorithm, message: bytes, mechanisms: AbstractSet[Any]) -> tuple[Mechanism, bytes]:
    """Return the mechanism to sign with and what to hand to it."""
    match algorithm:
        case Algorithm.ED25519:
            return Mechanism.EDDSA, message
        case Algorithm.P256 | Algorithm.P384:
            return Mechanism.ECDSA, digest(algorithm, message)
        case Algorithm.RSA3072 | Algorithm.RSA4096:
            if Mechanism.SHA512_RSA_PKCS in mechanisms:
                return Mechanism.SHA512_RSA_PKCS, message
            return Mechanism.RSA_PKCS, _SHA512_INFO + digest(algorithm, message)
        case unknown:
            assert_never(unknown)


def generate(session: Any, label: str, key_id: bytes, algorithm: Algorithm, *, private_flag: bool) -> None:
    """Make a key pair that is stored, signs, verifies, and does nothing else."""
    private = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    if private_flag:
        private[Attribute.PRIVATE] = True
    common: dict[str, Any] = {
        "id": key_id,
        "label": label,
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "private_template": private,
    }
    if algorithm.is_rsa:
        public = {Attribute.PUBLIC_EXPONENT: RSA_EXPONENT}
        session.generate_keypair(KeyType.RSA, algorithm.bits, public_template=public, **common)
        return
    kind = KeyType.EC_EDWARDS if algorithm is Algorithm.ED25519 else KeyType.EC
    parameters = {Attribute.EC_PARAMS: _OIDS[algorithm]}
    session.create_domain_parameters(kind, parameters, local=True).generate_keypair(**common)


def public_blob(key: Any) -> tuple[bytes, Algorithm]:
    """Return a public key object as SSH blob, with its algorithm; raises `TokenFault`."""
    try:
        match key.key_type:
            case KeyType.EC_EDWARDS:
                blob = public_key.dump(_edwards(key))
            case KeyType.EC:
                blob = public_key.dump(_ecdsa(key))
            case KeyType.RSA:
                blob = public_key.dump(_rsa(key))
            case other:
                raise TokenFault(f"a key of a kind we do not make: {other}")
        return blob, public_key.algorithm_of(blob)
    except (Malformed, ValueError) as error:
        raise TokenFault("the token gave a public key that cannot be one") from error


def _point(key: Any) -> bytes:
    """Return EC_POINT without the OCTET STRING that most, but not all, tokens wrap it in."""
    raw = bytes(key[Attribute.EC_POINT])
    wrapped = raw[:1] == b"\x04" and raw[1] == len(raw) - 2 and raw[1] in _POINT_SIZES
    return raw[2:] if wrapped else raw


def _edwards(key: Any) -> ed25519.Ed25519PublicKey:
    if bytes(key[Attribute.EC_PARAMS]) not in _EDWARDS_NAMES:
        raise TokenFault("an Edwards key on another curve than Ed25519")
    return ed25519.Ed25519PublicKey.from_public_bytes(_point(key))


def _ecdsa(key: Any) -> ec.EllipticCurvePublicKey:
    curve = _CURVES.get(bytes(key[Attribute.EC_PARAMS]))
    if curve is None:
        raise TokenFault("an EC key on a curve we do not use")
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, _point(key))


def _rsa(key: Any) -> rsa.RSAPublicKey:
    exponent = int.from_bytes(key[Attribute.PUBLIC_EXPONENT], "big")
    return rsa.RSAPublicNumbers(exponent, int.from_bytes(key[Attribute.MODULUS], "big")).public_key()
