"""A channel that hands on what it gets, and holds no more than its window.

asyncssh's own channels understand requests, and re-open their whole window while data is still
queued: a relay made of them grows by a window a second with one slow peer. This one counts what is
queued, joins small pieces, and holds its own output while the connection can't take any.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from asyncssh.channel import SSHChannel
from asyncssh.constants import (
    EXTENDED_DATA_STDERR,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
    OPEN_CONNECT_FAILED,
)
from asyncssh.misc import ChannelOpenError, ProtocolError
from asyncssh.packet import String, UInt32

if TYPE_CHECKING:
    from asyncssh.packet import SSHPacket

    from appliance.proxy.fast.mended import Mended

MAX_PACKET = 32768
WINDOW = 2 << 20
"""Bytes that a peer may send ahead, and so what one channel can hold of it."""
MAX_WINDOW = (1 << 32) - 1
MAX_REPLIES = 256
"""Requests of one channel that may wait for their answer."""
MAX_PIECES = 1024
"""Pieces of received data that may be queued (data and error data alternating byte by byte)."""
HIGH_WATER = 256 * 1024
JOIN = 64 * 1024
Answer = bool | asyncio.Future[bool]


class Far(Protocol):
    """What stands behind a channel: it takes what the peer sends."""

    def connection_made(self, chan: BridgeChannel) -> None:
        """The channel is open."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed on both sides."""

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes; `datatype` 1 for stderr."""

    def eof_received(self) -> bool:
        """The peer sends no more; True keeps the other direction open."""

    def pause_writing(self) -> None:
        """The peer is slow: send no more."""

    def resume_writing(self) -> None:
        """The peer takes more again."""


class Requested(Protocol):
    """What stands behind a channel that has requests."""

    def request_received(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """Return whether it was done, now or later. `payload` is what follows `want_reply`."""


class BridgeChannel(SSHChannel[bytes]):
    """See the module. `_session` is a `Far`; asyncssh's types know no such thing, hence `Any`."""

    _read_datatypes = {EXTENDED_DATA_STDERR}  # noqa: RUF012 - as the class above has it
    _write_datatypes = {EXTENDED_DATA_STDERR}  # noqa: RUF012

    def __init__(self, conn: Mended, *, window: int = WINDOW) -> None:
        super().__init__(conn, conn.loop, None, "strict", window, MAX_PACKET)
        self._queued = 0
        self._replies: deque[Answer] = deque()
        self._early: list[tuple[str, bytes, bool]] = []
        self.set_write_buffer_limits(HIGH_WATER)

    # Opening

    async def open_raw(self, far: Far, kind: bytes, payload: bytes) -> None:
        """Open it at the peer with an already encoded payload; raises asyncssh's `ChannelOpenError`."""
        await self._open(kind, payload)
        if self._conn is None:
            far.connection_lost(None)
            raise ChannelOpenError(OPEN_CONNECT_FAILED, "the connection is closed")
        self._begin(far)

    async def _finish_open_request(self, result: Any) -> None:
        try:
            far = await result
        except ChannelOpenError as error:
            if self._conn and self._send_chan is not None:
                self._conn.send_channel_open_failure(self._send_chan, error.code, error.reason, error.lang)
            self._loop.call_soon(self._cleanup)
            return
        if not self._conn or self._send_chan is None or self._recv_chan is None:
            far.connection_lost(None)
            return
        self._conn.send_channel_open_confirmation(
            self._send_chan, self._recv_chan, self._recv_window, self._recv_pktsize
        )
        self._send_state = self._recv_state = "open"
        self._begin(far)

    def _begin(self, far: Far) -> None:
        self._session = far  # type: ignore[assignment]
        far.connection_made(self)
        for name, payload, want_reply in self._take_early():
            self._hand_on(name, payload, want_reply=want_reply)

    def _take_early(self) -> list[tuple[str, bytes, bool]]:
        early, self._early = self._early, []
        return early

    @property
    def far(self) -> Any:
        """What stands behind the channel."""
        return self._session

    # Requests

    def _process_request(self, _kind: int, _seq: int, packet: SSHPacket) -> None:
        if self._recv_state not in {"open", "eof_pending", "eof"}:
            raise ProtocolError("Channel not open")
        name, want_reply = packet.get_string(), packet.get_boolean()
        if len(self._replies) + len(self._early) >= MAX_REPLIES:
            raise ProtocolError("Too many channel requests without an answer")
        text, payload = name.decode("ascii", "backslashreplace"), packet.get_remaining_payload()
        if self._session is None:
            self._early.append((text, payload, want_reply))
        else:
            self._hand_on(text, payload, want_reply=want_reply)

    def _hand_on(self, name: str, payload: bytes, *, want_reply: bool) -> None:
        answer = self.far.request_received(name, payload, want_reply)
        if not want_reply:
            return
        self._replies.append(answer)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(self._answer)
        self._answer()

    def _answer(self, _done: object = None) -> None:
        while self._replies:
            answer = self._replies[0]
            if isinstance(answer, asyncio.Future):
                if not answer.done():
                    return
                answer = not answer.cancelled() and answer.exception() is None and answer.result()
            self._replies.popleft()
            if self._send_state not in {"close_pending", "closed"}:
                self.send_packet(MSG_CHANNEL_SUCCESS if answer else MSG_CHANNEL_FAILURE)

    def request(self, name: str, payload: bytes, *, want_reply: bool) -> asyncio.Future[bool] | None:
        """Send a request now; where a reply is wanted, return what to await for it."""
        if self._send_chan is None or self._send_state in {"close_pending", "closed"}:
            return None
        encoded = String(name.encode("ascii", "backslashreplace"))
        self.send_packet(MSG_CHANNEL_REQUEST, encoded, bytes([want_reply]), payload)
        if not want_reply:
            return None
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._request_waiters.append(waiter)
        return waiter

    # Receiving: the window is what is free, not what was asked for at first

    def _accept_data(self, data: bytes, datatype: int | None = None) -> None:
        if not data or self._send_state in {"close_pending", "closed"}:
            return
        self._recv_window -= len(data)
        if not self._recv_paused:
            self._deliver_data(data, datatype)
            return
        self._queued += len(data)
        last = self._recv_buf[-1] if self._recv_buf else None
        if last is not None and last[1] == datatype and len(last[0]) < JOIN:
            self._join_last(data)
        elif len(self._recv_buf) >= MAX_PIECES:
            raise ProtocolError("Too many small pieces of alternating kinds")
        else:
            self._recv_buf.append((data, datatype))

    def _join_last(self, data: bytes) -> None:
        last: Any
        last, datatype = self._recv_buf[-1]
        if not isinstance(last, bytearray):
            last = bytearray(last)
            self._recv_buf[-1] = (last, datatype)
        last += data

    def _flush_recv_buf(self, exc: Exception | None = None) -> None:
        while self._recv_buf and not self._recv_paused:
            data, datatype = self._recv_buf.pop(0)
            self._queued -= len(data)
            self._deliver_data(bytes(data), datatype)
        # The end of the data is a part of it: who does not read yet must not miss it
        if not (self._recv_paused and self._recv_state == "eof_pending"):
            super()._flush_recv_buf(exc)

    def _deliver_data(self, data: bytes, datatype: int | None) -> None:
        if self._session is not None:
            self._session.data_received(data, datatype)
        free = self._init_recv_window - self._recv_window - self._queued
        if free * 2 >= self._init_recv_window and self._send_chan is not None:
            self._recv_window += free
            self.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(free))

    def _process_window_adjust(self, kind: int, seq: int, packet: SSHPacket) -> None:
        super()._process_window_adjust(kind, seq, packet)
        if self._send_window > MAX_WINDOW:  # RFC 4254 section 5.2
            raise ProtocolError("Window too large")

    def _discard_recv(self) -> None:
        self._queued = 0
        super()._discard_recv()

    # Sending

    @property
    def _held(self) -> bool:
        conn: Any = self._conn
        return bool(conn is not None and conn.holding)

    def write(self, data: bytes, datatype: int | None = None) -> None:
        """Send or queue bytes; small pieces that have to wait are joined."""
        if self._send_state != "open":
            raise BrokenPipeError("Channel not open for sending")
        if not data:
            return
        size = len(data)
        if not self._send_buf and size <= self._send_window and size <= self._send_pktsize and not self._held:
            self._send_window -= size
            self._send_data(data, datatype)
            return
        last = self._send_buf[-1] if self._send_buf else None
        if last is not None and last[1] == datatype and len(last[0]) < JOIN:
            last[0].extend(data)
        else:
            self._send_buf.append((bytearray(data), datatype))
        self._send_buf_len += size
        self._flush_send_buf()

    def _send_data(self, data: bytes, datatype: int | None) -> None:
        conn: Any = self._conn
        if datatype is None and self._send_chan is not None:
            conn.send_data(self._send_chan, data)
        elif datatype is not None:
            self.send_packet(MSG_CHANNEL_EXTENDED_DATA, UInt32(datatype), String(data))

    def _flush_send_buf(self) -> None:
        while self._send_buf and self._send_window and not self._held:
            size = min(self._send_window, self._send_pktsize)
            buffer, datatype = self._send_buf[0]
            if len(buffer) > size:
                data = bytes(buffer[:size])
                del buffer[:size]
            else:
                data = bytes(buffer)
                del self._send_buf[0]
            self._send_buf_len -= len(data)
            self._send_window -= len(data)
            self._send_data(data, datatype)
        self._end_of_flush()

    def _end_of_flush(self) -> None:
        if self._send_buf:
            self._pause_resume_writing()
        else:
            super()._flush_send_buf()

    def unblocked(self) -> None:
        """The connection takes data again: send what is queued."""
        if self._session is not None:
            self._flush_send_buf()

    _packet_handlers = {  # noqa: RUF012
        **SSHChannel._packet_handlers,
        MSG_CHANNEL_REQUEST: _process_request,
        MSG_CHANNEL_WINDOW_ADJUST: _process_window_adjust,
    }
