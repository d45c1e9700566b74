"""The auth service as the SSH edge sees it, in memory: real keys, real certificates, settable answers.

It stands in for processes, not for protocol: every certificate it gives is signed, and what the edge
reports is kept so that a test can look.
"""

from __future__ import annotations

import threading
import uuid
from base64 import b64decode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh

from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, NotFound, Unavailable
from appliance.domain.operations import OPERATIONS, ssh
from appliance.domain.operations.operation import Nothing
from appliance.domain.role import RecordingMode, SessionOptions

CLUSTER = "main"
ALL_EXTENSIONS = {
    "permit_x11_forwarding": True,
    "permit_agent_forwarding": True,
    "permit_port_forwarding": True,
    "permit_pty": True,
    "permit_user_rc": False,
}


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251


@dataclass
class Node:
    name: str
    address: str
    principal: str = ""


@dataclass
class Check:
    """A second factor that `ssh.connect` asks for. `good` codes pass once, `approved` is the browser's."""

    factors: tuple[Factor, ...] = (Factor.TOTP,)
    url: str = ""
    good: set[str] = field(default_factory=set)
    approved: bool = False
    denied: bool = False
    seconds: int = 30
    met: set[bytes] = field(default_factory=set)

    def judge(self, request: ssh.ConnectRequest) -> ssh.MoreProof | ssh.AccessRefused | None:
        connection = request.evidence.session_hash
        touched = (request.evidence.security_key_flags or 0) & 1
        if touched or (request.answers and connection in self.met):
            return None
        if self.denied and request.answers:
            return ssh.AccessRefused(message="it was refused in the browser")
        code = request.answers[0].code if request.answers else ""
        if code in self.good or (request.answers and self.approved):
            self.good.discard(code)
            self.met.add(connection)
            return None
        wrong = "That code is not right." if code else ""
        return self._more(wrong)

    def _more(self, message: str) -> ssh.MoreProof:
        return ssh.MoreProof(
            factors=self.factors,
            challenge="c1",
            url=self.url,
            matching="7QXR",
            message=message,
            expires_in_seconds=self.seconds,
        )


