"""The test vendor: a root that everyone can recompute, and the certificates its keys present.

The vendor's keys are derived from a published constant, so the root certificate is the same on every machine
and a test can trust it from a file. For the same reason it proves nothing: trust it in tests only.

FIDO leaves follow WebAuthn Level 3 section 8.2.1 (packed certificate requirements), PIV statements the
extensions under 1.3.6.1.4.1.41482.3 that PIV attestation verifiers read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from authenticators.virtual.curves import p256_from_bytes

if TYPE_CHECKING:
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

SEED: Final = b"sallyport virtual authenticators: a test root, trust it in tests only"
ORGANISATION: Final = "Sallyport virtual authenticators (test only)"
AAGUID_EXTENSION: Final = ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
PIV_FIRMWARE: Final = ObjectIdentifier("1.3.6.1.4.1.41482.3.3")
PIV_SERIAL: Final = ObjectIdentifier("1.3.6.1.4.1.41482.3.7")
PIV_POLICY: Final = ObjectIdentifier("1.3.6.1.4.1.41482.3.8")
PIV_FORM_FACTOR: Final = ObjectIdentifier("1.3.6.1.4.1.41482.3.9")
_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL: Final = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attester:
    """A private key and the certificate that speaks for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature with SHA-256 over the message, DER."""
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True, kw_only=True)
class PivStatement:
    """What a PIV attestation certificate states of a generated key."""

    slot: int
    firmware: tuple[int, int, int]
    serial: int
    pin_policy: int
    touch_policy: int


@cache
def test_root() -> Attester:
    """Return the vendor's root."""
    return _issue("root", _name("Root"), None, authority=True)


@cache
def fido_attester(model: str, aaguid: UUID | None) -> Attester:
    """Return the batch certificate of a model; U2F keys have no AAGUID."""
    subject = _name(model, unit="Authenticator Attestation")
    return _issue(f"fido {model} {aaguid}", subject, test_root(), extensions=_aaguid_extension(aaguid))


@cache
def piv_attester(serial: int) -> Attester:
    """Return the certificate in slot F9 of the key of that serial number."""
    return _issue(f"piv {serial}", _name(f"PIV attestation {serial}"), test_root(), authority=True)


def piv_attestation(statement: PivStatement, public_key: CertificatePublicKeyTypes) -> bytes:
    """Return the DER certificate that states where a PIV key was made."""
    subject = _name(f"PIV Attestation {statement.slot:02x}")
    builder = _builder(subject, piv_attester(statement.serial).certificate.subject, public_key)
    for oid, value in (
        (PIV_FIRMWARE, bytes(statement.firmware)),
        (PIV_SERIAL, _der_integer(statement.serial)),
        (PIV_POLICY, bytes([statement.pin_policy, statement.touch_policy])),
        (PIV_FORM_FACTOR, b"\x01"),
    ):
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return _sign(builder, piv_attester(statement.serial).key).public_bytes(serialization.Encoding.DER)


def _aaguid_extension(aaguid: UUID | None) -> tuple[x509.ExtensionType, ...]:
    if aaguid is None:
        return ()
    return (x509.UnrecognizedExtension(AAGUID_EXTENSION, b"\x04\x10" + aaguid.bytes),)


def _issue(
    label: str,
    subject: x509.Name,
    issuer: Attester | None,
    *,
    authority: bool = False,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> Attester:
    key = p256_from_bytes(hashlib.sha512(SEED + b"\0" + label.encode()).digest())
    builder = _builder(subject, issuer.certificate.subject if issuer else subject, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Attester(key=key, certificate=_sign(builder, issuer.key if issuer else key))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: CertificatePublicKeyTypes
) -> x509.CertificateBuilder:
    spki = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(int.from_bytes(hashlib.sha256(spki).digest()[:15], "big") | 1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def _name(common: str, unit: str | None = None) -> x509.Name:
    units = () if unit is None else (x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),)
    return x509.Name(
        (
            x509.NameAttribute(NameOID.COUNTRY_NAME, "ZZ"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            *units,
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        )
    )


def _der_integer(value: int) -> bytes:
    body = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes([2, len(body)]) + body
