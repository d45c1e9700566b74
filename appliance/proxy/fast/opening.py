"""Channels and global requests that the peer asks for: refused unless a subclass says otherwise."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from asyncssh.constants import MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS, OPEN_RESOURCE_SHORTAGE
from asyncssh.misc import ProtocolError

from appliance.proxy.fast.channel import WINDOW, BridgeChannel
from appliance.proxy.fast.mended import Mended

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from asyncssh.packet import SSHPacket

    from appliance.proxy.fast.channel import Far

MAX_CHANNELS = 128
"""Channels of one connection, opening ones included."""
MAX_GLOBAL_REQUESTS = 128
"""Global requests of one connection that may wait for their answer."""
KEEPALIVE = "keepalive@openssh.com"
GlobalAnswer = bool | bytes | asyncio.Future[bool | bytes]


class Opening(Mended):
    """Adds what the peer may ask for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._global_answers: deque[tuple[GlobalAnswer, bool]] = deque()

    async def open_requested(self, kind: bytes, payload: bytes) -> Far:
        """Return what shall stand behind a new channel; raises asyncssh's `ChannelOpenError`."""
        raise NotImplementedError

    def window_for(self, kind: bytes) -> int:
        """Return the window of a new channel, in bytes."""
        del kind
        return WINDOW

    def global_request_received(self, name: str, payload: bytes) -> GlobalAnswer:
        """Return whether it was done (bytes: with this reply), now or later."""
        del name, payload
        return False

    def _process_channel_open(self, _kind: int, _seq: int, packet: SSHPacket) -> None:
        kind, number = packet.get_string(), packet.get_uint32()
        window, packet_size = packet.get_uint32(), packet.get_uint32()
        if packet_size <= 0:
            raise ProtocolError("Invalid maximum packet size")
        if len(self._channels) >= MAX_CHANNELS:
            self.send_channel_open_failure(
                number, OPEN_RESOURCE_SHORTAGE, f"more than {MAX_CHANNELS} channels", ""
            )
            return
        channel = BridgeChannel(self, window=self.window_for(kind))
        far: Any = self.open_requested(kind, packet.get_remaining_payload())
        channel.process_open(number, window, packet_size, far)

    async def open_channel(self, far: Far, kind: bytes, payload: bytes) -> BridgeChannel:
        """Open a channel at the peer; raises asyncssh's `ChannelOpenError`."""
        channel = BridgeChannel(self, window=self.window_for(kind))
        await channel.open_raw(far, kind, payload)
        return channel

    def _process_global_request(self, _kind: int, _seq: int, packet: SSHPacket) -> None:
        name = packet.get_string().decode("ascii", "backslashreplace")
        want_reply = packet.get_boolean()
        if len(self._global_answers) >= MAX_GLOBAL_REQUESTS:
            raise ProtocolError("Too many global requests without an answer")
        alive = name == KEEPALIVE
        answer = alive or self.global_request_received(name, packet.get_remaining_payload())
        self._global_answers.append((answer, want_reply))
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(self._answer_global)
        self._answer_global()

    def _answer_global(self, _done: object = None) -> None:
        while self._global_answers:
            answer, want_reply = self._global_answers[0]
            if isinstance(answer, asyncio.Future):
                if not answer.done():
                    return
                failed = answer.cancelled() or answer.exception() is not None
                answer = False if failed else answer.result()
            self._global_answers.popleft()
            if not want_reply or self._transport is None:
                continue
            if answer is False:
                self.send_packet(MSG_REQUEST_FAILURE)
            else:
                self.send_packet(MSG_REQUEST_SUCCESS, answer if isinstance(answer, bytes) else b"")

    def ask_global(self, name: str, payload: bytes, *, want_reply: bool) -> Awaitable[tuple[int, Any]] | None:
        """Send a global request; where a reply is wanted, return what to await: packet type and packet."""
        encoded = name.encode("ascii", "backslashreplace")
        if want_reply:
            return self._make_global_request(encoded, payload)
        self._send_global_request(encoded, payload)
        return None
