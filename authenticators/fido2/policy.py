"""Which authenticators are good enough, asked at registration and again at every use.

The evidence is stored with the credential, so a changed policy, or a model that was revoked last night,
reaches the keys enrolled years ago. What was valid at registration stays valid (certificates of makers
expire, keys do not); what the metadata says counts as of today.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from authenticators.errors import AttestationError, AttestationErrorCode
from authenticators.fido2.attestation import AttestationKind, AttestationReport, assess
from authenticators.fido2.metadata import CertificationLevel, Metadata, Model, Problem
from authenticators.fido2.trust import ChainError, verify_chain

if TYPE_CHECKING:
    from authenticators.fido2.credential import Credential

_Code = AttestationErrorCode

DEFAULT_PROBLEMS = frozenset(Problem) - {Problem.USER_KEY_PHYSICAL_COMPROMISE}
"""What is held against a model by default: all but attacks on a key in the attacker's hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Why a credential was accepted. `trusted_root` (DER) is None where the policy asked for no proof."""

    report: AttestationReport | None
    model: Model | None
    trusted_root: bytes | None
    metadata_stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationPolicy:
    """What is asked of an authenticator. The default asks for nothing, and still refuses what is denied.

    `allowed_cas`, `denied_cas`: DER certificates; where any CA is allowed, the statement must lead to one
    of them. Lists of AAGUIDs likewise: an allowed AAGUID must be proved, a denied one need only be claimed.
    Deny wins. `minimum_certification` needs metadata, which may be `metadata_grace` older than its
    `nextUpdate`.
    """

    required: bool = False
    allowed_cas: tuple[bytes, ...] = ()
    denied_cas: tuple[bytes, ...] = ()
    allowed_aaguids: frozenset[UUID] = frozenset()
    denied_aaguids: frozenset[UUID] = frozenset()
    minimum_certification: CertificationLevel | None = None
    refused_problems: frozenset[Problem] = DEFAULT_PROBLEMS
    metadata_grace: timedelta = timedelta(days=30)

    @property
    def needs_proof(self) -> bool:
        """Whether a statement has to lead to a root that is trusted."""
        certified = self.minimum_certification is not None
        return self.required or certified or bool(self.allowed_cas or self.allowed_aaguids)

    def evaluate(self, credential: Credential, *, metadata: Metadata | None, now: datetime) -> Assessment:
        """Return why the credential is accepted; raises `AttestationError` with the rule that refuses it."""
        self._check_aaguid(credential.aaguid)
        report = assess(credential) if self._reads_statements and credential.attestation_object else None
        path = report.trust_path if report else ()
        self._check_denied_cas(path, credential)
        model = metadata.find(credential.aaguid, path) if metadata else None
        if model:
            self._check_problems(model, path, now)
        root = self._prove(credential, report, model) if self.needs_proof else None
        stale = metadata is not None and metadata.is_stale(now.date())
        if self.minimum_certification is not None:
            self._check_certification(metadata, model, now)
        return Assessment(report=report, model=model, trusted_root=root, metadata_stale=stale)

    @property
    def _reads_statements(self) -> bool:
        return self.needs_proof or bool(self.denied_cas)

    def _check_aaguid(self, aaguid: UUID) -> None:
        if aaguid in self.denied_aaguids:
            raise AttestationError(_Code.AAGUID_DENIED, str(aaguid))
        if self.allowed_aaguids and aaguid not in self.allowed_aaguids:
            raise AttestationError(_Code.AAGUID_NOT_ALLOWED, str(aaguid))

    def _check_denied_cas(self, path: tuple[bytes, ...], credential: Credential) -> None:
        if any(each in self.denied_cas for each in path):
            raise AttestationError(_Code.CA_DENIED)
        if path and self.denied_cas and _leads_to(path, self.denied_cas, credential):
            raise AttestationError(_Code.CA_DENIED)

    def _check_problems(self, model: Model, path: tuple[bytes, ...], now: datetime) -> None:
        problems = model.problems(now.date(), path) & self.refused_problems
        if Problem.REVOKED in problems:
            raise AttestationError(_Code.MODEL_REVOKED, model.description)
        if problems:
            raise AttestationError(_Code.MODEL_COMPROMISED, ", ".join(sorted(problems)))

    def _prove(self, credential: Credential, report: AttestationReport | None, model: Model | None) -> bytes:
        if report is None or report.kind is AttestationKind.NONE:
            raise AttestationError(_Code.NO_ATTESTATION)
        if report.kind is AttestationKind.SELF:
            raise AttestationError(_Code.SELF_ATTESTATION)
        roots = self.allowed_cas or (model.roots if model else ())
        try:
            root = verify_chain(report.trust_path, roots, moment=credential.registered)
            if self.minimum_certification is not None and model:
                # The certificate level is that of the model, so it is the model's own root that must vouch.
                verify_chain(report.trust_path, model.roots, moment=credential.registered)
        except ChainError as error:
            code = _Code.CERTIFICATE_EXPIRED if error.expired else _Code.NOT_TRUSTED
            raise AttestationError(code) from error
        return root

    def _check_certification(self, metadata: Metadata | None, model: Model | None, now: datetime) -> None:
        if metadata is None:
            raise AttestationError(_Code.METADATA_MISSING)
        if metadata.is_stale(now.date(), grace=self.metadata_grace):
            raise AttestationError(_Code.METADATA_STALE)
        if model is None:
            raise AttestationError(_Code.NOT_IN_METADATA)
        if model.certification(now.date()) < (self.minimum_certification or CertificationLevel.NONE):
            raise AttestationError(_Code.CERTIFICATION_TOO_LOW, model.description)


def _leads_to(path: tuple[bytes, ...], roots: tuple[bytes, ...], credential: Credential) -> bool:
    """Tell whether the path leads to one of the roots; dates are no excuse for a CA that is denied."""
    try:
        verify_chain(path, roots, moment=credential.registered)
    except ChainError as error:
        return error.expired
    return True
