"""Writer threads: each serves many recordings, a recording stays on one of them.

A recording that holds something unwritten asks for attention once; from then on the lane gives it
a turn every tick until it says that it has nothing left. A full batch gets its turn at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.recording.blocks import BlockTransform, Zstd
from appliance.recording.errors import RecorderFailed

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
_log = logging.getLogger(__name__)
Job = Callable[[BlockTransform], None]
TICK = 0.1
"""Seconds between two turns of a recording that has something to write."""
BACKLOG_LIMIT = 64 << 20
"""Bytes that all recordings of one lane may keep waiting; above, each is told to pause."""


class Served(Protocol):
    """What a lane gives turns to."""

    def turn(self, transform: BlockTransform) -> bool:
        """Write what is due; return whether there is anything left that will become due."""

    def broken(self, error: Exception) -> None:
        """Hear of an error that a turn should not have raised."""


class Lane:
    """One thread with a transform of its own."""

    def __init__(self, name: str, transform: Callable[[], BlockTransform]) -> None:
        self.recordings = 0
        self._backlog = 0
        self._wake = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._urgent: dict[Served, None] = {}
        self._waiting: dict[Served, None] = {}
        self._stopping = False
        self._next_tick = 0.0
        self._transform = transform
        # A daemon, so that a proxy that dies of an exception does not hang; `Lanes.close` joins it.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def crowded(self) -> bool:
        """Whether too much waits on this lane."""
        return self._backlog > BACKLOG_LIMIT

    def queued(self, change: int) -> None:
        """Count bytes that wait (or, below zero, wait no longer)."""
        with self._wake:
            self._backlog += change

    def attend(self, served: Served) -> None:
        """Give it turns from the next tick on, until one returns False."""
        with self._wake:
            idle = not self._waiting
            self._waiting[served] = None
            if idle:
                self._wake.notify()

    def hurry(self, served: Served) -> None:
        """Give it a turn as soon as possible."""
        with self._wake:
            self._urgent[served] = None
            self._wake.notify()

    def submit(self, job: Callable[[BlockTransform], T]) -> Future[T]:
        """Run a job on the thread; its result or error is in the future. After `stop`, `RecorderFailed`."""
        future: Future[T] = Future()

        def run(transform: BlockTransform) -> None:
            try:
                future.set_result(job(transform))
            except BaseException as error:  # noqa: BLE001 - the border of the thread: whoever waits hears of it
                future.set_exception(error)

        with self._wake:
            if self._stopping:
                raise RecorderFailed("the recorder's threads have been stopped")
            self._jobs.append(run)
            self._wake.notify()
        return future

    def stop(self) -> None:
        """Do all jobs, give every recording that waits a last turn, then end the thread.

        Recordings are closed before; what one that is not still holds in memory is lost as in a crash.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        transform = self._transform()
        while self._serve(transform):
            pass

    def _serve(self, transform: BlockTransform) -> bool:
        jobs, turns, stopping = self._next()
        for job in jobs:
            job(transform)
        for served in turns:
            if self._turn(served, transform):
                with self._wake:
                    self._waiting[served] = None
        return not stopping or bool(jobs or self._jobs)

    def _turn(self, served: Served, transform: BlockTransform) -> bool:
        try:
            return served.turn(transform)
        except Exception as error:  # noqa: BLE001 - the border of the thread: whoever waits hears of it
            _log.exception("a recorder's turn broke")
            served.broken(error)
            return False

    def _next(self) -> tuple[list[Job], list[Served], bool]:
        with self._wake:
            if not (self._jobs or self._urgent or self._stopping):
                self._wake.wait(TICK if self._waiting else None)
            jobs, turns = list(self._jobs), list(self._urgent)
            self._jobs.clear()
            self._urgent.clear()
            if self._stopping or time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + TICK
                # Taken out before the turn: who asks again while it runs is not forgotten.
                turns += [served for served in self._waiting if served not in turns]
                self._waiting.clear()
            return jobs, turns, self._stopping


class Lanes:
    """The writer threads of a process. Two keep one slow recording from holding up all others."""

    def __init__(self, count: int = 2, *, transform: Callable[[], BlockTransform] = Zstd) -> None:
        self._lanes = [Lane(f"recorder-{index}", transform) for index in range(count)]

    def take(self) -> Lane:
        """Return the lane with the fewest recordings, counting one more; called on the loop's thread."""
        lane = min(self._lanes, key=lambda lane: lane.recordings)
        lane.recordings += 1
        return lane

    def give_back(self, lane: Lane) -> None:
        """Count one recording less."""
        lane.recordings -= 1

    def close(self) -> None:
        """Stop all threads after what is due."""
        for lane in self._lanes:
            lane.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
