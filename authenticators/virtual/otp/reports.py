"""The feature reports of the keyboard interface, 8 bytes each way.

A frame is 64 bytes of payload, a command, a CRC and three bytes of filler, written as ten reports of seven
bytes and a sequence number with the write flag; all-zero reports in the middle may be left out. The answer is
read back seven bytes at a time with the response flag and a sequence number that returns to 0 at its end.
Otherwise a read returns the status, or says that a touch is awaited or the key is busy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from authenticators.virtual.interaction import AwaitTouch, Pending
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp.commands import OtpApplication
from authenticators.virtual.otp.crc import crc16, with_crc

REPORT: Final = 8
CHUNK: Final = 7
FRAME: Final = 70
PAYLOAD: Final = 64
WRITE: Final = 0x80
RESPONSE: Final = 0x40
AWAITING_TOUCH: Final = 0x20
SEQUENCE: Final = 0x1F
LAST: Final = FRAME // CHUNK - 1
RESET: Final = (0x8F, 0xFF)


@dataclass(slots=True)
class FeatureReports:
    """The state of one keyboard interface."""

    key: VirtualKey
    application: OtpApplication = field(init=False)
    frame: bytearray = field(init=False, default_factory=lambda: bytearray(FRAME))
    pending: Pending[bytes] | None = field(init=False, default=None)
    chunks: list[bytes] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.application = OtpApplication(self.key)

    def write(self, report: bytes) -> None:
        """Take one report (8 bytes); the last of a frame starts its command."""
        if len(report) != REPORT or report[CHUNK] in RESET:
            self._idle()
            return
        mark = report[CHUNK]
        sequence = mark & SEQUENCE
        if not mark & WRITE or sequence > LAST:
            return
        if sequence == 0:
            self._idle()
        self.frame[sequence * CHUNK : (sequence + 1) * CHUNK] = report[:CHUNK]
        if sequence == LAST:
            self._start()

    def read(self) -> bytes:
        """Return the next report (8 bytes)."""
        if self.pending is not None and self.pending.poll():
            self._finish(self.pending.answer or b"")
        if self.pending is not None:
            return self._status(self._busy_flags(self.pending))
        if self.chunks:
            return self.chunks.pop(0)
        return self._status(0)

    def _start(self) -> None:
        payload, command = bytes(self.frame[:PAYLOAD]), self.frame[PAYLOAD]
        checksum = int.from_bytes(self.frame[PAYLOAD + 1 : PAYLOAD + 3], "little")
        self.frame = bytearray(FRAME)
        if crc16(payload) == checksum:
            self.pending = Pending(self.application.execute(command, payload), self.key.clock)

    def _finish(self, answer: bytes) -> None:
        self.pending = None
        if not answer:
            return
        data = with_crc(answer)
        data += bytes(-len(data) % CHUNK)
        count = len(data) // CHUNK
        self.chunks = [
            data[CHUNK * i : CHUNK * (i + 1)] + bytes([RESPONSE | (i & SEQUENCE)]) for i in range(count)
        ]
        self.chunks.append(bytes(CHUNK) + bytes([RESPONSE]))

    def _idle(self) -> None:
        if self.pending is not None:
            self.pending.cancel()
        self.pending = None
        self.chunks = []
        self.frame = bytearray(FRAME)

    def _status(self, flags: int) -> bytes:
        return b"\0" + self.application.status() + bytes([flags])

    @staticmethod
    def _busy_flags(pending: Pending[bytes]) -> int:
        if isinstance(pending.pause, AwaitTouch):
            return AWAITING_TOUCH | min(SEQUENCE, int(pending.seconds_left) + 1)
        return WRITE
