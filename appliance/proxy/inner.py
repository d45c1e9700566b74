"""The door of a node, at which the bastion stands in the node's name; and what a person does behind it.

The person is judged by auth once more, for this node and this login; the node is entered with a
certificate made for this session alone; then every channel is a session of its own: the first one is
what was approved at the door, each further one is decided anew (threat S05).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncssh

from appliance.domain.operations.ssh import (
    AccessRefused,
    ConnectRequest,
    MoreProof,
    ProofAnswer,
    SessionApproved,
    SessionEnd,
    SessionFacts,
)
from appliance.proxy.confirm import Confirmation
from appliance.proxy.edge import Edge
from appliance.proxy.errors import NodeProblem, TargetInvalid
from appliance.proxy.forwards import Forwards
from appliance.proxy.outbound import Approach, NodeConnection
from appliance.proxy.permits import permits
from appliance.proxy.person import Admission, Admitted, Further, PersonConnection, Refused, Signed
from appliance.proxy.program import Program
from appliance.proxy.relay import Pipe
from appliance.proxy.session import Session
from appliance.proxy.targets import parse_login

if TYPE_CHECKING:
    from asyncssh.public_key import SSHKey

    from appliance.proxy.fast.channel import Far
    from appliance.proxy.fast.opening import GlobalAnswer

log = logging.getLogger(__name__)
LOGINS = re.compile(rb"[a-z_][a-z0-9._-]{0,31}", re.ASCII)
KEY_TYPE = "ssh-ed25519"
PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDoorway:
    """Where somebody stands who asked for a node."""

    edge: Edge
    node: str
    user_names: re.Pattern[bytes] = LOGINS

    async def admit(self, person: PersonConnection, signed: Signed) -> Admission:
        """See `Doorway.admit`: the SSH user name is the login."""
        try:
            login = parse_login(signed.user)
        except TargetInvalid as error:
            return Refused(str(error))
        return await self.admit_as(person, signed, login)

    async def admit_as(self, person: PersonConnection, signed: Signed, login: str) -> Admission:
        """Ask auth, then enter the node; only then is the person told that they are in."""
        asking = Asking(edge=self.edge, node=self.node, login=login, signed=signed)
        key, answer = await asking.ask()
        match answer:
            case AccessRefused(message=message):
                return Refused(message)
            case MoreProof(challenge=""):
                return Refused("this login needs a certificate on a security key (sk-)")
            case MoreProof():
                return Further(Confirmation(self, asking, answer))
            case SessionApproved():
                return await self.enter(person, asking, key, answer)

    async def enter(
        self, person: PersonConnection, asking: Asking, key: SSHKey, approved: SessionApproved
    ) -> Admission:
        """Open the node for a session that auth has approved."""
        try:
            node = await self.edge.nodes.open(asking.approach(key, approved))
        except NodeProblem as error:
            self._give_up(approved, error)
            return Refused(str(error), final=True)
        visit = Visit(person=person, node=node, asking=asking)
        visit.begin(approved)
        return Admitted(visit)

    def _give_up(self, approved: SessionApproved, error: NodeProblem) -> None:
        log.warning("session %s: %s: %s", approved.session, error, error.reason)
        fields: dict[str, str | int | bool] = {"reason": error.reason, "message": str(error)}
        self.edge.reporter.put(
            SessionFacts(session=approved.session, event="session.rejected", fields=fields)
        )
        self.edge.reporter.put(
            SessionEnd(session=approved.session, reason=str(error), bytes_in=0, bytes_out=0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The question to auth, which is asked again for each further channel of the connection."""

    edge: Edge
    node: str
    login: str
    signed: Signed
    answers: tuple[ProofAnswer, ...] = ()

    async def ask(self) -> tuple[SSHKey, SessionApproved | MoreProof | AccessRefused]:
        """Return a fresh key, and auth's answer about a session with it."""
        key = asyncssh.generate_private_key(KEY_TYPE)
        request = ConnectRequest(
            evidence=self.signed.evidence,
            node=self.node,
            login=self.login,
            session_key=key.public_data,
            answers=self.answers,
        )
        return key, await self.edge.authority.connect(request)

    def approach(self, key: SSHKey, approved: SessionApproved) -> Approach:
        """Return how the node is entered."""
        return Approach(
            node=approved.node,
            address=approved.address,
            login=self.login,
            key=key,
            certificate=approved.certificate,
            host_principal=approved.host_principal,
            authorities=self.edge.trust.host_authorities,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """The rights of somebody at a node: programs, and forwards where the role has them."""

    person: PersonConnection
    node: NodeConnection
    asking: Asking
    _spare: Session | None = None
    _forwards: Forwards | None = None
    _sessions: set[Session] = field(default_factory=set)
    _programs: int = 0
    _over: bool = False

    @property
    def edge(self) -> Edge:
        """The worker's services."""
        return self.asking.edge

    def begin(self, approved: SessionApproved) -> None:
        """Take what was approved at the door for the first channel."""
        self._spare = self._session(approved)
        self.node.opens = self._node_opens
        self.node.lost = self._node_lost

    def _session(self, approved: SessionApproved) -> Session:
        session = Session(
            edge=self.edge,
            approved=approved,
            login=self.asking.login,
            permits=permits(approved.options, self.asking.signed.certificate),
            source=self.person.source,
            on_end=self._session_ends,
        )
        self._sessions.add(session)
        session.begin()
        return session

    async def take_session(self) -> Session:
        """Return a session for something new: the one from the door, or one approved now."""
        session, self._spare = self._spare, None
        if session is not None:
            return session
        _, answer = await self.asking.ask()
        match answer:
            case SessionApproved() if not self._over:
                return self._session(answer)
            case SessionApproved():
                raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "the connection is closed")
            case AccessRefused(message=message):
                raise asyncssh.ChannelOpenError(PROHIBITED, message)
            case MoreProof():
                raise asyncssh.ChannelOpenError(PROHIBITED, "a new check is due: open a new connection")

    def running(self) -> Session | None:
        """Return a session that runs already, if there is one."""
        return next(iter(self._sessions), None) if self._spare is None else None

    # Rights

    async def open(self, kind: bytes, payload: bytes) -> Far:
        """See `Rights.open`."""
        if kind == b"session":
            return await self._program(payload)
        return await self._forwarding().open_from_person(kind, payload)

    def ask(self, name: str, payload: bytes) -> GlobalAnswer:
        """See `Rights.ask`."""
        return self._forwarding().ask_from_person(name, payload)

    def lost(self) -> None:
        """See `Rights.lost`."""
        if self._over:
            return
        self._over = True
        self.node.abort()
        for session in list(self._sessions):
            self.edge.tasks.start(session.finish("the person closed the connection"))

    async def _program(self, payload: bytes) -> Far:
        if self._programs >= self._most_programs():
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many sessions")
        self._programs += 1
        try:
            return await self._open_program(payload)
        except BaseException:
            self._programs -= 1
            raise

    async def _open_program(self, payload: bytes) -> Far:
        session = await self.take_session()
        program = Program(session, on_over=self._program_over)
        pipe = program.pipe = Pipe(program)
        session.pipes.add(pipe)
        try:
            await self.node.open_channel(pipe.node, b"session", payload)
        except (asyncssh.ChannelOpenError, OSError):
            session.pipes.discard(pipe)
            self.edge.tasks.start(session.finish("the node opened no session"))
            raise
        return pipe.person

    def _most_programs(self) -> int:
        asked = [session.approved.options.max_sessions for session in self._sessions]
        return min([self.edge.limits.sessions_per_connection, *(most for most in asked if most)])

    def _program_over(self, program: Program) -> None:
        self._programs -= 1
        session = program.session
        if not session.pipes and not session.kept:
            self._sessions.discard(session)
            self.edge.tasks.start(session.finish("closed"))

    def _forwarding(self) -> Forwards:
        if self._forwards is None:
            self._forwards = Forwards(self)
        return self._forwards

    # Ends

    def _session_ends(self, session: Session, reason: str) -> None:
        if len(self._sessions) > 1:
            session.say(reason)
            for pipe in list(session.pipes):
                pipe.close()
        else:
            self.person.part(reason)

    async def _node_opens(self, kind: bytes, payload: bytes) -> Far:
        return await self._forwarding().open_from_node(kind, payload)

    def _node_lost(self, reason: str) -> None:
        log.info("node %s: %s", self.asking.node, reason)
        # The channels are closed by now; the person's connection has nothing left to lead to
        self.edge.tasks.start(self._part())

    async def _part(self) -> None:
        if not self._over:
            self.person.part(f"node {self.asking.node} closed the connection")
