"""What a stored attestation statement proves (WebAuthn Level 3 §8), read again from the evidence each time.

Formats: packed, fido-u2f, tpm, android-key, apple, none. python-fido2 verifies all but android-key; the
rules it leaves out are added here: the key in Apple's certificate, the AAGUID in a TPM's, one certificate
for U2F, the TPM version, no SHA-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, assert_never
from uuid import UUID

from cryptography import x509
from fido2 import cbor
from fido2.attestation.apple import AppleAttestation
from fido2.attestation.base import (
    Attestation,
    AttestationType,
    InvalidAttestation,
    InvalidSignature,
    NoneAttestation,
)
from fido2.attestation.packed import PackedAttestation
from fido2.attestation.tpm import TpmAttestation
from fido2.attestation.u2f import FidoU2FAttestation

from authenticators.errors import AttestationError, AttestationErrorCode, WebAuthnError
from authenticators.fido2.android_key import AndroidKeyAttestation, is_key_of
from authenticators.fido2.authenticator_data import parse_attestation_object
from authenticators.fido2.public_key import is_supported
from authenticators.fido2.trust import ChainError, load_certificate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fido2.webauthn import AttestedCredentialData, AuthenticatorData

    from authenticators.fido2.credential import Credential

_AAGUID_EXTENSION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
_OCTET_STRING_OF_16: Final = b"\x04\x10"
_FORMATS: Final[Mapping[str, Attestation]] = {
    "none": NoneAttestation(),
    "packed": PackedAttestation(),
    "fido-u2f": FidoU2FAttestation(),
    "tpm": TpmAttestation(),
    "apple": AppleAttestation(),
    "android-key": AndroidKeyAttestation(),
}


class AttestationKind(StrEnum):
    """Who vouches for the credential (§6.5.3)."""

    NONE = "none"
    SELF = "self"
    BASIC = "basic"
    ATTESTATION_CA = "attestation_ca"
    ANONYMIZATION_CA = "anonymization_ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationReport:
    """What a statement proves if its trust path (DER, leaf first) can be trusted."""

    format: str
    kind: AttestationKind
    aaguid: UUID
    trust_path: tuple[bytes, ...]


def assess(credential: Credential) -> AttestationReport:
    """Verify the attestation a credential was registered with, from what is stored.

    Raises `AttestationError`: NO_ATTESTATION (nothing is stored), EVIDENCE_MISMATCH (the stored key is not
    the attested one), UNSUPPORTED_FORMAT, MALFORMED, BAD_CERTIFICATE, AAGUID_MISMATCH, BAD_SIGNATURE.
    """
    if not credential.attestation_object:
        raise AttestationError(AttestationErrorCode.NO_ATTESTATION)
    try:
        fmt, auth_data, statement = parse_attestation_object(credential.attestation_object)
    except WebAuthnError as error:
        raise AttestationError(AttestationErrorCode.MALFORMED) from error
    attested = _attested_data(credential, auth_data)
    if fmt not in _FORMATS:
        raise AttestationError(AttestationErrorCode.UNSUPPORTED_FORMAT, fmt)
    path = _trust_path(statement)
    _check_statement(fmt, statement, path, attested)
    kind = _verify(fmt, statement, auth_data, sha256(credential.client_data_json).digest())
    return AttestationReport(format=fmt, kind=kind, aaguid=credential.aaguid, trust_path=path)


def _attested_data(credential: Credential, auth_data: AuthenticatorData) -> AttestedCredentialData:
    """Return the attested credential if it is the stored one: an edited row inherits no good statement."""
    data = auth_data.credential_data
    stored = (credential.credential_id, credential.public_key, credential.aaguid.bytes)
    if data is None or (data.credential_id, cbor.encode(data.public_key), bytes(data.aaguid)) != stored:
        raise AttestationError(AttestationErrorCode.EVIDENCE_MISMATCH)
    return data


def _trust_path(statement: Mapping[str, Any]) -> tuple[bytes, ...]:
    match statement.get("x5c"):
        case None:
            return ()
        case [*path] if path and all(isinstance(each, bytes) for each in path):
            return tuple(path)
    raise AttestationError(AttestationErrorCode.MALFORMED)


def _check_statement(
    fmt: str, statement: Mapping[str, Any], path: tuple[bytes, ...], attested: AttestedCredentialData
) -> None:
    """Apply what the library leaves out."""
    if "alg" in statement and not is_supported(statement["alg"]):
        raise AttestationError(AttestationErrorCode.MALFORMED, "the algorithm is not supported")
    if fmt == "tpm" and statement.get("ver") != "2.0":
        raise AttestationError(AttestationErrorCode.MALFORMED, "the TPM is not of version 2.0")
    if fmt == "fido-u2f" and len(path) != 1:
        raise AttestationError(AttestationErrorCode.MALFORMED, "U2F has exactly one certificate")
    if not path:
        return
    try:
        leaf = load_certificate(path[0])
        _check_aaguid(leaf, attested)
    except (ChainError, ValueError) as error:
        raise AttestationError(AttestationErrorCode.BAD_CERTIFICATE) from error
    if fmt == "apple" and not is_key_of(leaf, attested.public_key):
        raise AttestationError(AttestationErrorCode.BAD_CERTIFICATE, "the certificate is of another key")


def _check_aaguid(leaf: x509.Certificate, attested: AttestedCredentialData) -> None:
    try:
        extension = leaf.extensions.get_extension_for_oid(_AAGUID_EXTENSION).value
    except x509.ExtensionNotFound:
        return
    expected = _OCTET_STRING_OF_16 + attested.aaguid
    if not isinstance(extension, x509.UnrecognizedExtension) or extension.value != expected:
        raise AttestationError(AttestationErrorCode.AAGUID_MISMATCH)


def _verify(
    fmt: str, statement: Mapping[str, Any], auth_data: AuthenticatorData, client_data_hash: bytes
) -> AttestationKind:
    try:
        result = _FORMATS[fmt].verify(statement, auth_data, client_data_hash)
    except InvalidSignature as error:
        raise AttestationError(AttestationErrorCode.BAD_SIGNATURE) from error
    except (InvalidAttestation, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise AttestationError(AttestationErrorCode.MALFORMED) from error
    except (AssertionError, NotImplementedError, AttributeError, TypeError) as error:
        # The library says so when a key is of another type than its algorithm, or a member has another type.
        raise AttestationError(AttestationErrorCode.MALFORMED) from error
    return _kind(AttestationType(result.attestation_type))


def _kind(kind: AttestationType) -> AttestationKind:
    match kind:
        case AttestationType.NONE:
            return AttestationKind.NONE
        case AttestationType.SELF:
            return AttestationKind.SELF
        case AttestationType.BASIC:
            return AttestationKind.BASIC
        case AttestationType.ATT_CA:
            return AttestationKind.ATTESTATION_CA
        case AttestationType.ANON_CA:
            return AttestationKind.ANONYMIZATION_CA
        case unknown:
            assert_never(unknown)
