"""Authorities, certificates and the token behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.domain.operations.operation import Caller, Nothing, Operation, Rule
from appliance.domain.operations.people import CONSOLE_OR_PERSON, IssuedCredentials
from appliance.domain.records import AuthorityKind, RotationPhase

CONSOLE = frozenset({Caller.CONSOLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityView:
    """One trusted key of an authority."""

    kind: AuthorityKind
    fingerprint: str
    public_key: str
    """OpenSSH form."""
    certificate: bytes
    """DER, for the TLS authority; else empty."""
    signing: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityList:
    """Every authority's trusted keys, the signing one first."""

    cluster: str
    authorities: tuple[AuthorityView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySign:
    """Certify keys for a user from the console; never longer than that user's own logins last."""

    user: str
    ssh_public_key: bytes
    tls_public_key: bytes
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """The token as the signer sees it."""

    provider: str
    sealed: bool
    software: bool
    description: str
    keys: tuple[str, ...]
    mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationStatus:
    """Where an authority stands, and how it can go on."""

    kind: AuthorityKind
    phase: RotationPhase
    next_phase_at: datetime | None
    can_go_to: tuple[RotationPhase, ...]
    fingerprints: tuple[str, ...]
    """Of the trusted keys, the signing one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Go on to a phase by hand; or, from standby and with a grace, begin a rotation on a timer."""

    kind: AuthorityKind
    phase: RotationPhase
    grace_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationList:
    """Every authority."""

    authorities: tuple[RotationStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesQuery:
    """Which certificates; empty fields ask for nothing."""

    serial: str = ""
    key_id: str = ""
    principal: str = ""
    user: str = ""
    session: str = ""
    valid_only: bool = False
    after_serial: str = ""
    """Go through the register in the order of serials, from after this one; for programs that read it all."""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateView:
    """A line of the register. The serial is text: it has 64 bits, more than a JSON number keeps."""

    serial: str
    authority: AuthorityKind
    key_id: str
    principals: tuple[str, ...]
    subject_key: str
    user: str
    session: str
    valid_after: datetime
    valid_before: datetime
    issued_at: datetime
    revoked_at: datetime | None
    revoked_by: str
    revoke_reason: str
    signed_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateList:
    """Certificates, newest first."""

    certificates: tuple[CertificateView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesRevoke:
    """Revoke by serial, by user, or by session: exactly one of the three."""

    serial: str = ""
    user: str = ""
    session: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KrlRead:
    """Ask for the key revocation list of an SSH authority's users of certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Krl:
    """An OpenSSH KRL (PROTOCOL.krl) over all SSH authorities; `version` only grows."""

    data: bytes
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebCertify:
    """The web process asks for a TLS server certificate over its own key, DER SubjectPublicKeyInfo."""

    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WebCertified:
    """The certificate chain for the web pages, PEM: the leaf, then the TLS authority."""

    chain: str
    expires_at: datetime


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="authorities.list",
        summary="The cluster's authorities and their public keys",
        request=Nothing,
        response=AuthorityList,
        callers=CONSOLE_OR_PERSON | {Caller.PROXY, Caller.WEB},
    ),
    Operation(
        name="identities.sign",
        summary="Certify keys for a user: for anybody at the console, for oneself elsewhere",
        request=IdentitySign,
        response=IssuedCredentials,
        callers=CONSOLE_OR_PERSON,
        admin=True,
    ),
    Operation(
        name="rotation.list",
        summary="Where each authority's rotation stands",
        request=Nothing,
        response=RotationList,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("cert_authority", "read"),
    ),
    Operation(
        name="rotation.go",
        summary="Rotate an authority: the next phase, or back",
        request=Rotate,
        response=RotationStatus,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("cert_authority", "rotate"),
        admin=True,
    ),
    Operation(
        name="certificates.list",
        summary="Search the register of certificates",
        request=CertificatesQuery,
        response=CertificateList,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("certificate", "list"),
    ),
    Operation(
        name="certificates.revoke",
        summary="Revoke certificates and end the sessions that stand on them",
        request=CertificatesRevoke,
        response=CertificateList,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("certificate", "update"),
        admin=True,
    ),
    Operation(
        name="krl.read",
        summary="The key revocation list, for the bastion and for nodes",
        request=KrlRead,
        response=Krl,
        callers=frozenset(Caller),
    ),
    Operation(
        name="web.certify",
        summary="A TLS certificate for the web pages, in the names people reach them by",
        request=WebCertify,
        response=WebCertified,
        callers=frozenset({Caller.WEB}),
    ),
    Operation(
        name="token.status",
        summary="The token: provider, keys, mechanisms, sealed or not",
        request=Nothing,
        response=TokenStatus,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("cert_authority", "read"),
    ),
)
