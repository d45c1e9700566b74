"""What lies between the loop and the lane: the open batch and the queue of full ones.

Nothing here locks; the recorder holds its lock around every call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.recording.frames import Bytes, append_frame
from appliance.recording.journal import Batch
from appliance.recording.ticks import MICROSECOND, SECOND, Ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a batch is written, and how much may wait. Bytes and nanoseconds."""

    batch_bytes: int = 256 * 1024
    batch_ns: int = SECOND // 4
    sync_ns: int = SECOND
    high_bytes: int = 4 << 20
    """Above, the recorder is full."""
    low_bytes: int = 1 << 20
    """Below, it is no longer."""
    hard_bytes: int = 8 << 20
    """Above, it fails: the relay did not heed `full`."""
    stall_ns: int = 10 * SECOND
    """So long a batch may wait for the disk."""
    retry_ns: int = SECOND
    """So often a best-effort recorder that failed tries again."""


class Feed:
    """The unwritten part of one recording."""

    def __init__(self, limits: Limits, ticks: Ticks, on_change: Callable[[int], None]) -> None:
        """`on_change` hears how the number of queued bytes changes."""
        self.limits = limits
        self.queued_bytes = 0
        self._on_change = on_change
        self._ticks = ticks
        self._start_ns = ticks.monotonic_ns()
        self._queue: deque[Batch] = deque()
        self._raw = bytearray()
        self._begun_us = self._last_us = self._wall_us = 0

    def now_us(self) -> int:
        """Return the microseconds since the recording began."""
        return (self._ticks.monotonic_ns() - self._start_ns) // MICROSECOND

    def add(self, kind: int, payload: Bytes, prefix: bytes = b"") -> bool:
        """Add a frame; return whether it filled the batch, which is then in the queue."""
        now = self.now_us()
        if not self._raw:
            self._begun_us = self._last_us = now
            self._wall_us = self._ticks.wall_ns() // MICROSECOND
        append_frame(self._raw, kind, now - self._last_us, payload, prefix)
        self._last_us = now
        return len(self._raw) >= self.limits.batch_bytes and self.seal()

    def seal(self) -> bool:
        """Put the open batch into the queue; return whether there was one."""
        if not self._raw:
            return False
        self._queue.append(Batch(raw=self._raw, elapsed_us=self._begun_us, wall_us=self._wall_us))
        self._queued(len(self._raw))
        self._raw = bytearray()
        return True

    def _queued(self, change: int) -> None:
        self.queued_bytes += change
        self._on_change(change)

    def seal_if_due(self) -> bool:
        """Seal the open batch if it is old enough; return whether it was."""
        return self._age_ns(self._begun_us) >= self.limits.batch_ns and self.seal()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._raw or self._queue)

    @property
    def stalled(self) -> bool:
        """Whether the oldest unwritten frame has waited too long."""
        begun = self._queue[0].elapsed_us if self._queue else self._begun_us
        return not self.empty and self._age_ns(begun) >= self.limits.stall_ns

    def _age_ns(self, elapsed_us: int) -> int:
        return (self.now_us() - elapsed_us) * MICROSECOND

    def first(self) -> Batch | None:
        """Return the oldest full batch; it stays until `done`, since it still takes memory."""
        return self._queue[0] if self._queue else None

    def done(self, batch: Batch) -> None:
        """Forget a batch that was written, unless `clear` was quicker."""
        if self._queue and self._queue[0] is batch:
            self._queue.popleft()
            self._queued(-len(batch.raw))

    def clear(self) -> int:
        """Throw everything away; return how many bytes of frames that was."""
        lost = self.queued_bytes + len(self._raw)
        self._queue.clear()
        self._queued(-self.queued_bytes)
        self._raw = bytearray()
        return lost

    def alone(self, kind: int, payload: Bytes) -> Batch:
        """Return a batch of one frame that happens now, past the queue."""
        raw, now = bytearray(), self.now_us()
        append_frame(raw, kind, 0, payload)
        return Batch(raw=raw, elapsed_us=now, wall_us=self._ticks.wall_ns() // MICROSECOND)


def pieces(data: Bytes, limit: int) -> Iterator[Bytes]:
    """Yield data in pieces of at most `limit` bytes, so that no block outgrows what a reader takes."""
    if len(data) <= limit:
        yield data
        return
    view = memoryview(data)
    for at in range(0, len(view), limit):
        yield view[at : at + limit]
