"""The part of a recorder that loop and lane share: what waits, what failed, what is written next.

Methods of the loop's side are called with `lock` held and return at once. Methods of the lane's
side (`create`, `turn`, `finish`) take the lock only to look, never while they write.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from appliance.recording.errors import RecorderFailed, RecorderOverrun, RecorderStalled
from appliance.recording.feed import Feed, Limits, pieces
from appliance.recording.frames import Bytes, End, Gap, Outcome, split
from appliance.recording.manifest import Manifest, moment
from appliance.recording.ticks import MICROSECOND, Ticks

if TYPE_CHECKING:
    from appliance.recording.blocks import BlockTransform
    from appliance.recording.journal import Batch, Journal
    from appliance.recording.lane import Lane


class Owner(Protocol):
    """The recorder, as the scribe sees it. The first two are called on any thread, and must not block."""

    def failed(self, error: RecorderFailed) -> None:
        """Tell whoever relays that recording has failed."""

    def relieved(self) -> None:
        """Tell whoever relays that there is room again, or that waiting for it has no more sense."""

    def settle(self, *, everything: bool) -> bool:
        """Append held input that is decided by now; return whether more is held. The lock is held."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """Bytes handed over, by kind, and how many of them gaps miss."""

    output: int = 0
    error: int = 0
    input: int = 0
    lost: int = 0


class Scribe:
    """Keeps a recording in order through full queues and failing disks."""

    def __init__(
        self, *, journal: Journal, strict: bool, limits: Limits, ticks: Ticks, lane: Lane, owner: Owner
    ) -> None:
        self.lock = Lock()
        self.full = self.closed = False
        self.failure: RecorderFailed | None = None
        self.counts = Counts()
        self.feed = Feed(limits, ticks, lane.queued)
        self._journal, self._strict, self._limits = journal, strict, limits
        self._lane, self._owner = lane, owner
        self._ticks = ticks
        self._started_us = ticks.wall_ns() // MICROSECOND
        self._attended = False
        self._gap = 0
        self._next_sync_us = self._next_try_us = 0

    # The loop's side.

    def append(self, kind: int, data: Bytes, prefix: bytes = b"") -> None:
        """Take a frame; raises `RecorderFailed` where it can't be kept and the mode is strict."""
        if self.failure is not None or self.closed:
            self.refuse(len(data))
            return
        for piece in pieces(data, self._limits.batch_bytes):
            if self.feed.add(kind, piece, prefix):
                self._lane.hurry(self)
        self.ask_for_turns()
        self._watch()

    def refuse(self, length: int = 0) -> None:
        """Raise where nothing can be taken; in best effort count what a gap misses."""
        if self.closed:
            raise RecorderFailed("this recording is closed")
        if self.failure is None:
            return
        if self._strict:
            raise RecorderFailed(str(self.failure), errno=self.failure.errno) from self.failure
        self._gap += length

    def ask_for_turns(self) -> None:
        """Have the lane look here from its next tick on."""
        if not self._attended:
            self._attended = True
            self._lane.attend(self)

    def _watch(self) -> None:
        """See that neither the relay nor the disk lets too much wait."""
        waiting = self.feed.queued_bytes
        if waiting > self._limits.hard_bytes:
            self.fail(RecorderOverrun("the recorder was full, and was given still more"))
        elif self.feed.stalled:
            self.fail(RecorderStalled("the disk has not taken the recording's data for too long"))
        elif waiting > self._limits.high_bytes or (waiting and self._lane.crowded):
            self.full = True
        if self.failure is not None:
            self.refuse()

    def fail(self, error: RecorderFailed) -> None:
        """Enter the failed state: throw away what waits, tell the owner once."""
        self._gap += self.feed.clear()
        self._next_try_us = self.feed.now_us() + self._limits.retry_ns // MICROSECOND
        self._relieve()
        if self.failure is None:
            self.failure = error
            self._owner.failed(error)

    def _relieve(self) -> None:
        if self.full:
            self.full = False
            self._owner.relieved()

    # The lane's side.

    def create(self, transform: BlockTransform) -> None:
        """Write what was appended so far as the first block, durably; raises `OSError`."""
        with self.lock:
            self.feed.seal()
        if (batch := self._first()) is not None:
            self._journal.create(batch, transform)
            self._written(batch)

    def turn(self, transform: BlockTransform) -> bool:
        """Write and sync what is due; return whether anything is left that will become due."""
        try:
            self._write_due(transform)
            self._sync_due()
        except OSError as error:
            with self.lock:
                self.fail(translated(error))
        with self.lock:
            held = self._holds_input()
            retries = self.failure is not None and not self._strict
            unwritten = not self.feed.empty or self._journal.unsynced
            self._attended = not self.closed and (held or retries or (unwritten and self.failure is None))
            return self._attended

    def _holds_input(self) -> bool:
        if self.closed or self.failure is not None:
            return False
        try:
            return self._owner.settle(everything=False)
        except RecorderFailed:  # the owner was told by `fail`
            return False

    def broken(self, error: Exception) -> None:
        """A turn raised what it must not: the recording fails, the lane goes on with the others."""
        with self.lock:
            self.fail(RecorderFailed(f"the recorder broke: {type(error).__name__}"))
            self._attended = False
            if not self._strict and not self.closed:
                self.ask_for_turns()

    def _write_due(self, transform: BlockTransform) -> None:
        with self.lock:
            if self.closed or not self._may_write():
                return
            if self.failure is None:
                self.feed.seal_if_due()
        if self.failure is not None:
            self._mark_gap(transform)
        self._write_queue(transform)

    def _may_write(self) -> bool:
        return self.failure is None or (not self._strict and self.feed.now_us() >= self._next_try_us)

    def _write_queue(self, transform: BlockTransform) -> None:
        while (batch := self._first()) is not None:
            self._journal.write(batch, transform)
            self._written(batch)

    def _first(self) -> Batch | None:
        with self.lock:
            return self.feed.first()

    def _written(self, batch: Batch) -> None:
        with self.lock:
            self.feed.done(batch)
            if self.feed.queued_bytes <= self._limits.low_bytes:
                self._relieve()

    def _mark_gap(self, transform: BlockTransform) -> None:
        """Best effort: try to write what is missing; when that works, recording goes on."""
        with self.lock:
            lost, reason = self._gap, str(self.failure)
            batch = self.feed.alone(*split(Gap(lost_bytes=lost, reason=reason)))
        self._journal.write(batch, transform)
        with self.lock:
            self._gap -= lost
            self.counts.lost += lost
            self.failure = None

    def _sync_due(self) -> None:
        now = self.feed.now_us()
        if self._journal.unsynced and now >= self._next_sync_us and not self.closed:
            self._journal.sync()
            self._next_sync_us = now + self._limits.sync_ns // MICROSECOND

    def finish(self, transform: BlockTransform, *, reason: str, outcome: Outcome) -> Manifest:
        """Write everything and the end, durably; raises `OSError` or `RecorderFailed`."""
        try:
            if self.failure is not None and not self._strict:
                self._mark_gap(transform)
            with self.lock:
                self.refuse()
                self._owner.settle(everything=True)
                end = self._end(reason, outcome)
                self.feed.add(*split(end))
                self.feed.seal()
                self.closed = True
            self._write_queue(transform)
            self._journal.sync()
            return self._manifest(end)
        finally:
            with self.lock:
                self.closed = True
                self.feed.clear()
                self._relieve()
            self._journal.close()

    def _end(self, reason: str, outcome: Outcome) -> End:
        counts = self.counts
        return End(
            outcome=outcome,
            reason=reason,
            output_bytes=counts.output,
            error_bytes=counts.error,
            input_bytes=counts.input,
            lost_bytes=counts.lost,
        )

    def _manifest(self, end: End) -> Manifest:
        return Manifest.of(
            session_id=self._journal.session_id,
            end=end,
            tally=self._journal.tally,
            started=moment(self._started_us),
            ended=moment(self._ticks.wall_ns() // MICROSECOND),
        )


def translated(error: OSError) -> RecorderFailed:
    """Return the package's error for the system's, in its words."""
    return RecorderFailed(
        f"the recording can't be written: {error.strerror or error}", errno=error.errno or 0
    )
