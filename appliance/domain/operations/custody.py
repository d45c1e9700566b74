"""Authorities, certificates and the token behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.domain.operations.operation import Caller, Nothing, Operation, Rule
from appliance.domain.operations.people import CONSOLE_OR_PERSON
from appliance.domain.records import AuthorityKind

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
