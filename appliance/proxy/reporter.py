"""Facts on their way to the log: in order, off the data path, told again while auth does not answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from appliance.domain.errors import SallyportError, Unavailable
from appliance.domain.operations.ssh import SessionEnd, SessionFacts

if TYPE_CHECKING:
    from appliance.proxy.authority import Authority

log = logging.getLogger(__name__)
BATCH = 64
RETRY = 1.0
"""Seconds between two tries while auth does not answer."""
MAX_WAITING = 16384
"""Facts that may wait; above, the oldest are given up, loudly. Sessions are ended long before."""


class Reporter:
    """One queue a worker; `run` empties it."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._queue: deque[SessionFacts | SessionEnd] = deque()
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """How many facts are not in the log yet."""
        return len(self._queue)

    def put(self, fact: SessionFacts | SessionEnd) -> None:
        """Queue a fact."""
        self._queue.append(fact)
        if len(self._queue) > MAX_WAITING:
            log.error("auth has not answered for so long that a fact is lost: %r", self._queue.popleft())
        self._empty.clear()
        self._changed.set()

    async def flushed(self) -> None:
        """Wait until everything that was queued is in the log."""
        await self._empty.wait()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._queue:
                await self._send_some()
            self._empty.set()

    async def _send_some(self) -> None:
        first = self._queue[0]
        batch = [first] if isinstance(first, SessionEnd) else self._facts()
        try:
            if isinstance(first, SessionEnd):
                await self._authority.end(first)
            else:
                await self._authority.report(*self._facts())
        except Unavailable as error:
            log.warning("%d facts wait for auth: %s", len(self._queue), error)
            await asyncio.sleep(RETRY)
            return
        except SallyportError as error:
            log.error("auth does not take %r: %s", batch, error)  # noqa: TRY400 - its own message says it all
        for _ in batch:
            self._queue.popleft()

    def _facts(self) -> list[SessionFacts]:
        found: list[SessionFacts] = []
        for fact in self._queue:
            if isinstance(fact, SessionEnd) or len(found) == BATCH:
                break
            found.append(fact)
        return found
