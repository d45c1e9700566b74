"""What goes beside programs on a person's connection to a node: ports, agent, X11. Denied unless allowed.

    person opens    direct-tcpip                       -L, -D: only to destinations of the role
    person asks     tcpip-forward                      -R: the node listens
    node opens      forwarded-tcpip                    -R: somebody came
                    auth-agent@openssh.com             -A: only what this node's session asked for
                    x11                                -X

Each forwarded connection is counted, put into the recording, and named in the log when it ends.
Unix sockets and tunnels are never forwarded.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import asyncssh

from appliance.policy.destinations import may_forward
from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.relay import Pipe
from appliance.proxy.wire import Reader
from appliance.recording.errors import RecorderFailed
from appliance.recording.events import Forwarded, ForwardKind

if TYPE_CHECKING:
    from appliance.proxy.fast.channel import Answer, Far
    from appliance.proxy.fast.opening import GlobalAnswer
    from appliance.proxy.inner import Visit
    from appliance.proxy.permits import Permits
    from appliance.proxy.session import Session

log = logging.getLogger(__name__)
PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
NOT_ALLOWED = "forwarding is not allowed"
REQUEST_SUCCESS = 81
MAX_LISTENERS = 16
"""Ports that one connection may have the node listen on."""
FROM_NODE = {
    b"forwarded-tcpip": ForwardKind.REMOTE,
    b"auth-agent@openssh.com": ForwardKind.AGENT,
    b"x11": ForwardKind.X11,
}


class Forwards:
    """The forwards of one connection. They belong to one session, which then lasts as long as it does."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._session: Session | None = None
        self._taking = asyncio.Lock()
        self._listeners: set[bytes] = set()

    async def session(self) -> Session:
        """Return the session that forwards belong to; raises asyncssh's `ChannelOpenError`."""
        async with self._taking:
            if self._session is None:
                self._session = self._visit.running() or await self._visit.take_session()
                self._session.kept = True
            return self._session

    # What the person opens

    async def open_from_person(self, kind: bytes, payload: bytes) -> Far:
        """Return what stands behind a channel of the person's; raises asyncssh's `ChannelOpenError`."""
        if kind != b"direct-tcpip":
            raise asyncssh.ChannelOpenError(PROHIBITED, NOT_ALLOWED)
        session = await self.session()
        try:
            reader = Reader(payload)
            host, port = reader.text(), reader.uint32()
        except CertificateInvalid as error:
            raise asyncssh.ChannelOpenError(PROHIBITED, str(error)) from error
        if not session.permits.forwarding or not may_forward(session.approved.options, host, port):
            session.tell("port", destination=f"{host[:255]}:{port}", ok=False, reason=NOT_ALLOWED)
            raise asyncssh.ChannelOpenError(PROHIBITED, f"{NOT_ALLOWED} to {host[:255]}:{port}")
        pipe = await self._pipe(session, ForwardKind.LOCAL, f"{host}:{port}")
        await self._visit.node.open_channel(pipe.node, kind, payload)
        return _begun(pipe, pipe.person)

    async def _pipe(self, session: Session, kind: ForwardKind, destination: str) -> Pipe:
        try:
            await session.record()
        except RecorderFailed as error:
            session.failed(error)
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "can't be recorded") from error
        watch = Forwarding(session, kind, destination)
        watch.pipe = Pipe(watch, closes_itself=True)
        return watch.pipe

    # What the person asks for

    def ask_from_person(self, name: str, payload: bytes) -> GlobalAnswer:
        """Return whether a global request of the person's is done."""
        if name not in {"tcpip-forward", "cancel-tcpip-forward"}:
            return False
        return self._visit.edge.tasks.start(self._listen(name, payload))

    async def _listen(self, name: str, payload: bytes) -> bool | bytes:
        try:
            session = await self.session()
        except asyncssh.ChannelOpenError:
            return False
        if not session.permits.forwarding:
            session.tell(
                "port", listen=payload[4:64].decode("ascii", "replace"), ok=False, reason=NOT_ALLOWED
            )
            return False
        if name == "tcpip-forward" and len(self._listeners) >= MAX_LISTENERS:
            return False
        answer = self._visit.node.ask_global(name, payload, want_reply=True)
        if answer is None:
            return False
        kind, packet = await answer
        if kind != REQUEST_SUCCESS:
            return False
        self._listeners.symmetric_difference_update({payload})
        reply: bytes = packet.get_remaining_payload()
        return reply or True

    # What the node opens

    async def open_from_node(self, kind: bytes, payload: bytes) -> Far:
        """Return what stands behind a channel of the node's; raises asyncssh's `ChannelOpenError`."""
        known = FROM_NODE.get(kind)
        session = await self.session()
        if known is None or not self._node_may(known, session.permits):
            raise asyncssh.ChannelOpenError(PROHIBITED, NOT_ALLOWED)
        pipe = await self._pipe(session, known, _named(known, payload))
        await self._visit.person.open_channel(pipe.person, kind, payload)
        return _begun(pipe, pipe.node)

    def _node_may(self, kind: ForwardKind, permits: Permits) -> bool:
        if kind is ForwardKind.AGENT:
            return permits.agent
        if kind is ForwardKind.X11:
            return permits.x11
        return permits.forwarding and bool(self._listeners)


def _named(kind: ForwardKind, payload: bytes) -> str:
    if kind is not ForwardKind.REMOTE:
        return kind.value
    try:
        reader = Reader(payload)
        return f"{reader.text()[:255]}:{reader.uint32()}"
    except CertificateInvalid:
        return "unreadable"


def _begun(pipe: Pipe, far: Far) -> Far:
    pipe.begin()
    return far


class Forwarding:
    """The watch of one forwarded connection."""

    def __init__(self, session: Session, kind: ForwardKind, destination: str) -> None:
        self._session, self._kind, self._destination = session, kind, destination
        self.pipe: Pipe | None = None

    def from_person(self, data: bytes) -> bool:
        """See `Watch.from_person`: counted by the pipe, not kept."""
        del data
        self._session.touch()
        return True

    def from_node(self, data: bytes, *, error: bool) -> bool:
        """See `Watch.from_node`."""
        del data, error
        return True

    def person_asks(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A forwarded connection has no requests."""
        del name, payload, want_reply
        return False

    def node_asks(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A forwarded connection has no requests."""
        del name, payload, want_reply
        return False

    def person_done(self) -> None:
        """See `Watch.person_done`."""

    def ended(self) -> None:
        """Tell the recording and the log."""
        if self.pipe is None:
            return
        self._session.over(self.pipe)
        there, back = self.pipe.bytes_in, self.pipe.bytes_out
        if self._kind is not ForwardKind.LOCAL:  # the destination is on the person's side
            there, back = back, there
        event = Forwarded(
            kind=self._kind,
            destination=self._destination,
            bytes_to_destination=there,
            bytes_from_destination=back,
        )
        try:
            self._session.happened(event)
        except RecorderFailed as error:
            self._session.failed(error)
        self._session.tell(
            "port",
            kind=self._kind.value,
            destination=self._destination,
            bytes_to_destination=there,
            bytes_from_destination=back,
        )
