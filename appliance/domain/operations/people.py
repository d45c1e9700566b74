"""Accounts, sign-up links, signing in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.domain.codec import tagged
from appliance.domain.decision import Factor
from appliance.domain.operations.operation import Caller, Nothing, Operation, Rule

CONSOLE_OR_PERSON = frozenset({Caller.CONSOLE, Caller.PERSON})
WEB = frozenset({Caller.WEB})
PERSON = frozenset({Caller.PERSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInfo:
    """What anyone may know of the cluster (mission row M4)."""

    server_version: str
    cluster: str
    second_factors: tuple[str, ...]
    rp_id: str
    web_address: str
    ssh_address: str
    api_address: str
    tls_authority: bytes
    """The TLS authority's certificate, DER; its pin is the SHA-256 of the public key."""
    host_authority: str
    """The host authority's public keys, a line each, in OpenSSH form."""
    tls_authorities: tuple[bytes, ...] = ()
    """Every TLS authority trusted now, DER: more than one while the authority is rotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreate:
    """Make an account and a sign-up link for it. With no login, a user gets their own name."""

    name: str
    logins: tuple[str, ...] = ()
    roles: tuple[str, ...] = ("access",)
    ttl_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNamed:
    """A user by name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUpdate:
    """Change an account's logins or roles; `None` leaves them as they are."""

    name: str
    logins: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserView:
    """An account as administrators see it."""

    name: str
    logins: tuple[str, ...]
    roles: tuple[str, ...]
    active: bool
    factors: tuple[str, ...]
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserList:
    """All accounts, by name."""

    users: tuple[UserView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteLink:
    """A one-use link. Its token is shown here once and kept nowhere."""

    user: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteToken:
    """The secret part of a sign-up link."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteView:
    """Whose link it is, and what can be enrolled."""

    user: str
    kind: str
    expires_at: datetime
    factors: tuple[str, ...]
    shortest_password: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolBegin:
    """Begin to enrol a second factor through a sign-up link."""

    token: str
    factor: Factor


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class TotpOffer:
    """A fresh TOTP secret, shown once."""

    secret: str
    """Base32."""
    uri: str
    """`otpauth://` form, for the QR code."""


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class WebauthnOffer:
    """Options for `navigator.credentials.create` or `.get`, as their JSON form."""

    options: dict[str, Any]


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordProof:
    """A password."""

    password: str


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class CodeProof:
    """A one-time code of any kind the person has: TOTP or a recovery code."""

    code: str


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class WebauthnProof:
    """An authenticator's answer: the credential's `toJSON()`."""

    response: dict[str, Any]


Proof = PasswordProof | CodeProof | WebauthnProof


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolFinish:
    """Finish a sign-up: the password, and the proof that the factor works."""

    token: str
    password: str
    device_name: str
    proof: CodeProof | WebauthnProof


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """The account is ready; the recovery codes are shown once."""

    user: str
    recovery_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginBegin:
    """Begin to sign in. `user` empty means a passkey will name its owner."""

    user: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginProve:
    """Offer proofs together: one wrong proof refuses them all, and does not say which."""

    attempt: str
    source: str
    proofs: tuple[PasswordProof | CodeProof | WebauthnProof, ...]


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPending:
    """More is needed: one of `factors`."""

    attempt: str
    factors: tuple[Factor, ...]
    webauthn: dict[str, Any] | None = None


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptAccepted:
    """Everything was proved; the attempt can be spent once."""

    attempt: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRequest:
    """Spend an accepted attempt for certificates over these public keys."""

    attempt: str
    source: str
    ssh_public_key: bytes
    tls_public_key: bytes
    """DER SubjectPublicKeyInfo."""
    ttl_seconds: int | None = None


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCredentials:
    """What a person carries: certificates, and what to trust."""

    user: str
    cluster: str
    ssh_certificate: str
    """OpenSSH form, one line."""
    tls_certificate: bytes
    """DER."""
    tls_authorities: tuple[bytes, ...]
    """DER; more than one while the authority is rotated."""
    host_authority: str
    logins: tuple[str, ...]
    roles: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSessionCreate:
    """Spend an accepted attempt for a browser session."""

    attempt: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSessionCreated:
    """The cookie's value, shown here once."""

    token: str
    user: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Whoami:
    """The person behind the call, as the store has them now."""

    user: str
    logins: tuple[str, ...]
    roles: tuple[str, ...]
    factors: tuple[str, ...]
    cluster: str
    may: tuple[str, ...] = ()
    """Names of the operations this person's roles let them call: what a face need not offer in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginCreate:
    """A command line asks to be signed in by a browser."""

    source: str
    ssh_public_key: bytes
    tls_public_key: bytes
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginCreated:
    """Where to go, what code to compare, and the secret to collect with."""

    id: str
    url: str
    code: str
    secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginNamed:
    """A browser login by id."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginView:
    """What the person sees before they agree."""

    id: str
    code: str
    source: str
    ttl_seconds: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginAnswer:
    """The person's answer."""

    id: str
    approve: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginCollect:
    """Ask whether the person has answered."""

    id: str
    secret: str


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLoginWaiting:
    """Not yet."""


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="cluster.ping",
        summary="Version, addresses, second factors and public authorities",
        request=Nothing,
        response=ClusterInfo,
        callers=frozenset(Caller),
    ),
    Operation(
        name="users.create",
        summary="Make an account and its sign-up link",
        request=UserCreate,
        response=InviteLink,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("user", "create"),
        admin=True,
    ),
    Operation(
        name="users.list",
        summary="List accounts",
        request=Nothing,
        response=UserList,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("user", "list"),
    ),
    Operation(
        name="users.update",
        summary="Change logins or roles",
        request=UserUpdate,
        response=UserView,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("user", "update"),
        admin=True,
    ),
    Operation(
        name="users.reset",
        summary="Take an account's factors away and make a link to enrol anew",
        request=UserNamed,
        response=InviteLink,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("user", "update"),
        admin=True,
    ),
    Operation(
        name="users.delete",
        summary="Delete an account and end its sessions",
        request=UserNamed,
        response=Nothing,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("user", "delete"),
        admin=True,
    ),
    Operation(
        name="invites.show",
        summary="Whose sign-up link this is",
        request=InviteToken,
        response=InviteView,
        callers=WEB,
    ),
    Operation(
        name="invites.begin",
        summary="Begin to enrol a factor through a sign-up link",
        request=EnrolBegin,
        response=TotpOffer | WebauthnOffer,
        callers=WEB,
    ),
    Operation(
        name="invites.finish",
        summary="Finish a sign-up",
        request=EnrolFinish,
        response=Enrolled,
        callers=WEB,
    ),
    Operation(
        name="login.begin",
        summary="Begin to sign in",
        request=LoginBegin,
        response=AttemptPending,
        callers=WEB,
    ),
    Operation(
        name="login.prove",
        summary="Offer proofs",
        request=LoginProve,
        response=AttemptPending | AttemptAccepted,
        callers=WEB,
    ),
    Operation(
        name="login.issue",
        summary="Spend an accepted attempt for certificates",
        request=CredentialsRequest,
        response=IssuedCredentials,
        callers=WEB,
    ),
    Operation(
        name="web_sessions.create",
        summary="Spend an accepted attempt for a browser session",
        request=WebSessionCreate,
        response=WebSessionCreated,
        callers=WEB,
    ),
    Operation(
        name="web_sessions.end",
        summary="Sign this browser out",
        request=Nothing,
        response=Nothing,
        callers=PERSON,
    ),
    Operation(
        name="me.show",
        summary="Who is calling",
        request=Nothing,
        response=Whoami,
        callers=PERSON,
    ),
    Operation(
        name="browser_logins.create",
        summary="Ask for a command line to be signed in by a browser",
        request=BrowserLoginCreate,
        response=BrowserLoginCreated,
        callers=WEB,
    ),
    Operation(
        name="browser_logins.show",
        summary="What a waiting command line asks for",
        request=BrowserLoginNamed,
        response=BrowserLoginView,
        callers=PERSON,
    ),
    Operation(
        name="browser_logins.answer",
        summary="Agree to sign a waiting command line in, or refuse",
        request=BrowserLoginAnswer,
        response=Nothing,
        callers=PERSON,
    ),
    Operation(
        name="browser_logins.collect",
        summary="Fetch the certificates once the person has agreed",
        request=BrowserLoginCollect,
        response=BrowserLoginWaiting | IssuedCredentials,
        callers=WEB,
    ),
)
