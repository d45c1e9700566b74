"""The FIDO metadata BLOB (FIDO Metadata Service 3.0), read from a file: which models there are, and how good.

A bastion fetches nothing. Somebody puts the file there; here its signature is verified against a root that
was given, its number must not go back, and whoever asks is told when it is older than its own `nextUpdate`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from fido2.cose import CoseKey
from fido2.mds3 import MetadataBlobPayload, MetadataBlobPayloadEntry, StatusReport

from authenticators.errors import MetadataError, MetadataErrorCode, WebAuthnError
from authenticators.fido2.trust import ChainError, load_certificate, verify_chain
from authenticators.fido2.wire import decode_base64url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIDO_SIGNER: Final = "mds.fidoalliance.org"
"""Who signs the FIDO Alliance's BLOB. Its root also signs for the rest of the web, so the name is checked."""

_LARGEST: Final = 64 * 1024 * 1024
_ALGORITHMS: Final = frozenset({"ES256", "ES384", "ES512", "RS256", "PS256"})
_PARTS: Final = 3


class CertificationLevel(IntEnum):
    """How far the FIDO Alliance certified a model, in order."""

    NONE = 0
    L1 = 10
    L1_PLUS = 15
    L2 = 20
    L2_PLUS = 25
    L3 = 30
    L3_PLUS = 35


_LEVELS: Final[Mapping[str, CertificationLevel]] = {
    "NOT_FIDO_CERTIFIED": CertificationLevel.NONE,
    "SELF_ASSERTION_SUBMITTED": CertificationLevel.NONE,
    "FIDO_CERTIFIED": CertificationLevel.L1,
    "FIDO_CERTIFIED_L1": CertificationLevel.L1,
    "FIDO_CERTIFIED_L1plus": CertificationLevel.L1_PLUS,
    "FIDO_CERTIFIED_L2": CertificationLevel.L2,
    "FIDO_CERTIFIED_L2plus": CertificationLevel.L2_PLUS,
    "FIDO_CERTIFIED_L3": CertificationLevel.L3,
    "FIDO_CERTIFIED_L3plus": CertificationLevel.L3_PLUS,
}


class Problem(StrEnum):
    """A status that speaks against a model."""

    REVOKED = "REVOKED"
    USER_VERIFICATION_BYPASS = "USER_VERIFICATION_BYPASS"
    ATTESTATION_KEY_COMPROMISE = "ATTESTATION_KEY_COMPROMISE"
    USER_KEY_REMOTE_COMPROMISE = "USER_KEY_REMOTE_COMPROMISE"
    USER_KEY_PHYSICAL_COMPROMISE = "USER_KEY_PHYSICAL_COMPROMISE"


