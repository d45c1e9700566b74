"""What the SSH edge asks of auth. It decides nothing itself: it carries facts here and obeys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from appliance.domain.codec import tagged
from appliance.domain.decision import Factor
from appliance.domain.operations.operation import Caller, Nothing, Operation
from appliance.domain.role import SessionOptions

PROXY = frozenset({Caller.PROXY})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRegister:
    """A proxy worker says who it is and which key its hosts will be certified with."""

    proxy_id: str
    host_key: bytes
    """Public, SSH wire form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTrust:
    """What a proxy needs to know to serve: names, authorities, limits."""

    cluster: str
    bastion_names: tuple[str, ...]
    """Host names its own certificate carries."""
    bastion_certificate: bytes
    """SSH wire form."""
    user_authorities: tuple[bytes, ...]
    """Public keys (SSH wire form) that people's certificates may be signed by."""
    host_authorities: tuple[bytes, ...]
    """Public keys that nodes' host certificates may be signed by."""
    max_connections: int
    max_users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCertify:
    """Ask for a host certificate over the proxy's key in a node's name."""

    node: str
    host_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCertified:
    """A host certificate, SSH wire form."""

    certificate: bytes


class Hop(StrEnum):
    """Which door a person stands at."""

    BASTION = "bastion"
    """The outer connection, which opens nothing by itself."""
    NODE = "node"
    """The connection in a node's name, which the bastion terminates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshEvidence:
    """What this very SSH connection proved. Only filled after its signature was verified."""

    certificate: bytes
    """The certificate that signed, SSH wire form; auth parses and judges it again."""
    source: str
    """The peer's IP address, as the kernel says."""
    session_hash: bytes
    """The SSH session identifier (RFC 4253 section 7.2) of this connection."""
    host_bound: bool = False
    security_key_flags: int | None = None
    """The authenticator's flags byte of this signature, for sk- keys."""
    security_key_counter: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SshLogin:
    """A person is at the bastion's own door."""

    evidence: SshEvidence
    user: str
    """The SSH user name of the request."""


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAccepted:
    """The certificate is good, and belongs to a person who may be here."""

    user: str
    expires_in_seconds: int


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRefused:
    """No. `message` is one short sentence the client may show; the full reason is in the log."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofAnswer:
    """What a person answered to a `MoreProof`.

    Once a challenge was met, naming it again with an empty code is good for the further channels of
    the same SSH connection (`SshEvidence.session_hash`).
    """

    challenge: str
    code: str = ""
    """A one-time code as typed; empty to ask whether it was approved in the browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """A person wants to be `login` on `node`; `session_key` is what the session's certificate is for."""

    evidence: SshEvidence
    node: str
    login: str
    session_key: bytes
    """A fresh public key of the proxy, SSH wire form."""
    proofs: tuple[str, ...] = ()
    answers: tuple[ProofAnswer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRequest:
    """A person of the outer connection wants an unrecorded byte stream (`-W`) to a node's port."""

    evidence: SshEvidence
    host: str
    port: int


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionApproved:
    """The edge may open the node with this certificate, for this session alone."""

    session: str
    user: str
    node: str
    node_id: str
    address: str
    """`host:port` to open."""
    host_principal: str
    """The name the node's host certificate must carry."""
    certificate: bytes
    """SSH wire form; minutes of life."""
    options: SessionOptions
    expires_in_seconds: int
    """When the person's own certificate ends."""


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class DirectApproved:
    """The edge may open a byte stream to this address."""

    session: str
    user: str
    address: str


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class MoreProof:
    """The edge asks the person for one of these, by keyboard-interactive, and then asks auth again.

    Without a `challenge` nothing can be asked on this connection: only a security key's own signature
    (an `sk-` certificate) would have done.
    """

    factors: tuple[Factor, ...]
    challenge: str = ""
    """Names the challenge in `ProofAnswer`; bound to this connection, user, login and node."""
    url: str = ""
    """Where it can be approved in a browser; empty where that is not possible."""
    matching: str = ""
    """A short code that the page shows too."""
    message: str = ""
    """What was wrong with the last answer, for the person; empty while nothing was."""
    expires_in_seconds: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """Something that happened in a session, in the words of the audit log."""

    session: str
    event: str
    """One of `SESSION_EVENTS`."""
    fields: dict[str, str | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """Facts to be in the log before the edge goes on."""

    facts: tuple[SessionFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """A session is over."""

    session: str
    reason: str
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Sent every few seconds: the sessions a worker carries. Answered with those to be ended."""

    proxy_id: str
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseAnswer:
    """Session id to the reason it must end for."""

    end: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingBlock:
    """A piece of a recording, as it lies in the proxy's spool."""

    session: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFinish:
    """The recording is complete, or its end was lost."""

    session: str
    size: int
    lost: bool = False


SESSION_EVENTS = frozenset({"exec", "scp", "resize", "subsystem", "port", "sftp", "session.rejected", "env"})

TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="proxy.register",
        summary="Names, authorities and limits for a proxy worker",
        request=ProxyRegister,
        response=ProxyTrust,
        callers=PROXY,
    ),
    Operation(
        name="proxy.pulse",
        summary="Report live sessions, learn which must end",
        request=Pulse,
        response=PulseAnswer,
        callers=PROXY,
    ),
    Operation(
        name="hosts.certify",
        summary="A host certificate over the proxy's key in a node's name",
        request=HostCertify,
        response=HostCertified,
        callers=PROXY,
    ),
    Operation(
        name="ssh.login",
        summary="Judge a person at the bastion's own door",
        request=SshLogin,
        response=LoginAccepted | AccessRefused,
        callers=PROXY,
    ),
    Operation(
        name="ssh.connect",
        summary="Decide a connection to a node and issue the session's certificate",
        request=ConnectRequest,
        response=SessionApproved | MoreProof | AccessRefused,
        callers=PROXY,
    ),
    Operation(
        name="ssh.direct",
        summary="Decide an unrecorded byte stream to a node",
        request=DirectRequest,
        response=DirectApproved | AccessRefused,
        callers=PROXY,
    ),
    Operation(
        name="sessions.report",
        summary="Put facts of a session into the log",
        request=SessionReport,
        response=Nothing,
        callers=PROXY,
    ),
    Operation(
        name="sessions.end",
        summary="End a session",
        request=SessionEnd,
        response=Nothing,
        callers=PROXY,
    ),
    Operation(
        name="recordings.append",
        summary="Add a block to a recording",
        request=RecordingBlock,
        response=Nothing,
        callers=PROXY,
    ),
    Operation(
        name="recordings.finish",
        summary="Close a recording",
        request=RecordingFinish,
        response=Nothing,
        callers=PROXY,
    ),
)