@dataclass
class MemoryAuthority:
    """`call` as `Api.call` has it. `refuse` maps an operation to the message it refuses with."""

    user: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    openssh: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    host: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    nodes: dict[str, Node] = field(default_factory=dict)
    logins: dict[str, set[str]] = field(default_factory=dict)
    options: SessionOptions = field(
        default_factory=lambda: SessionOptions(
            max_session_ttl=timedelta(hours=8), recording=RecordingMode.STRICT
        )
    )
    expires_in: int = 3600
    max_connections: int = 15000
    refuse: dict[str, str] = field(default_factory=dict)
    end: dict[str, str] = field(default_factory=dict)
    check: Check | None = None
    away: bool = False
    full: bool = False
    direct: dict[tuple[str, int], str] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    facts: list[ssh.SessionFacts] = field(default_factory=list)
    ends: list[ssh.SessionEnd] = field(default_factory=list)
    connects: list[ssh.ConnectRequest] = field(default_factory=list)
    recordings: dict[str, bytearray] = field(default_factory=dict)
    finished: dict[str, ssh.RecordingFinish] = field(default_factory=dict)
    live: frozenset[str] = frozenset()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, name: str, request: object) -> Any:
        assert isinstance(request, OPERATIONS[name].request)
        if self.away:
            raise Unavailable("auth is away")
        with self.lock:
            self.calls.append((name, request))
            return getattr(self, "_" + name.replace(".", "_"))(request)

    # What a test makes

    def person(
        self,
        user: str,
        *principals: str,
        key: asyncssh.SSHKey | None = None,
        authority: Any = None,
        **given: Any,
    ) -> tuple[asyncssh.SSHKey, asyncssh.SSHOpenSSHCertificate]:
        """A person's key and certificate; `given` as `generate_user_certificate` takes it."""
        key = key or asyncssh.generate_private_key("ssh-ed25519")
        given = {"valid_after": "-1m", "valid_before": "+1h", **ALL_EXTENSIONS, **given}
        paper = (authority or self.user).generate_user_certificate(
            key, user, principals=list(principals or (user,)), **given
        )
        return key, paper

    def host_certificate(self, public_line: str, *principals: str, **given: Any) -> str:
        """Certify a node's host key; returns the line for HostCertificate."""
        key = asyncssh.import_public_key(public_line)
        given = {"valid_after": "-1m", "valid_before": "+1h", **given}
        paper = self.host.generate_host_certificate(key, principals[0], principals=list(principals), **given)
        return paper.export_certificate().decode()

    def fact(self, event: str) -> list[dict[str, Any]]:
        return [dict(fact.fields) for fact in self.facts if fact.event == event]

    # Operations

    def _trust(self, host_key: bytes) -> ssh.ProxyTrust:
        paper = self._host_paper(host_key, f"bastion.{CLUSTER}", "bastion", "127.0.0.1", "localhost")
        return ssh.ProxyTrust(
            cluster=CLUSTER,
            bastion_names=(f"bastion.{CLUSTER}",),
            bastion_certificate=paper,
            user_authorities=(self.user.public_data,),
            host_authorities=(self.host.public_data,),
            max_connections=self.max_connections,
            max_users=1000,
        )

    def _host_paper(self, host_key: bytes, *names: str) -> bytes:
        key = asyncssh.public_key.decode_ssh_public_key(host_key)
        paper = self.host.generate_host_certificate(
            key, names[0], principals=list(names), valid_after="-1m", valid_before="+1d"
        )
        return paper.public_data

    def _proxy_register(self, request: ssh.ProxyRegister) -> ssh.ProxyTrust:
        return self._trust(request.host_key)

    def _proxy_pulse(self, request: ssh.Pulse) -> ssh.PulseAnswer:
        self.live = frozenset(request.sessions)
        return ssh.PulseAnswer(end={one: self.end[one] for one in request.sessions if one in self.end})

    def _hosts_certify(self, request: ssh.HostCertify) -> ssh.HostCertified:
        if request.node not in self.nodes:
            raise NotFound(f"there is no node named {request.node}")
        paper = self._host_paper(request.host_key, f"{request.node}.{CLUSTER}", request.node)
        return ssh.HostCertified(certificate=paper)

    def _who(self, evidence: ssh.SshEvidence) -> tuple[str, str]:
        paper = asyncssh.public_key.decode_ssh_certificate(evidence.certificate)
        if paper._valid_before <= datetime.now(UTC).timestamp():  # noqa: TID251
            return paper._key_id, "your certificate has expired"
        return paper._key_id, ""

    def _ssh_login(self, request: ssh.SshLogin) -> ssh.LoginAccepted | ssh.AccessRefused:
        user, doubt = self._who(request.evidence)
        if doubt or "ssh.login" in self.refuse:
            return ssh.AccessRefused(message=doubt or self.refuse["ssh.login"])
        if user not in self.logins or request.user != user:
            return ssh.AccessRefused(message="access denied")
        return ssh.LoginAccepted(user=user, expires_in_seconds=self.expires_in)

    def _ssh_connect(
        self, request: ssh.ConnectRequest
    ) -> ssh.SessionApproved | ssh.MoreProof | ssh.AccessRefused:
        self.connects.append(request)
        user, doubt = self._who(request.evidence)
        if doubt or "ssh.connect" in self.refuse:
            return ssh.AccessRefused(message=doubt or self.refuse["ssh.connect"])
        if request.login not in self.logins.get(user, ()):
            return ssh.AccessRefused(message=f"login {request.login} is not allowed")
        if request.node not in self.nodes:
            return ssh.AccessRefused(message="access denied")
        if self.check is not None and (more := self.check.judge(request)) is not None:
            return more
        return self._approve(request, user, self.nodes[request.node])

    def _approve(self, request: ssh.ConnectRequest, user: str, node: Node) -> ssh.SessionApproved:
        session = str(uuid.uuid4())
        key = asyncssh.public_key.decode_ssh_public_key(request.session_key)
        paper = self.openssh.generate_user_certificate(
            key,
            f"session={session} user={user}",
            principals=[request.login],
            valid_after="-1m",
            valid_before="+2m",
            **ALL_EXTENSIONS,
        )
        return ssh.SessionApproved(
            session=session,
            user=user,
            node=node.name,
            node_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, node.name)),
            address=node.address,
            host_principal=node.principal or f"{node.name}.{CLUSTER}",
            certificate=paper.public_data,
            options=self.options,
            expires_in_seconds=self.expires_in,
        )

    def _ssh_direct(self, request: ssh.DirectRequest) -> ssh.DirectApproved | ssh.AccessRefused:
        address = self.direct.get((request.host, request.port))
        if address is None:
            return ssh.AccessRefused(message="access denied")
        user, _ = self._who(request.evidence)
        return ssh.DirectApproved(session=str(uuid.uuid4()), user=user, address=address)

    def _sessions_report(self, request: ssh.SessionReport) -> Nothing:
        assert all(fact.event in ssh.SESSION_EVENTS for fact in request.facts)
        self.facts.extend(request.facts)
        return Nothing()

    def _sessions_end(self, request: ssh.SessionEnd) -> Nothing:
        self.ends.append(request)
        return Nothing()

    def _recordings_append(self, request: ssh.RecordingBlock) -> Nothing:
        stored = self.recordings.setdefault(request.session, bytearray())
        if request.offset > len(stored):
            raise Conflict(f"the next piece begins at {len(stored)}")
        stored[request.offset : request.offset + len(request.data)] = request.data
        return Nothing()

    def _recordings_finish(self, request: ssh.RecordingFinish) -> Nothing:
        if len(self.recordings.get(request.session, b"")) != request.size:
            raise Conflict("another size")
        self.finished[request.session] = request
        return Nothing()

    def with_options(self, **changes: Any) -> None:
        self.options = replace(self.options, **changes)


def blob_of(line: str) -> bytes:
    return b64decode(line.split()[1])
