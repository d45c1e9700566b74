"""Checking the certificate with which a YubiKey says that it made a key.

The chain is: the slot's attestation certificate, signed by the key in slot F9, whose certificate
is signed by Yubico's PIV root (or an intermediate of it), or by a root that the owner put there. The trusted
certificates are handed in; none is built in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.apdu import only
from hsm.encoding import public_key
from hsm.errors import Malformed, TokenFault

if TYPE_CHECKING:
    from collections.abc import Sequence

_YUBICO = "1.3.6.1.4.1.41482.3"
_FIRMWARE = x509.ObjectIdentifier(f"{_YUBICO}.3")
_SERIAL = x509.ObjectIdentifier(f"{_YUBICO}.7")
_POLICY = x509.ObjectIdentifier(f"{_YUBICO}.8")
_MAX_CHAIN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PivAttestation:
    """What a verified attestation says: which key, made in which device, with which policies."""

    public_key: bytes
    serial: int
    firmware: str
    pin_policy: int
    touch_policy: int
    root: str


def verify(
    attestation: bytes, attesting: bytes, trusted: Sequence[x509.Certificate], *, serial: int | None = None
) -> PivAttestation:
    """Check an attestation (DER) and the attesting certificate (DER) up to a trusted root.

    Raises `TokenFault` where the chain does not hold, or it speaks of another device than
    `serial`; `Malformed` where it cannot be read. Validity dates are not looked at: these certificates
    have none that mean anything.
    """
    leaf, issuer = _load(attestation), _load(attesting)
    _check_issued(leaf, issuer)
    root = _climb(issuer, trusted)
    found = _read(leaf, root)
    if serial is not None and found.serial != serial:
        raise TokenFault(f"the attestation is of the key {found.serial}, not of {serial}")
    return found


def _load(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise Malformed("not an X.509 certificate") from error


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    if not _issued(certificate, issuer):
        raise TokenFault("the attestation's chain does not hold")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _climb(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the self-signed root that the certificate leads to, over trusted certificates only."""
    for _ in range(_MAX_CHAIN):
        if certificate in trusted and certificate.issuer == certificate.subject:
            return certificate
        above = [each for each in trusted if each != certificate and _issued(certificate, each)]
        if not above:
            break
        _check_is_ca(above[0])
        certificate = above[0]
    raise TokenFault("the attestation does not lead to a trusted root")


def _check_is_ca(certificate: x509.Certificate) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return  # Yubico's first PIV root says nothing
    if not constraints.ca:
        raise TokenFault("a certificate of the attestation's chain is no CA")


def _read(leaf: x509.Certificate, root: x509.Certificate) -> PivAttestation:
    firmware, policy = _extension(leaf, _FIRMWARE), _extension(leaf, _POLICY)
    if len(firmware) != 3 or len(policy) != 2:  # noqa: PLR2004  # three version numbers, two policies
        raise Malformed("an attestation with extensions of another shape")
    der = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PivAttestation(
        public_key=der,
        serial=int.from_bytes(only(_extension(leaf, _SERIAL), 0x02), "big"),
        firmware=".".join(map(str, firmware)),
        pin_policy=policy[0],
        touch_policy=policy[1],
        root=root.subject.rfc4514_string(),
    )


def _extension(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes:
    try:
        value = certificate.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound as error:
        raise Malformed("an attestation without the maker's extensions") from error
    if not isinstance(value, x509.UnrecognizedExtension):
        raise Malformed("an attestation with extensions of another shape")
    return value.value


def attests(found: PivAttestation, blob: bytes) -> bool:
    """Whether the attestation is of the key of that SSH blob."""
    der = public_key.load(blob).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der == found.public_key
