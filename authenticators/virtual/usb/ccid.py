"""A card reader with one card that is always in it (USB CCID 1.1), at the level of extended APDUs."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from authenticators.virtual.card.card import Card
from authenticators.virtual.interaction import Pending
from authenticators.virtual.key import VirtualKey

HEADER: Final = 10
LARGEST: Final = 3072
ATR: Final = bytes.fromhex("3bfd1300008131fe158073c021c057597562694b657940")
SLOT_CHANGED: Final = bytes([0x50, 0x03])
T1: Final = 1
T1_PARAMETERS: Final = bytes([0x11, 0x10, 0x00, 0x15, 0x00, 0xFE, 0x00])
TIME_EXTENSION_SECONDS: Final = 0.5
FAILED: Final = 0x40
TIME_EXTENSION: Final = 0x80
INACTIVE: Final = 0x01
COMMAND_NOT_SUPPORTED: Final = 0x00


class Request(IntEnum):
    """Messages from the PC."""

    SET_PARAMETERS = 0x61
    POWER_ON = 0x62
    POWER_OFF = 0x63
    SLOT_STATUS = 0x65
    GET_PARAMETERS = 0x6C
    RESET_PARAMETERS = 0x6D
    TRANSFER = 0x6F


class Reply(IntEnum):
    """Messages to the PC."""

    DATA = 0x80
    SLOT_STATUS = 0x81
    PARAMETERS = 0x82


@dataclass(slots=True)
class CcidReader:
    """One reader. Give bulk data to `receive`, call `poll` when `due` says so, send what `outgoing` holds."""

    key: VirtualKey
    card: Card = field(init=False)
    outgoing: list[bytes] = field(init=False, default_factory=list)
    powered: bool = field(init=False, default=False)
    _buffer: bytes = field(init=False, default=b"")
    _pending: Pending[bytes] | None = field(init=False, default=None)
    _sequence: int = field(init=False, default=0)
    _extend_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.card = Card(self.key)

    @property
    def due(self) -> float | None:
        """In how many seconds `poll` has something to do; None while the card is idle."""
        if self._pending is None:
            return None
        return max(0.0, min(self._pending.due, self._extend_at) - self.key.clock())

    def receive(self, data: bytes) -> None:
        """Take bulk data from the PC; a message may come in several packets."""
        self._buffer += data
        if len(self._buffer) < HEADER:
            return
        kind, length, _slot, sequence = struct.unpack_from("<BIBB", self._buffer)
        if length > LARGEST:
            self._buffer = b""
            return
        if len(self._buffer) >= HEADER + length:
            body, self._buffer = self._buffer[HEADER : HEADER + length], b""
            self._sequence = sequence
            self._answer(kind, body)

    def poll(self) -> None:
        """Go on with a waiting command, or ask the PC for more time."""
        if self._pending is None:
            return
        if self._pending.poll():
            answer, self._pending = self._pending.answer or b"", None
            self._reply(Reply.DATA, answer)
        elif self.key.clock() >= self._extend_at:
            self._reply(Reply.DATA, b"", status=TIME_EXTENSION, error=1)
            self._extend_at = self.key.clock() + TIME_EXTENSION_SECONDS

    def _answer(self, kind: int, body: bytes) -> None:
        match kind:
            case Request.POWER_ON:
                self._power(on=True)
                self._reply(Reply.DATA, ATR)
            case Request.POWER_OFF:
                self._power(on=False)
                self._reply(Reply.SLOT_STATUS)
            case Request.TRANSFER:
                self._extend_at = self.key.clock() + TIME_EXTENSION_SECONDS
                self._pending = Pending(self.card.transmit(body), self.key.clock)
                self.poll()
            case Request.GET_PARAMETERS | Request.SET_PARAMETERS | Request.RESET_PARAMETERS:
                self._reply(Reply.PARAMETERS, T1_PARAMETERS, last=T1)
            case Request.SLOT_STATUS:
                self._reply(Reply.SLOT_STATUS)
            case _:
                self._reply(Reply.SLOT_STATUS, status=FAILED, error=COMMAND_NOT_SUPPORTED)

    def _power(self, *, on: bool) -> None:
        self.powered = on
        self.card.reset()

    def _reply(
        self, kind: Reply, data: bytes = b"", *, status: int = 0, error: int = 0, last: int = 0
    ) -> None:
        icc = 0 if self.powered else INACTIVE
        head = struct.pack("<BIBBBBB", kind, len(data), 0, self._sequence, status | icc, error, last)
        self.outgoing.append(head + data)
