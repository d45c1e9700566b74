"""The bastion's own door, and what a person who is in may open there: nodes, and nothing else.

direct-tcpip web1.main:22           a connection in the node's name, terminated here (`inner`)
direct-tcpip web1.main:8080         a byte stream, if auth allows it unrecorded (`ssh.direct`)
session, subsystem proxy:web1:22    the same two, for clients that use it as ProxyCommand
session, shell or command           a friendly line: there is no shell here (threat S08)
user name root@web1                 not the bastion at all: `inner`, without a second connection
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

from appliance.domain.errors import SallyportError
from appliance.domain.operations.ssh import AccessRefused, DirectRequest
from appliance.proxy.direct import DirectStream
from appliance.proxy.edge import Edge
from appliance.proxy.errors import CertificateInvalid, TargetInvalid
from appliance.proxy.inner import NodeDoorway
from appliance.proxy.person import Admission, Admitted, PersonConnection, Refused, Signed
from appliance.proxy.targets import SSH_PORT, Target, parse_destination, parse_subsystem, parse_target
from appliance.proxy.wire import Reader

if TYPE_CHECKING:
    from appliance.proxy.fast.channel import Answer, BridgeChannel, Far
    from appliance.proxy.fast.opening import GlobalAnswer

log = logging.getLogger(__name__)
USER_NAMES = re.compile(rb"[a-z_][a-z0-9._-]{0,63}(?:[@%][a-z0-9][a-z0-9.-]{0,252})?", re.ASCII)
NO_SHELL = (
    "\r\nHello {user}, you are signed in to the bastion of {cluster}. There is no shell here.\r\n"
    "To reach a node:  ssh -J {user}@<this host> <login>@<node>.{cluster}\r\n\r\n"
)
PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED


@dataclass(frozen=True, slots=True)
class BastionDoorway:
    """Where everybody stands first."""

    edge: Edge
    user_names: re.Pattern[bytes] = USER_NAMES

    async def admit(self, person: PersonConnection, signed: Signed) -> Admission:
        """See `Doorway.admit`. The name on the certificate wins over a reading as `login@node`."""
        try:
            destination = parse_destination(signed.user, self.edge.trust.cluster)
        except TargetInvalid as error:
            return Refused(str(error))
        if destination is not None and signed.user != signed.certificate.key_id:
            doorway = NodeDoorway(edge=self.edge, node=destination.node)
            return await doorway.admit_as(person, signed, destination.login)
        answer = await self.edge.authority.login(signed.evidence, signed.user)
        if isinstance(answer, AccessRefused):
            return Refused(answer.message)
        return Admitted(Jump(edge=self.edge, person=person, signed=signed, user=answer.user))


@dataclass(slots=True, kw_only=True, eq=False)
class Jump:
    """The rights of somebody at the bastion."""

    edge: Edge
    person: PersonConnection
    signed: Signed
    user: str
    nodes: int = 0

    async def open(self, kind: bytes, payload: bytes) -> Far:
        """See `Rights.open`."""
        if kind == b"direct-tcpip":
            return await self._direct_tcpip(Reader(payload))
        if kind == b"session":
            return Foyer(self)
        raise asyncssh.ChannelOpenError(PROHIBITED, "the bastion opens nothing but nodes")

    def ask(self, name: str, payload: bytes) -> GlobalAnswer:
        """See `Rights.ask`: nothing is forwarded to the bastion."""
        del name, payload
        return False

    def lost(self) -> None:
        """See `Rights.lost`. What was opened here ends with the channels it runs on."""

    async def _direct_tcpip(self, reader: Reader) -> Far:
        try:
            host, port = reader.text(), reader.uint32()
            target = parse_target(host, port, self.edge.trust.cluster)
        except (CertificateInvalid, TargetInvalid) as error:
            raise asyncssh.ChannelOpenError(PROHIBITED, str(error)) from error
        return await self.reach(target)

    async def reach(self, target: Target) -> Far:
        """Return what a target is; raises asyncssh's `ChannelOpenError`."""
        if target.port == SSH_PORT:
            return await self._terminate(target.node)
        if self.signed.certificate.forced_command is not None:
            raise asyncssh.ChannelOpenError(PROHIBITED, "a forced command allows no forwarding")
        return await self._stream(target)

    async def _terminate(self, node: str) -> Far:
        if self.nodes >= self.edge.limits.nodes_per_connection:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, "too many nodes through one connection"
            )
        try:
            options = await self.edge.hosts.node(node)
        except SallyportError as error:
            log.info("%s asks for node %s: %s", self.user, node, error)
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(error)) from error
        self.nodes += 1
        return PersonConnection(
            asyncio.get_running_loop(),
            options,
            edge=self.edge,
            doorway=NodeDoorway(edge=self.edge, node=node),
            peer=(self.person.source, 0),
            on_lost=self._node_lost,
        )

    def _node_lost(self, _exc: Exception | None) -> None:
        self.nodes -= 1

    async def _stream(self, target: Target) -> Far:
        request = DirectRequest(evidence=self.signed.evidence, host=target.node, port=target.port)
        answer = await self.edge.authority.direct(request)
        if isinstance(answer, AccessRefused):
            raise asyncssh.ChannelOpenError(PROHIBITED, answer.message)
        return await DirectStream.open(self.edge, answer, target)


