"""CTAPHID framing (CTAP 2.1, section 11.2): 64-byte packets, and keep-alives while the key waits."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final

from authenticators.virtual.device_info import device_info
from authenticators.virtual.fido import ctap1
from authenticators.virtual.fido.ctap2 import Ctap2
from authenticators.virtual.fido.status import Status
from authenticators.virtual.interaction import AwaitTouch, Pending
from authenticators.virtual.key import VirtualKey

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps

PACKET: Final = 64
BROADCAST: Final = 0xFFFFFFFF
FIRST_DATA: Final = PACKET - 7
NEXT_DATA: Final = PACKET - 5
LONGEST: Final = FIRST_DATA + 128 * NEXT_DATA
INITIAL: Final = 0x80
PROTOCOL: Final = 2
NONCE: Final = 8
KEEPALIVE_SECONDS: Final = 0.1


class Command(IntEnum):
    """Commands, without the bit that marks an initialisation packet."""

    PING = 0x01
    MSG = 0x03
    INIT = 0x06
    WINK = 0x08
    CBOR = 0x10
    CANCEL = 0x11
    KEEPALIVE = 0x3B
    ERROR = 0x3F
    READ_CONFIG = 0x42


class Able(IntFlag):
    """Capabilities told at INIT."""

    WINK = 0x01
    CBOR = 0x04
    NO_MSG = 0x08


@dataclass(slots=True)
class _Message:
    """A request being put together."""

    channel: int
    command: int
    length: int
    data: bytes
    sequence: int = 0


@dataclass(slots=True)
class CtapHid:
    """One FIDO interface: packets go to `receive` and come from `outgoing`; `poll` when `due` says so."""

    key: VirtualKey
    outgoing: list[bytes] = field(init=False, default_factory=list)
    ctap2: Ctap2 = field(init=False)
    _channels: int = field(init=False, default=0)
    _partial: _Message | None = field(init=False, default=None)
    _pending: Pending[bytes] | None = field(init=False, default=None)
    _running: _Message | None = field(init=False, default=None)
    _keepalive_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.ctap2 = Ctap2(self.key)

    @property
    def due(self) -> float | None:
        """In how many seconds `poll` has something to do; None while the key is idle."""
        if self._pending is None:
            return None
        return max(0.0, min(self._pending.due, self._keepalive_at) - self.key.clock())

    def receive(self, packet: bytes) -> None:
        """Take one packet from the platform (64 bytes, shorter ones are padded)."""
        packet = packet.ljust(PACKET, b"\0")
        (channel, mark) = struct.unpack_from(">IB", packet)
        if mark & INITIAL:
            self._begin(channel, mark & ~INITIAL, packet)
        else:
            self._continue(channel, mark, packet)

    def poll(self) -> None:
        """Go on with a waiting command, or send a keep-alive."""
        if self._pending is None or self._running is None:
            return
        if self._pending.poll():
            running, answer = self._running, self._pending.answer or b""
            self._pending = self._running = None
            self._send(running.channel, running.command, answer)
        elif self.key.clock() >= self._keepalive_at:
            status = 2 if isinstance(self._pending.pause, AwaitTouch) else 1
            self._send(self._running.channel, Command.KEEPALIVE, bytes([status]))
            self._keepalive_at = self.key.clock() + KEEPALIVE_SECONDS

    def _begin(self, channel: int, command: int, packet: bytes) -> None:
        (length,) = struct.unpack_from(">H", packet, 5)
        data = packet[7 : 7 + length]
        if command == Command.CANCEL:
            self._cancel(channel)
        elif command == Command.INIT:
            self._init(channel, data)
        elif self._busy_for(channel):
            self._error(channel, Status.CHANNEL_BUSY)
        elif not 0 < channel <= self._channels:
            self._error(channel, Status.INVALID_CHANNEL)
        elif length > LONGEST:
            self._error(channel, Status.INVALID_LENGTH)
        else:
            self._partial = _Message(channel, command, length, data)
            self._complete()

    def _continue(self, channel: int, sequence: int, packet: bytes) -> None:
        message = self._partial
        if message is None or message.channel != channel:
            return
        if sequence != message.sequence:
            self._partial = None
            self._error(channel, Status.INVALID_SEQ)
            return
        message.data = (message.data + packet[5:])[: message.length]
        message.sequence += 1
        self._complete()

    def _busy_for(self, channel: int) -> bool:
        partial = self._partial
        return self._pending is not None or (partial is not None and partial.channel != channel)

    def _complete(self) -> None:
        message = self._partial
        if message is None or len(message.data) < message.length:
            return
        self._partial = None
        if message.command in {Command.PING, Command.WINK}:
            self._send(message.channel, message.command, message.data)
        elif message.command == Command.READ_CONFIG:
            self._send(message.channel, message.command, device_info(self.key))
        elif message.command == Command.MSG:
            self._start(message, ctap1.process(self.key, message.data))
        elif message.command == Command.CBOR and self.key.profile.ctap2:
            self._start(message, self.ctap2.process(message.data))
        else:
            self._error(message.channel, Status.INVALID_COMMAND)

    def _start(self, message: _Message, steps: Steps[bytes]) -> None:
        self._running = message
        self._keepalive_at = self.key.clock()
        self._pending = Pending(steps, self.key.clock)
        self.poll()

    def _cancel(self, channel: int) -> None:
        if self._pending is not None and self._running is not None and self._running.channel == channel:
            self._pending.cancel()
            self.poll()

    def _init(self, channel: int, nonce: bytes) -> None:
        if len(nonce) != NONCE:
            self._error(channel, Status.INVALID_LENGTH)
            return
        if channel == BROADCAST:
            self._channels += 1
        else:
            self._partial = None
            self._cancel(channel)
        able = Able.WINK | (Able.CBOR if self.key.profile.ctap2 else 0)
        able |= 0 if "U2F_V2" in self.key.profile.ctap_versions else Able.NO_MSG
        granted = self._channels if channel == BROADCAST else channel
        facts = bytes([PROTOCOL, *self.key.profile.firmware, able])
        self._send(channel, Command.INIT, nonce + struct.pack(">I", granted) + facts)

    def _error(self, channel: int, status: Status) -> None:
        self._send(channel, Command.ERROR, bytes([status]))

    def _send(self, channel: int, command: int, data: bytes) -> None:
        head = struct.pack(">IBH", channel, command | INITIAL, len(data))
        self.outgoing.append((head + data[:FIRST_DATA]).ljust(PACKET, b"\0"))
        rest = data[FIRST_DATA:]
        for sequence, start in enumerate(range(0, len(rest), NEXT_DATA)):
            chunk = struct.pack(">IB", channel, sequence) + rest[start : start + NEXT_DATA]
            self.outgoing.append(chunk.ljust(PACKET, b"\0"))
