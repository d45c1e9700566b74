"""Who is next: a bounded queue that takes turns, first over the callers, then over each caller's lanes."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hsm.signer.protocol import Code, SignerError

Job = TypeVar("Job")


@dataclass(slots=True)
class _Waiting(Generic[Job]):
    job: Job
    expires: float


@dataclass(slots=True)
class FairQueue(Generic[Job]):
    """Jobs of many callers, handed out round robin; `size` is the most that may wait per caller.

    Threads may put and take. `now` is any steady clock in seconds.
    """

    size: int
    _callers: OrderedDict[str, OrderedDict[str, deque[_Waiting[Job]]]] = field(default_factory=OrderedDict)
    _counts: dict[str, int] = field(default_factory=dict)
    _ready: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def __len__(self) -> int:
        return sum(self._counts.values())

    def put(self, caller: str, lane: str, job: Job, expires: float) -> None:
        """Let a job wait until `expires`; raises `SignerError` BUSY when the caller has too many."""
        with self._ready:
            if self._closed:
                raise SignerError(Code.UNAVAILABLE, "the signer is stopping")
            if self._counts.get(caller, 0) >= self.size:
                raise SignerError(Code.BUSY, f"{self.size} requests wait already", wait=1.0)
            lanes = self._callers.setdefault(caller, OrderedDict())
            lanes.setdefault(lane, deque()).append(_Waiting(job, expires))
            self._counts[caller] = self._counts.get(caller, 0) + 1
            self._ready.notify()

    def take(self, most: int) -> list[Job]:
        """Wait for jobs and return up to that many, in turn; an empty list when the queue is closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._counts or self._closed)
            return [self._next() for _ in range(min(most, len(self)))]

    def _next(self) -> Job:
        caller, lanes = self._callers.popitem(last=False)
        lane, jobs = lanes.popitem(last=False)
        waiting = jobs.popleft()
        if jobs:
            lanes[lane] = jobs
        if lanes:
            self._callers[caller] = lanes
        self._forget(caller)
        return waiting.job

    def _forget(self, caller: str) -> None:
        self._counts[caller] -= 1
        if not self._counts[caller]:
            del self._counts[caller]

    def expire(self, now: float) -> list[Job]:
        """Take out and return the jobs that waited too long."""
        with self._ready:
            late = [
                (caller, lane, waiting)
                for caller, lanes in self._callers.items()
                for lane, jobs in lanes.items()
                for waiting in jobs
                if waiting.expires <= now
            ]
            for caller, lane, waiting in late:
                self._remove(caller, lane, waiting)
            return [waiting.job for _, _, waiting in late]

    def _remove(self, caller: str, lane: str, waiting: _Waiting[Job]) -> None:
        lanes = self._callers[caller]
        lanes[lane].remove(waiting)
        if not lanes[lane]:
            del lanes[lane]
        if not lanes:
            del self._callers[caller]
        self._forget(caller)

    def close(self) -> None:
        """Take no more jobs and wake whoever waits for one."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
