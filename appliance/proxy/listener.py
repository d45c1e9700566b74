"""The port: who comes in is counted first, greeted, and only then costs an SSH connection.

accept → Door.arrive → our version line → the peer's first line
    "SSH-2.0-…"              a connection to the bastion
    "SALLYPORT1 web1 22"     a connection in a node's name, from our client (fdpass)
    anything else, or none   closed, after the grace time at the latest
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

import asyncssh

from appliance.domain.errors import SallyportError, Unavailable
from appliance.proxy.bastion import BastionDoorway
from appliance.proxy.edge import Crowd
from appliance.proxy.hosts import VERSION
from appliance.proxy.inner import NodeDoorway
from appliance.proxy.limits import Offence, Turned
from appliance.proxy.person import PersonConnection
from appliance.proxy.targets import MAX_PREAMBLE, PREAMBLE, parse_preamble
from appliance.proxy.wire import string

if TYPE_CHECKING:
    from appliance.proxy.edge import Edge
    from appliance.proxy.person import Signed

log = logging.getLogger(__name__)
BACKLOG = 1024
BLOCK = 8
LINGER = 0.5
"""Seconds that somebody who is turned away has to read why."""
NOT_WORTH_WAITING = frozenset({Turned.PENALISED, Turned.RATE, Turned.SOURCE_FULL})
LOG_EVERY = 1.0
"""Seconds between two lines about people who are turned away."""
GREETING = f"SSH-2.0-{VERSION}\r\n".encode()
MAX_LINE = 1024
"""Bytes of a first line; RFC 4253 section 4.2 has 255."""


def listen(address: tuple[str, int]) -> socket.socket:
    """Return a bound socket that other workers can bind too; raises `Unavailable`."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise Unavailable(f"can't listen on {address[0]}:{address[1]}: {error.strerror}") from error
    return sock


