"""The repositories of the auth service, one a noun."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.authn.throttle import Failures
from appliance.domain import records
from appliance.store.backend import Backend
from appliance.store.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDocument:
    """A role as it was written, in the form of its YAML document."""

    name: str
    document: str
    """JSON text of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the auth service keeps, besides the audit log and recordings."""

    backend: Backend
    users: Repository[records.User]
    credentials: Repository[records.Credentials]
    handles: Repository[records.Handle]
    invites: Repository[records.Invite]
    roles: Repository[RoleDocument]
    nodes: Repository[records.Node]
    authorities: Repository[records.Authority]
    certificates: Repository[records.Certificate]
    sessions: Repository[records.Session]
    web_sessions: Repository[records.WebSession]
    attempts: Repository[records.LoginAttempt]
    browser_logins: Repository[records.BrowserLogin]
    failures: Repository[Failures]


SERIAL_DIGITS = 20
"""A 64-bit serial has at most 20 decimal digits; padded, keys sort by number."""


def serial_name(serial: int) -> str:
    """Return the name a certificate is kept under."""
    return f"{serial:0{SERIAL_DIGITS}d}"


def over(backend: Backend) -> State:
    """Return the repositories over one backend."""
    return State(
        backend=backend,
        users=Repository(backend, prefix="users", kind=records.User, name=lambda user: user.name),
        credentials=Repository(
            backend, prefix="credentials", kind=records.Credentials, name=lambda one: one.user
        ),
        handles=Repository(backend, prefix="handles", kind=records.Handle, name=lambda one: one.handle),
        invites=Repository(backend, prefix="invites", kind=records.Invite, name=lambda one: one.id),
        roles=Repository(backend, prefix="roles", kind=RoleDocument, name=lambda role: role.name),
        nodes=Repository(backend, prefix="nodes", kind=records.Node, name=lambda node: node.name),
        authorities=Repository(
            backend, prefix="authorities", kind=records.Authority, name=lambda one: one.kind
        ),
        certificates=Repository(
            backend,
            prefix="certificates",
            kind=records.Certificate,
            name=lambda one: serial_name(one.serial),
        ),
        sessions=Repository(backend, prefix="sessions", kind=records.Session, name=lambda one: one.id),
        web_sessions=Repository(
            backend,
            prefix="web_sessions",
            kind=records.WebSession,
            name=lambda one: one.id,
            expires=lambda one: one.expires_at,
        ),
        attempts=Repository(
            backend,
            prefix="attempts",
            kind=records.LoginAttempt,
            name=lambda one: one.id,
            expires=lambda one: one.expires_at,
        ),
        browser_logins=Repository(
            backend,
            prefix="browser_logins",
            kind=records.BrowserLogin,
            name=lambda one: one.id,
            expires=lambda one: one.expires_at,
        ),
        failures=Repository(
            backend,
            prefix="failures",
            kind=Failures,
            name=lambda one: one.key,
            expires=lambda one: one.expires_at,
        ),
    )