class Foyer:
    """A session channel at the bastion: a subsystem that leads on, or a friendly line."""

    def __init__(self, jump: Jump) -> None:
        self._jump = jump
        self._channel: BridgeChannel | None = None
        self._behind: Far | None = None
        self._used = False

    def connection_made(self, chan: BridgeChannel) -> None:
        """The channel is open; nothing is read before we know what it is for."""
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed."""
        self._channel = None
        if self._behind is not None:
            self._behind.connection_lost(exc)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes for what is behind."""
        if self._behind is not None:
            self._behind.data_received(data, datatype)

    def eof_received(self) -> bool:
        """The person sends no more."""
        return self._behind is not None and bool(self._behind.eof_received())

    def pause_writing(self) -> None:
        """The person is slow."""
        if self._behind is not None:
            self._behind.pause_writing()

    def resume_writing(self) -> None:
        """The person takes more again."""
        if self._behind is not None:
            self._behind.resume_writing()

    def request_received(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A terminal is granted, so that the line can be read; the environment is not wanted."""
        del want_reply
        if name == "pty-req":
            return True
        if self._used or name not in {"shell", "exec", "subsystem"}:
            return False
        self._used = True
        if name == "subsystem":
            return self._jump.edge.tasks.start(self._lead_on(payload))
        asyncio.get_running_loop().call_soon(self._explain)
        return True

    def _explain(self) -> None:
        if self._channel is None:
            return
        cluster = self._jump.edge.trust.cluster
        self._channel.write(NO_SHELL.format(user=self._jump.user, cluster=cluster).encode())
        self._leave(1)

    def _leave(self, status: int) -> None:
        if self._channel is not None:
            self._channel.request("exit-status", status.to_bytes(4, "big"), want_reply=False)
            self._channel.close()

    async def _lead_on(self, payload: bytes) -> bool:
        try:
            target = parse_subsystem(Reader(payload).text(), self._jump.edge.trust.cluster)
            behind = await self._jump.reach(target) if target else None
        except (CertificateInvalid, TargetInvalid, asyncssh.ChannelOpenError) as error:
            self._say(str(error))
            return False
        if behind is None or self._channel is None:
            return False
        self._behind = behind
        asyncio.get_running_loop().call_soon(self._connect, behind, self._channel)
        return True

    def _connect(self, behind: Far, channel: BridgeChannel) -> None:
        # After the reply to the request has been sent, or the client takes our greeting for it
        behind.connection_made(channel)

    def _say(self, text: str) -> None:
        if self._channel is not None:
            self._channel.write(f"sallyport: {text}\r\n".encode(), 1)
            self._leave(1)
