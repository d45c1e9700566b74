"""An unrecorded byte stream to a node's port: allowed by auth one by one, counted, named in the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncssh

from appliance.domain import names
from appliance.domain.operations.ssh import SessionEnd, SessionFacts

if TYPE_CHECKING:
    from appliance.domain.operations.ssh import DirectApproved
    from appliance.proxy.edge import Edge
    from appliance.proxy.fast.channel import Answer, BridgeChannel
    from appliance.proxy.targets import Target


class DirectStream:
    """Stands behind a channel on the one side, and on a socket on the other."""

    def __init__(self, edge: Edge, approved: DirectApproved, target: Target) -> None:
        self._edge, self._approved, self._target = edge, approved, target
        self._socket: Any = None
        self._channel: BridgeChannel | None = None
        self._to_node = 0
        self._to_person = 0
        self._halves = 0
        self._over = False
        self._ended_reason = "closed"

    @classmethod
    async def open(cls, edge: Edge, approved: DirectApproved, target: Target) -> DirectStream:
        """Connect; raises asyncssh's `ChannelOpenError` where the node does not answer."""
        stream = cls(edge, approved, target)
        host, port = names.host_port(approved.address)
        try:
            async with asyncio.timeout(edge.limits.connect_timeout):
                await asyncio.get_running_loop().create_connection(lambda: _SocketSide(stream), host, port)
        except (OSError, TimeoutError) as error:
            stream.finish(f"{approved.address} can't be reached: {error}")
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_CONNECT_FAILED, f"node {target.node} is down"
            ) from error
        edge.streams.add(stream)
        return stream

    @property
    def id(self) -> str:
        """The session id that auth chose."""
        return self._approved.session

    # The socket's side

    def socket_open(self, transport: Any) -> None:
        """Connected; not read before the channel is open."""
        self._socket = transport
        transport.pause_reading()

    def socket_data(self, data: bytes) -> None:
        """Bytes from the node."""
        self._to_person += len(data)
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def socket_eof(self) -> None:
        """The node sends no more."""
        if self._channel is not None:
            self._channel.write_eof()
        self._half_closed()

    def socket_lost(self) -> None:
        """The node is gone."""
        self._socket = None
        if self._channel is not None:
            self._channel.close()
        self.finish(self._ended_reason)

    def slow_node(self, *, slow: bool) -> None:
        """Whether the node takes no more for now."""
        if self._channel is None:
            return
        if slow:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    # The channel's side

    def connection_made(self, chan: BridgeChannel) -> None:
        """The channel is open: let it flow."""
        self._channel = chan
        chan.resume_reading()
        if self._socket is not None:
            self._socket.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The person is gone."""
        del exc
        self._channel = None
        if self._socket is not None:
            self._socket.close()

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Bytes from the person."""
        del datatype
        self._to_node += len(data)
        if self._socket is not None:
            self._socket.write(data)

    def eof_received(self) -> bool:
        """The person sends no more."""
        if self._socket is not None and self._socket.can_write_eof():
            self._socket.write_eof()
        self._half_closed()
        return True

    def _half_closed(self) -> None:
        # As sshd does; a stock client waits for it
        self._halves += 1
        if self._halves == 2 and self._channel is not None:  # noqa: PLR2004 - both
            self._channel.close()

    def pause_writing(self) -> None:
        """The person is slow."""
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_writing(self) -> None:
        """The person takes more again."""
        if self._socket is not None:
            self._socket.resume_reading()

    def request_received(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A byte stream has no requests."""
        del name, payload, want_reply
        return False

    # The end

    def end(self, reason: str) -> None:
        """End it now."""
        self._ended_reason = reason
        if self._channel is not None:
            self._channel.close()
        if self._socket is not None:
            self._socket.abort()

    def finish(self, reason: str) -> None:
        """Tell auth, once."""
        if self._over:
            return
        self._over = True
        session = self._approved.session
        self._edge.streams.discard(self)
        fields: dict[str, str | int | bool] = {
            "destination": f"{self._target.node}:{self._target.port}",
            "bytes_to_destination": self._to_node,
            "bytes_from_destination": self._to_person,
        }
        self._edge.reporter.put(SessionFacts(session=session, event="port", fields=fields))
        self._edge.reporter.put(
            SessionEnd(session=session, reason=reason, bytes_in=self._to_node, bytes_out=self._to_person)
        )


class _SocketSide(asyncio.Protocol):
    """The socket's callbacks, which have the same names as the channel's."""

    def __init__(self, stream: DirectStream) -> None:
        self._stream = stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream.socket_open(transport)

    def data_received(self, data: bytes) -> None:
        self._stream.socket_data(data)

    def eof_received(self) -> bool:
        self._stream.socket_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._stream.socket_lost()

    def pause_writing(self) -> None:
        self._stream.slow_node(slow=True)

    def resume_writing(self) -> None:
        self._stream.slow_node(slow=False)
