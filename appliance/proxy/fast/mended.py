"""A connection whose memory is bounded, whatever its peer does, and that writes once a loop turn.

Stock asyncssh ignores that its transport is full, queues without limit during a key exchange that
the peer never finishes, and puts an MSG_IGNORE before every packet (a measure for CBC, which is not
offered here).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from asyncssh.constants import MSG_IGNORE
from asyncssh.misc import ProtocolError

from appliance.proxy.fast.aead import faster
from appliance.proxy.fast.channel import BridgeChannel
from appliance.proxy.fast.datapath import DataPath

if TYPE_CHECKING:
    import asyncio

READ_SIZE = 64 * 1024
"""Bytes taken from a socket in one turn: larger reads let one bulk stream delay everybody's keystrokes."""
QUICK_ACKS = 60
"""Reads after which TCP's delayed acknowledgement is left alone; before, it costs a handshake some 85 ms."""
MAX_UNSENT = 8 << 20
"""Bytes of answers that a peer may leave unread before it is cut off."""
MAX_UNREAD = 1 << 20
"""Bytes that may wait behind a packet that is still being worked on."""
MAX_DEFERRED = 1024
"""Packets that may wait for the end of a key exchange."""


class Mended(DataPath):
    """The part that connections of people and to nodes have in common."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._blocked = False
        self._quick_acks = 0
        self._tcp: socket.socket | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that all of this runs on."""
        return self._loop

    @property
    def holding(self) -> bool:
        """Whether channels have to keep their data: the transport is full, or keys are being exchanged."""
        return self._blocked or not self._kex_complete

    @property
    def session_hash(self) -> bytes:
        """The session identifier of RFC 4253 section 7.2."""
        return self._session_id

    @property
    def channels_open(self) -> int:
        """How many channels there are."""
        return len(self._channels)

    def connection_made(self, transport: Any) -> None:
        """Take a socket or a channel as transport."""
        self._tcp = transport.get_extra_info("socket")
        if self._tcp is not None and hasattr(transport, "max_size"):
            transport.max_size = READ_SIZE
            self._quick_acks = QUICK_ACKS if self._tcp.family in (socket.AF_INET, socket.AF_INET6) else 0
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Take bytes from the transport."""
        if self._quick_acks:
            self._quick_ack()
        super().data_received(data, datatype)
        if len(self._inpbuf) > MAX_UNREAD:
            self._force_close(ProtocolError("Too much was sent ahead"))

    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer sends no more: over."""
        super().eof_received()
        return False

    def closed(self, exc: Exception | None) -> None:
        """The connection is over, for whatever reason; called once."""

    def _cleanup(self, exc: Exception | None) -> None:
        super()._cleanup(exc)
        self.closed(exc)

    def _quick_ack(self) -> None:
        self._quick_acks -= 1
        if self._tcp is not None and self._tcp.fileno() >= 0:
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    # Back-pressure

    def pause_writing(self) -> None:
        """The transport is full."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The transport takes data again."""
        self._blocked = False
        self._unblock()

    def _unblock(self) -> None:
        for channel in list(self._channels.values()):
            if isinstance(channel, BridgeChannel):
                channel.unblocked()

    def _send_deferred_packets(self) -> None:
        super()._send_deferred_packets()
        if self._kex_complete and self._auth_complete and not self._blocked:
            self._unblock()

    # Sending

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send or defer a packet."""
        if pkttype == MSG_IGNORE and self._fast:
            return
        super().send_packet(pkttype, *args, handler=handler)
        if len(self._deferred_packets) > MAX_DEFERRED:
            self._deferred_packets = []
            self._force_close(ProtocolError("A key exchange was begun and not finished"))

    def _send(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush_out)
        self._out.append(data)
        if not self._fast:
            self._flush_out()

    def _flush_out(self) -> None:
        out, self._out = self._out, []
        if not out or self._transport is None:
            return
        super()._send(b"".join(out))
        if self._blocked and self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._force_close(ProtocolError("What was sent is not read"))

    def _force_close(self, exc: Exception | None) -> None:
        if self._out:
            out, self._out = self._out, []
            super()._send(b"".join(out))
        super()._force_close(exc)

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """Finish a key exchange; the ciphers of both directions are exchanged for ones that cache."""
        super().send_newkeys(k, h)
        if self._fast:
            self._send_encryption = faster(self._send_encryption)
            self._next_recv_encryption = faster(self._next_recv_encryption)
