"""The story of a connection, from the certificate a person shows to the one a node accepts, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from appliance.broker.authorities import Authorities
from appliance.broker.issue import Issuer
from appliance.broker.ports import Clock, Egress, Randomness, Trail
from appliance.broker.roles import Roles
from appliance.broker.session_check import SessionCheck, Target
from appliance.broker.state import State, serial_name
from appliance.certificates import templates
from appliance.certificates.lifetimes import Lifetimes
from appliance.certificates.presented import Presented, claimed_user, judge
from appliance.domain import names
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, Invalid
from appliance.domain.events import Event, EventName, Value
from appliance.domain.operations import ssh
from appliance.domain.records import AuthorityKind, Node, Session, User
from appliance.policy import destinations
from appliance.policy.decision import AccessDeny, AccessNeed, AccessPermit, SessionProof

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from appliance.domain.role import SessionOptions

USER_PRESENT = 0x01
USER_VERIFIED = 0x04
"""Bits of the authenticator's flags (OpenSSH PROTOCOL.u2f, WebAuthn Level 3 section 6.1)."""


MAX_SAID = 256
"""Characters kept of a login or node that was asked for and refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person whose certificate holds, and whose account may be used."""

    user: User
    certificate: Presented


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Judge who is there, decide what they may, issue what it needs. Records first, acts second."""

    state: State
    authorities: Authorities
    roles: Roles
    check: SessionCheck
    issuer: Issuer
    lifetimes: Lifetimes
    egress: Egress
    random: Randomness
    trail: Trail
    clock: Clock
    cluster: str

    def login(self, identity: object, request: ssh.SshLogin) -> ssh.LoginAccepted | ssh.AccessRefused:
        """Judge a person at the bastion's own door, which opens nothing by itself."""
        del identity
        try:
            visitor = self._visitor(request.evidence)
        except Denied as error:
            return self._refused(request.evidence, error)
        self._authenticated(visitor, request.evidence)
        return ssh.LoginAccepted(
            user=visitor.user.name, expires_in_seconds=self._left(visitor.certificate.valid_before)
        )

    def connect(
        self, identity: object, request: ssh.ConnectRequest
    ) -> ssh.SessionApproved | ssh.MoreProof | ssh.AccessRefused:
        """Decide one session on one node and issue its certificate."""
        del identity
        try:
            visitor = self._visitor(request.evidence)
            node, login = self._target(request)
            return self._decide(visitor, node, login, request)
        except Denied as error:
            return self._refused(
                request.evidence, error, login=request.login[:MAX_SAID], node=request.node[:MAX_SAID]
            )

    def direct(self, identity: object, request: ssh.DirectRequest) -> ssh.DirectApproved | ssh.AccessRefused:
        """Decide an unrecorded byte stream (`-W`), which only a role that names the destination allows."""
        del identity
        try:
            visitor = self._visitor(request.evidence)
            node, address = self._destination(visitor, request)
        except Denied as error:
            return self._refused(request.evidence, error, node=request.host[:MAX_SAID])
        session = self.random.uuid()
        self._record_direct(visitor, node, session, address, request)
        return ssh.DirectApproved(session=session, user=visitor.user.name, address=address)

    def _visitor(self, evidence: ssh.SshEvidence) -> Visitor:
        certificate = judge(
            evidence.certificate,
            authorities=self.authorities.trusted(AuthorityKind.USER),
            source=evidence.source,
            now=self.clock.now(),
        )
        found = self.state.users.find(certificate.user)
        if found is None or not found.value.active:
            raise Denied(f"certificate of {certificate.user}, who has no active account")
        self._check_register(certificate, found.value)
        return Visitor(user=found.value, certificate=certificate)

    def _check_register(self, certificate: Presented, user: User) -> None:
        found = self.state.certificates.find(serial_name(certificate.serial))
        if found is None or found.value.revoked_at is not None:
            raise Denied(f"certificate {certificate.serial} is revoked or not in the register")
        issued = found.value
        shown = (AuthorityKind.USER, certificate.user, certificate.fingerprint)
        if (issued.authority, issued.user, issued.subject_key) != shown:
            raise Denied(f"certificate {certificate.serial} is not the one in the register: a forgery?")
        if not user.covers(issued.issued_at):
            raise Denied(
                f"certificate {certificate.serial} was issued before the account was made or reset",
                message="your certificate is from before your account was reset: sally login",
            )

    def _target(self, request: ssh.ConnectRequest) -> tuple[Node, str]:
        try:
            login = names.login(request.login)
        except Invalid as error:
            raise Denied(str(error), message="that login name is not valid") from error
        return self._node(request.node), login

    def _node(self, name: str) -> Node:
        short = name.removesuffix(f".{self.cluster}")
        try:
            found = self.state.nodes.find(names.node_name(short))
        except Invalid as error:
            raise Denied(str(error), message="there is no such node, or it is not yours") from error
        if found is None:
            raise Denied(f"unknown node {short}", message="there is no such node, or it is not yours")
        return found.value

    def _decide(
        self, visitor: Visitor, node: Node, login: str, request: ssh.ConnectRequest
    ) -> ssh.SessionApproved | ssh.MoreProof | ssh.AccessRefused:
        now, ends = self.clock.now(), visitor.certificate.valid_before
        target = Target(
            user=visitor.user.name,
            login=login,
            node=node.name,
            source=request.evidence.source,
            session_hash=request.evidence.session_hash,
        )
        wrong = self.check.answered(target, request.answers)
        proofs = (*_proofs(request.evidence, now), *self.check.proofs(target, request.answers))
        decision = self.roles.decide(visitor.user, node, login, now, expires=ends, proofs=proofs)
        match decision:
            case AccessDeny(explanation=explanation):
                raise Denied(str(explanation), message=f"login {login} on {node.name} is not allowed")
            case AccessNeed(factors=factors):
                return self.check.ask(target, factors, request.answers, "; ".join(wrong))
            case AccessPermit(options=options):
                self._check_options(options, request.evidence)
                return self._approve(visitor, node, login, options, request)
            case unknown:
                assert_never(unknown)

    def _check_options(self, options: SessionOptions, evidence: ssh.SshEvidence) -> None:
        if options.require_host_bound and not evidence.host_bound:
            raise Denied(
                "role requires host-bound authentication",
                message="this role requires host-bound authentication: use OpenSSH 8.9 or later",
            )

    def _approve(
        self,
        visitor: Visitor,
        node: Node,
        login: str,
        options: SessionOptions,
        request: ssh.ConnectRequest,
    ) -> ssh.SessionApproved:
        now, session = self.clock.now(), self.random.uuid()
        self._authenticated(visitor, request.evidence, login=login, session=session)
        self._start(visitor, node, login, session, request.evidence)
        spec = templates.session_ssh(
            session=session,
            user=visitor.user.name,
            login=login,
            public_key=request.session_key,
            egress=self.egress(node.address),
            now=now,
            until=min(now + self.lifetimes.session, visitor.certificate.valid_before),
        )
        certificate = self.issuer.ssh(spec, user=visitor.user.name, session=session)
        return ssh.SessionApproved(
            session=session,
            user=visitor.user.name,
            node=node.name,
            node_id=node.id,
            address=node.address,
            host_principal=f"{node.name}.{self.cluster}",
            certificate=certificate,
            options=options,
            expires_in_seconds=self._left(visitor.certificate.valid_before),
        )

    def _start(
        self, visitor: Visitor, node: Node, login: str, session: str, evidence: ssh.SshEvidence
    ) -> None:
        self.trail.record(
            Event(
                name=EventName.SESSION_START,
                user=visitor.user.name,
                login=login,
                sid=session,
                server_id=node.id,
                source=evidence.source,
                detail={
                    "namespace": "default",
                    "server_hostname": node.name,
                    "addr.local": node.address,
                    "certificate": str(visitor.certificate.serial),
                },
            )
        )
        self._live(visitor, node, login, session, evidence)

    def _live(
        self, visitor: Visitor, node: Node, login: str, session: str, evidence: ssh.SshEvidence
    ) -> None:
        now = self.clock.now()
        self.state.sessions.create(
            Session(
                id=session,
                user=visitor.user.name,
                login=login,
                node=node.name,
                node_id=node.id,
                source=evidence.source,
                proxy="",
                certificate=visitor.certificate.serial,
                started_at=now,
                seen_at=now,
            )
        )

    def _destination(self, visitor: Visitor, request: ssh.DirectRequest) -> tuple[Node, str]:
        node = self._node(request.host)
        allowed = [
            options
            for options in self._options(visitor, node)
            if destinations.may_forward(options, node.name, request.port)
        ]
        if not allowed:
            raise Denied(
                f"no role of {visitor.user.name} allows an unrecorded stream to {node.name}:{request.port}",
                message="unrecorded connections to this node are not allowed",
            )
        self._check_options(allowed[0], request.evidence)
        host, _ = names.host_port(node.address)
        return node, f"[{host}]:{request.port}" if ":" in host else f"{host}:{request.port}"

    def _options(self, visitor: Visitor, node: Node) -> Iterator[SessionOptions]:
        """Yield the options of the sessions this person may open on the node without a further check."""
        now, ends = self.clock.now(), visitor.certificate.valid_before
        for login in visitor.user.traits.get("logins", ()):
            decision = self.roles.decide(visitor.user, node, login, now, expires=ends)
            if isinstance(decision, AccessPermit):
                yield decision.options

    def _record_direct(
        self, visitor: Visitor, node: Node, session: str, address: str, request: ssh.DirectRequest
    ) -> None:
        self.trail.record(
            Event(
                name=EventName.PORT,
                user=visitor.user.name,
                sid=session,
                server_id=node.id,
                source=request.evidence.source,
                detail={"addr.local": address, "recorded": False},
            )
        )
        # A stream is reported, revoked and ended like any session, or the first pulse would end it
        self._live(visitor, node, "", session, request.evidence)

    def _authenticated(
        self, visitor: Visitor, evidence: ssh.SshEvidence, *, login: str = "", session: str = ""
    ) -> None:
        detail: dict[str, Value] = {
            "certificate": str(visitor.certificate.serial),
            "key": visitor.certificate.fingerprint,
            "host_bound": evidence.host_bound,
        }
        self.trail.record(
            Event(
                name=EventName.AUTH,
                user=visitor.user.name,
                login=login,
                sid=session,
                source=evidence.source,
                detail=detail,
            )
        )

    def _refused(
        self, evidence: ssh.SshEvidence, error: Denied, *, login: str = "", node: str = ""
    ) -> ssh.AccessRefused:
        self.trail.record(
            Event(
                name=EventName.AUTH,
                user=claimed_user(evidence.certificate),
                login=login,
                source=evidence.source,
                error=error.reason,
                detail={"server_hostname": node} if node else {},
            )
        )
        return ssh.AccessRefused(message=str(error))

    def _left(self, until: datetime) -> int:
        return max(0, int((until - self.clock.now()).total_seconds()))


def _proofs(evidence: ssh.SshEvidence, now: datetime) -> tuple[SessionProof, ...]:
    """Return what this connection's own signature proved: a touch and, maybe, a PIN on a security key.

    A signature that nobody touched the key for is made by whoever sits at the machine: it proves nothing.
    """
    if evidence.security_key_flags is None or not evidence.security_key_flags & USER_PRESENT:
        return ()
    return (
        SessionProof(
            factor=Factor.SSH_SECURITY_KEY,
            at=now,
            presence=True,
            verification=bool(evidence.security_key_flags & USER_VERIFIED),
        ),
    )