class Listener:
    """Accepts until `close`; what was accepted goes on."""

    def __init__(self, edge: Edge, bastion: asyncssh.SSHServerConnectionOptions) -> None:
        self.edge = edge
        self.bastion = bastion
        self.connections: Crowd[PersonConnection] = Crowd()
        self.turned: Counter[Turned] = Counter()
        self._server: asyncio.Server | None = None
        self._logged, self._unlogged = float("-inf"), 0

    async def start(self, sock: socket.socket) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Visitor(self), sock=sock, backlog=BACKLOG)

    def close(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def turned_away(self, source: str, turned: Turned) -> None:
        """Log that somebody is not let in: a line a second, however many come."""
        self.turned[turned] += 1
        self._unlogged += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged < LOG_EVERY:
            return
        log.info("turned away %d, the last %s: %s", self._unlogged, source, turned.value)
        self._logged, self._unlogged = now, 0


def disconnect(reason: str) -> bytes:
    """Return an SSH_MSG_DISCONNECT packet as it is before any key exchange (RFC 4253 sections 6, 11.1)."""
    payload = bytes([asyncssh.constants.MSG_DISCONNECT])
    payload += asyncssh.DISC_TOO_MANY_CONNECTIONS.to_bytes(4, "big") + string(reason.encode()) + string(b"")
    padding = BLOCK - (5 + len(payload)) % BLOCK + BLOCK
    return (1 + len(payload) + padding).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


class Visitor(asyncio.Protocol):
    """Somebody of whom nothing is known yet: a few hundred bytes of memory and a timer."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._edge = listener.edge
        self._transport: Any = None
        self._source = ""
        self._line = b""
        self._timer: asyncio.TimerHandle | None = None
        self._waits = False

    def connection_made(self, transport: Any) -> None:
        """Count, greet, wait for the first line."""
        self._transport = transport
        self._source = transport.get_extra_info("peername")[0]
        loop = asyncio.get_running_loop()
        turned = self._arrive(loop.time())
        if turned is not None:
            self._listener.turned_away(self._source, turned)
            self._turn_away(turned)
            return
        self._waits = True
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(GREETING)
        self._timer = loop.call_later(self._edge.limits.login_grace, self._too_slow)

    def _turn_away(self, turned: Turned) -> None:
        # Stock clients show the text of a disconnect, but not of a line before the greeting. The socket
        # is left to the peer to close for a moment: closing it on unread bytes would take back the text.
        self._transport.write(GREETING + disconnect(turned.value))
        if turned in NOT_WORTH_WAITING:
            self._transport.close()
            return
        self._transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(LINGER, self._transport.abort)

    def _arrive(self, now: float) -> Turned | None:
        if self._edge.draining:
            return Turned.DRAINING
        most = self._edge.share(self._edge.trust.max_connections)
        chance = random.random()  # noqa: S311 - early drop, as a router does it; nothing secret
        return self._edge.door.arrive(self._source, now=now, chance=chance, max_connections=most)

    def data_received(self, data: bytes) -> None:
        """Gather the first line."""
        if not self._waits:
            return  # somebody turned away
        self._line += data
        line, found, _ = self._line.partition(b"\n")
        if not found and len(self._line) < MAX_LINE:
            return
        if found and line.startswith(b"SSH-"):
            self._hand_over(self._listener.bastion, BastionDoorway(self._edge), self._line)
        elif found and line.startswith(PREAMBLE) and len(line) <= MAX_PREAMBLE:
            self._transport.pause_reading()
            self._edge.tasks.start(self._named(line, self._line[len(line) + 1 :]))
        else:
            self._misbehaved()

    async def _named(self, line: bytes, rest: bytes) -> None:
        try:
            target = parse_preamble(line, self._edge.trust.cluster)
            options = await self._edge.hosts.node(target.node)
        except SallyportError as error:
            log.info("%s names a node that is not here: %s", self._source, error)
            self._transport.abort()
            return
        if self._waits:
            self._hand_over(options, NodeDoorway(edge=self._edge, node=target.node), rest)
            self._transport.resume_reading()

    def _hand_over(self, options: asyncssh.SSHServerConnectionOptions, doorway: Any, received: bytes) -> None:
        """Make the connection; from here on the transport is its business."""
        self._stop_waiting()
        entry = Entry(self._listener, self._source)
        person = PersonConnection(
            asyncio.get_running_loop(),
            options,
            edge=self._edge,
            doorway=doorway,
            on_authenticated=entry.entered,
            on_lost=entry.left,
        )
        entry.person = person
        person.greeted()
        self._listener.connections.add(person)
        self._transport.set_protocol(person)
        person.connection_made(self._transport)
        if received:
            person.data_received(received)

    def _stop_waiting(self) -> None:
        self._waits = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._gone(Offence.GRACE_EXCEEDED)
        self._transport.abort()

    def _misbehaved(self) -> None:
        self._gone(Offence.MISBEHAVED)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer went before it said anything."""
        del exc
        if self._timer is not None:
            self._timer.cancel()
        self._gone(Offence.NO_LOGIN)

    def _gone(self, offence: Offence) -> None:
        if not self._waits:
            return
        self._stop_waiting()
        self._edge.door.give_up(self._source)
        self._edge.door.penalise(self._source, offence, asyncio.get_running_loop().time())


class Entry:
    """What the door has to hear of one connection."""

    def __init__(self, listener: Listener, source: str) -> None:
        self._listener, self._source = listener, source
        self._door = listener.edge.door
        self._inside = False
        self.person: PersonConnection | None = None

    def entered(self, signed: Signed) -> None:
        """Logged in."""
        del signed
        if not self._inside:
            self._inside = True
            self._door.enter(self._source)

    def left(self, exc: Exception | None) -> None:
        """Gone, logged in or not."""
        if self.person is not None:
            self._listener.connections.discard(self.person)
        if self._inside:
            self._door.leave()
            return
        self._door.give_up(self._source)
        offence = self._offence(exc)
        self._door.penalise(self._source, offence, asyncio.get_running_loop().time())

    def _offence(self, exc: Exception | None) -> Offence:
        if self.person is not None and self.person.was_refused:
            return Offence.REFUSED
        if isinstance(exc, asyncssh.ProtocolError):
            return Offence.MISBEHAVED
        if isinstance(exc, asyncssh.ConnectionLost) and "timeout" in str(exc).lower():
            return Offence.GRACE_EXCEEDED
        return Offence.NO_LOGIN
