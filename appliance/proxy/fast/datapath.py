"""The short way for channel data under AES-GCM, which is nearly all that a bastion ever moves.

asyncssh cuts its buffer anew for every header, body and tag, wraps each packet in objects, and asks
its logger about it. Here data packets are decrypted straight out of the read buffer and handed to
their channel, and built and encrypted in one go. Everything else (other messages, key exchanges, other
ciphers, closed channels, rules that are broken) takes asyncssh's own way, packet by packet: one that
was decrypted and turns out to be something else is pushed back into the cipher for it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.misc import MACError
from asyncssh.packet import String, UInt32

from appliance.proxy.fast.aead import TAG, CachedGCM
from appliance.proxy.fast.version import is_pinned

BLOCK = 16
MIN_PADDING = 4
HEADER = 4
PREFIX = 10
"""Padding length, type, channel, length: what stands in front of the data within a packet."""
SEQUENCE = 0xFFFFFFFF
POOL = 8192
_HEADS = [bytes([padding, MSG_CHANNEL_DATA]) for padding in range(BLOCK + MIN_PADDING)]


class Padding:
    """Random padding (RFC 4253 section 6), taken from the kernel in larger pieces."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return so many random bytes, at most 20."""
        if self._at + size > len(self._pool):
            self._pool, self._at = os.urandom(POOL), 0
        self._at += size
        return self._pool[self._at - size : self._at]


_padding = Padding()


class DataPath(SSHConnection):
    """Adds the short way; it is used only on the version it was proven on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fast = is_pinned()
        self._out: list[bytes] = []

    # Receiving

    def _recv_pkthdr(self) -> bool:
        cipher = self._recv_encryption
        if (
            not self._fast
            or type(cipher) is not CachedGCM
            or self._kex is not None
            or not self._auth_complete
        ):
            return super()._recv_pkthdr()
        if not self._take_data(cipher):
            return False
        return super()._recv_pkthdr()

    def _take_data(self, cipher: CachedGCM) -> bool:
        """Take data packets as long as there are whole ones; return whether asyncssh has to take the next."""
        buffer, at = self._inpbuf, 0
        view, size = memoryview(buffer), len(buffer)
        other = False
        while size - at > HEADER:
            length = int.from_bytes(view[at : at + HEADER], "big")
            end = at + HEADER + length + TAG
            if length > self._max_recv_pktlen or length < BLOCK:
                other = True
                break
            if end > size:
                break
            packet = cipher.open(view[at + HEADER : end], view[at : at + HEADER])
            if packet is None:
                raise MACError("MAC verification failed")
            if not self._is_data(packet):
                cipher.push_back(packet)
                other = True
                break
            at = end
            self._recv_seq = (self._recv_seq + 1) & SEQUENCE
            if self._transport is None:
                break
        if at:
            self._inpbuf = buffer[at:]
        return other

    def _is_data(self, packet: bytes) -> bool:
        """Hand the packet to its channel, if it is data for one that takes it now."""
        if packet[1] != MSG_CHANNEL_DATA or len(packet) < PREFIX + MIN_PADDING:
            return False
        size = int.from_bytes(packet[6:PREFIX], "big")
        channel: Any = self._channels.get(int.from_bytes(packet[2:6], "big"))
        if channel is None or PREFIX + size + packet[0] != len(packet):
            return False
        if channel._recv_state != "open" or size > channel._recv_window:
            return False
        channel._accept_data(packet[PREFIX : PREFIX + size])
        return True

    # Sending

    def send_data(self, channel: int, data: bytes) -> None:
        """Send a MSG_CHANNEL_DATA."""
        cipher = self._send_encryption
        if not self._fast or type(cipher) is not CachedGCM or not self._kex_complete or self._rekey_due():
            self.send_packet(MSG_CHANNEL_DATA, UInt32(channel) + String(data))
            return
        size = len(data)
        padding = -(PREFIX + size) % BLOCK
        if padding < MIN_PADDING:
            padding += BLOCK
        length = PREFIX + size + padding
        header = length.to_bytes(HEADER, "big")
        head = _HEADS[padding] + channel.to_bytes(4, "big") + size.to_bytes(4, "big")
        packet = b"".join((head, data, _padding.take(padding)))
        self._send(header)
        self._send(cipher.seal(packet, header))
        self._send_seq = (self._send_seq + 1) & SEQUENCE
        self._rekey_bytes_sent += length

    def _rekey_due(self) -> bool:
        if not self._auth_complete or self._rekey_bytes_sent >= self._rekey_bytes:
            return True
        return bool(self._rekey_seconds) and time.monotonic() >= self._rekey_time
