"""Group commit: many callers wait, one thread works, one fsync serves them all.

A caller hands in a request and gets a future. The thread takes everything that waits (at most
`max_batch`), does it in one go, and answers each. While one batch is being made durable the next
one gathers by itself, so nobody waits for a timer and a busy disk makes batches larger.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)
Q = TypeVar("Q")
R = TypeVar("R")

MAX_WAITING = 8192
"""Requests that may wait before callers are held back."""
PATIENCE = 10.0
"""Seconds a caller is held back before it is refused."""


class BatcherClosed(Exception):  # noqa: N818 - a state, as the callers translate it
    """The thread has been told to stop; nothing of this request was done."""


class BatcherBusy(Exception):  # noqa: N818
    """More than `MAX_WAITING` requests wait; nothing of this request was done."""


class Batcher(Generic[Q, R]):
    """One thread that does requests in batches.

    `work` gets the requests of a batch and returns one outcome for each, in order: the result, or
    the exception its caller shall see. What it raises itself goes to every caller of that batch.
    """

    def __init__(
        self, *, name: str, work: Callable[[Sequence[Q]], Sequence[R | Exception]], max_batch: int
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._waiting: deque[tuple[Q, Future[R]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, request: Q) -> Future[R]:
        """Queue a request; raises `BatcherClosed` or `BatcherBusy`. The future tells the outcome."""
        future: Future[R] = Future()
        with self._changed:
            if not self._changed.wait_for(self._has_room, timeout=PATIENCE):
                raise BatcherBusy(f"{len(self._waiting)} requests wait already")
            if self._closing:
                raise BatcherClosed("closed")
            self._waiting.append((request, future))
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Do what waits, then stop the thread; harmless when repeated."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _has_room(self) -> bool:
        return self._closing or len(self._waiting) < MAX_WAITING

    def _run(self) -> None:
        while batch := self._take():
            self._answer(batch)

    def _take(self) -> list[tuple[Q, Future[R]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            size = min(len(self._waiting), self._max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            self._changed.notify_all()
        return batch

    def _answer(self, batch: list[tuple[Q, Future[R]]]) -> None:
        live = [(request, future) for request, future in batch if future.set_running_or_notify_cancel()]
        if not live:
            return
        try:
            outcomes = self._work([request for request, _ in live])
        except Exception as error:  # the border of the thread: each caller hears of it
            log.exception("a batch of %d requests failed", len(live))
            outcomes = [error] * len(live)
        for (_, future), outcome in zip(live, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
