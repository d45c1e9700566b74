"""What the store keeps, as frozen values. Secrets here are hashes, or sealed by the seed key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AuthorityKind(StrEnum):
    """The certificate authorities of a cluster (mission row K1), and the audit log's key."""

    USER = "user"
    OPENSSH = "openssh"
    HOST = "host"
    TLS = "tls"
    AUDIT = "audit"


class RotationPhase(StrEnum):
    """Where the rotation of an authority stands (mission row K3)."""

    STANDBY = "standby"
    """No rotation: one key, which signs and is trusted."""
    INIT = "init"
    """The new key exists and is trusted beside the old, which still signs."""
    UPDATE_CLIENTS = "update_clients"
    """The new key signs; people and machines get certificates of it; both are trusted."""
    UPDATE_SERVERS = "update_servers"
    """Servers have changed over; both are still trusted for what was issued before."""
    ROLLBACK = "rollback"
    """The old key signs again; both are trusted until what the new one signed is gone."""


class DeviceKind(StrEnum):
    """What kind of thing proves possession."""

    TOTP = "totp"
    WEBAUTHN = "webauthn"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A local account. `traits["logins"]` are its operating-system logins (mission row U2)."""

    name: str
    roles: tuple[str, ...]
    traits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    created_at: datetime
    created_by: str
    active: bool = False
    """Whether the sign-up was finished."""
    since: datetime | None = None
    """When it was last finished: what was issued, proved or opened under this name before is void."""

    def covers(self, moment: datetime) -> bool:
        """Whether something of that moment is of this account, not of what had its name before."""
        return self.since is None or self.since <= moment


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpDevice:
    """A time-based one-time password generator (RFC 6238)."""

    id: str
    name: str
    sealed_secret: bytes
    last_step: int
    created_at: datetime
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebauthnDevice:
    """A WebAuthn credential; `credential` is what the relying party keeps of it, as its own JSON text."""

    id: str
    name: str
    credential_id: bytes
    credential: str
    created_at: datetime
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a person proves themselves with."""

    user: str
    password: str
    """An argon2id hash in PHC form."""
    handle: bytes
    """The WebAuthn user handle: random, 32 bytes, never the name."""
    totp: tuple[TotpDevice, ...] = ()
    webauthn: tuple[WebauthnDevice, ...] = ()
    recovery: str = ""
    """The set of recovery codes, hashed, as its own JSON text; empty before the first is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """Whose a WebAuthn user handle is; one that was replaced stays, and finds nothing to match."""

    handle: str
    """In hex."""
    user: str


class InviteKind(StrEnum):
    """Why a person was sent a link."""

    SIGN_UP = "sign_up"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """A link that lets one person choose a password and enrol a factor, once."""

    id: str
    secret_hash: bytes
    user: str
    kind: InviteKind
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    ceremony: str | None = None
    """The enrolment begun and not finished: the relying party's state or a sealed TOTP secret, as JSON."""


class NodeKind(StrEnum):
    """Which daemon answers on a node."""

    OPENSSH = "openssh"
    SALLYPORT = "sallyport"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine people log in to through the bastion."""

    id: str
    name: str
    address: str
    """`host:port`, as the bastion reaches it."""
    kind: NodeKind
    labels: dict[str, str] = field(default_factory=dict)
    host_key: bytes
    """The node's public host key, in SSH wire form: what its host certificate was made for."""
    added_at: datetime
    host_certificate: str = ""
    """The node's own host certificate, OpenSSH form.

    What it presents where it trusts itself to the cluster.
    """
    certified_until: datetime | None = None
    certified_by: str = ""
    """Fingerprint of the host authority's key that signed it."""
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityKey:
    """One generation of a certificate authority's key; the private part stays in the token."""

    generation: int
    public_key: bytes
    """SSH wire form."""
    certificate: bytes = b""
    """The self-signed X.509 certificate (DER) of the TLS authority; empty for the others."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority: the key that signs, and those that are trusted."""

    kind: AuthorityKind
    signing: AuthorityKey
    trusted: tuple[AuthorityKey, ...]
    """Every key verifiers accept, the signing one among them."""
    phase: RotationPhase = RotationPhase.STANDBY
    next_phase_at: datetime | None = None
    """When a rotation on a timer goes on by itself; None when it is led by hand."""
    grace_seconds: int = 0
    """How long each phase of a rotation on a timer lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A line of the register: one certificate that was issued."""

    serial: int
    authority: AuthorityKind
    key_id: str
    principals: tuple[str, ...]
    subject_key: str
    """`SHA256:` fingerprint of the certified key."""
    user: str | None = None
    session: str | None = None
    valid_after: datetime
    valid_before: datetime
    issued_at: datetime
    signed_digest: str = ""
    """SHA-256 (hex) of what was signed, to be compared with the signer's ledger."""
    revoked_at: datetime | None = None
    revoked_by: str = ""
    revoke_reason: str = ""


class SessionKind(StrEnum):
    """What a session carries."""

    SHELL = "shell"
    EXEC = "exec"
    SUBSYSTEM = "subsystem"
    FORWARD = "forward"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One connection of one person to one node, and what became of it."""

    id: str
    user: str
    login: str
    node: str
    node_id: str
    source: str
    proxy: str
    certificate: int = 0
    """Serial of the certificate the person showed: revoking it ends the session."""
    started_at: datetime
    seen_at: datetime
    stop_reason: str = ""
    """Why it must end: the proxy hears it with the next pulse."""
    ended_at: datetime | None = None
    end_reason: str = ""
    recording_size: int = 0
    """Bytes of the closed recording; 0 while it is open, or when there is none."""
    recording_lost: bool = False
    """Whether the recording's end was lost."""
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """A signed-in browser; the cookie's value is kept as a hash only."""

    id: str
    user: str
    source: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """What a person has proved so far in one sign-in."""

    id: str
    user: str
    source: str
    created_at: datetime
    expires_at: datetime
    proved: tuple[str, ...] = ()
    ceremony: str | None = None
    """The WebAuthn ceremony under way: the relying party's state, as JSON."""
    passwordless: bool = False
    """Begun without a name: a passkey that verifies its user is all it takes."""
    spent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLogin:
    """A command line that waits for its person to sign in with a browser."""

    id: str
    secret_hash: bytes
    code: str
    """The short code both sides show, so that the person can tell their own request."""
    source: str
    ssh_public_key: bytes
    tls_public_key: bytes
    ttl_seconds: int
    created_at: datetime
    expires_at: datetime
    approved_by: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A join token; static ones come from the configuration and can't be revoked."""

    id: str
    secret_hash: bytes
    roles: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