_PROBLEMS: Final = frozenset(problem.value for problem in Problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One status report, in force from `effective` on; a `certificate` (DER) narrows it to one batch."""

    name: str
    effective: date | None
    certificate: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of authenticator, as its maker and the FIDO Alliance describe it."""

    aaguid: UUID | None
    description: str
    roots: tuple[bytes, ...]
    statuses: tuple[Status, ...]

    def certification(self, today: date) -> CertificationLevel:
        """Return the level of the newest certification in force; a later report replaces an earlier one."""
        levels = [_LEVELS[each.name] for each in self._in_force(today) if each.name in _LEVELS]
        return levels[-1] if levels else CertificationLevel.NONE

    def problems(self, today: date, trust_path: Sequence[bytes] = ()) -> frozenset[Problem]:
        """Return what speaks against a key of this model whose attestation has this trust path."""
        return frozenset(
            Problem(each.name)
            for each in self._in_force(today)
            if each.name in _PROBLEMS and (each.certificate is None or each.certificate in trust_path)
        )

    def _in_force(self, today: date) -> list[Status]:
        dated = [each for each in self.statuses if each.effective is None or each.effective <= today]
        return sorted(dated, key=lambda each: each.effective or date.min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """A verified BLOB. `number` only grows from one to the next."""

    number: int
    next_update: date
    by_aaguid: Mapping[UUID, Model]
    by_key_identifier: Mapping[bytes, Model]

    def find(self, aaguid: UUID, trust_path: Sequence[bytes] = ()) -> Model | None:
        """Return the model of an AAGUID or, for a U2F key, which has none, of the keys in its trust path."""
        if aaguid.int:
            return self.by_aaguid.get(aaguid)
        for der in trust_path:
            identifier = x509.SubjectKeyIdentifier.from_public_key(load_certificate(der).public_key()).digest
            if identifier in self.by_key_identifier:
                return self.by_key_identifier[identifier]
        return None

    def is_stale(self, today: date, *, grace: timedelta = timedelta(0)) -> bool:
        """Tell whether a newer BLOB should have been there, and the grace is over as well."""
        return today > self.next_update + grace

    @classmethod
    def of(cls, payload: MetadataBlobPayload) -> Self:
        """Return the parts of python-fido2's payload that decide something."""
        models = [(entry, _model(entry)) for entry in payload.entries]
        return cls(
            number=payload.no,
            next_update=payload.next_update,
            by_aaguid={model.aaguid: model for _, model in models if model.aaguid},
            by_key_identifier={
                identifier: model
                for entry, model in models
                for identifier in entry.attestation_certificate_key_identifiers or ()
            },
        )


def read_metadata(
    path: Path,
    roots: Sequence[bytes],
    *,
    now: datetime,
    signer: str | None = FIDO_SIGNER,
    last_number: int = 0,
) -> Metadata:
    """Read a BLOB from a file, as `parse_metadata` does; raises `MetadataError`, also UNREADABLE."""
    try:
        if path.stat().st_size > _LARGEST:
            raise MetadataError(MetadataErrorCode.TOO_LARGE)
        blob = path.read_bytes()
    except OSError as error:
        raise MetadataError(MetadataErrorCode.UNREADABLE, str(path)) from error
    return parse_metadata(blob, roots, now=now, signer=signer, last_number=last_number)


def parse_metadata(
    blob: bytes,
    roots: Sequence[bytes],
    *,
    now: datetime,
    signer: str | None = FIDO_SIGNER,
    last_number: int = 0,
) -> Metadata:
    """Verify and read a BLOB (a JWS, FIDO Metadata Service §3.1.7).

    `roots` are DER certificates. `signer` is the DNS name in the signing certificate, or None for a private
    root that signs for nobody else. `last_number` is the number of the BLOB in use. Raises `MetadataError`:
    TOO_LARGE, MALFORMED, ALGORITHM_NOT_ALLOWED, UNTRUSTED_CHAIN, CERTIFICATE_EXPIRED, WRONG_SIGNER,
    BAD_SIGNATURE, WENT_BACK.
    """
    if len(blob) > _LARGEST:
        raise MetadataError(MetadataErrorCode.TOO_LARGE)
    message, header, payload, signature = _split(blob)
    _verify_signature(header, message, signature, _signing_certificate(header, roots, now, signer))
    try:
        metadata = Metadata.of(MetadataBlobPayload.from_dict(payload))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetadataError(MetadataErrorCode.MALFORMED) from error
    if metadata.number < last_number:
        raise MetadataError(MetadataErrorCode.WENT_BACK)
    return metadata


def _split(blob: bytes) -> tuple[bytes, dict[str, Any], dict[str, Any], bytes]:
    parts = blob.strip().split(b".")
    if len(parts) != _PARTS:
        raise MetadataError(MetadataErrorCode.MALFORMED)
    try:
        header, payload = (json.loads(decode_base64url(part.decode())) for part in parts[:2])
        signature = decode_base64url(parts[2].decode())
    except (WebAuthnError, ValueError, RecursionError) as error:
        raise MetadataError(MetadataErrorCode.MALFORMED) from error
    if not (isinstance(header, dict) and isinstance(payload, dict)):
        raise MetadataError(MetadataErrorCode.MALFORMED)
    return parts[0] + b"." + parts[1], header, payload, signature


def _signing_certificate(
    header: Mapping[str, Any], roots: Sequence[bytes], now: datetime, signer: str | None
) -> x509.Certificate:
    try:
        path = [base64.b64decode(each, validate=True) for each in header["x5c"]]
        verify_chain(path, roots, moment=now)
        leaf = load_certificate(path[0])
    except ChainError as error:
        expired = MetadataErrorCode.CERTIFICATE_EXPIRED
        raise MetadataError(expired if error.expired else MetadataErrorCode.UNTRUSTED_CHAIN) from error
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise MetadataError(MetadataErrorCode.MALFORMED) from error
    if signer is not None and signer not in _dns_names(leaf):
        raise MetadataError(MetadataErrorCode.WRONG_SIGNER)
    return leaf


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.DNSName)


def _verify_signature(
    header: Mapping[str, Any], message: bytes, signature: bytes, leaf: x509.Certificate
) -> None:
    algorithm = header.get("alg")
    if algorithm not in _ALGORITHMS:
        raise MetadataError(MetadataErrorCode.ALGORITHM_NOT_ALLOWED)
    try:
        key = CoseKey.for_name(str(algorithm)).from_cryptography_key(leaf.public_key())
        key.verify(message, _as_der(str(algorithm), signature))
    except (InvalidSignature, AssertionError, ValueError) as error:
        raise MetadataError(MetadataErrorCode.BAD_SIGNATURE) from error


def _as_der(algorithm: str, signature: bytes) -> bytes:
    """Return an ECDSA signature in DER: a JWS has the two numbers side by side (RFC 7518 §3.4)."""
    if not algorithm.startswith("ES"):
        return signature
    half = len(signature) // 2
    return encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )


def _model(entry: MetadataBlobPayloadEntry) -> Model:
    statement = entry.metadata_statement
    return Model(
        aaguid=UUID(bytes=bytes(entry.aaguid)) if entry.aaguid else None,
        description=statement.description if statement else "",
        roots=tuple(statement.attestation_root_certificates) if statement else (),
        statuses=tuple(_status(report) for report in entry.status_reports if report.status),
    )


def _status(report: StatusReport) -> Status:
    return Status(
        name=str(report.status),
        effective=report.effective_date,
        certificate=report.certificate or report.batch_certificate,
    )
