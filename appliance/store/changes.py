"""Watches that keep no queue: each asks the store for what is newer than the last it saw.

A slow watcher therefore costs nothing but its own delay, and resuming is the same as going on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.store.backend import Change, Watch
from appliance.store.errors import Closed

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 1000
"""Changes read at once; more than one commit can have, so that a commit is never told in halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed, in order of revision, complete up to the revision `upto`."""

    changes: tuple[Change, ...]
    upto: int


class Signal:
    """Wakes the watches after each commit."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._revision = 0
        self.closed = False

    def advance(self, revision: int) -> None:
        """Tell that everything up to `revision` can be read."""
        with self._condition:
            self._revision = max(self._revision, revision)
            self._condition.notify_all()

    def close(self) -> None:
        """Tell every watch that the store is closed."""
        self.closed = True
        self.wake()

    def wake(self) -> None:
        """Let every watch look at its own state."""
        with self._condition:
            self._condition.notify_all()

    def wait(self, after: int, timeout: float, done: Callable[[], bool]) -> bool:
        """Wait until there is something newer than `after`; False if there is not."""
        with self._condition:
            self._condition.wait_for(lambda: self._revision > after or self.closed or done(), timeout)
            return self._revision > after


class PullWatch(Watch):
    """A watch over any store that can tell what is newer than a revision."""

    def __init__(self, *, read: Callable[[int], Changes], signal: Signal, after: int) -> None:
        self.revision = after
        self._read = read
        self._signal = signal
        self._closed = False

    def poll(self, timeout: float) -> tuple[Change, ...]:
        """Return the next changes, or nothing after `timeout` seconds."""
        newer = self._signal.wait(self.revision, timeout, lambda: self._closed)
        if self._signal.closed:
            raise Closed("the store is closed")
        if not newer or self._closed:
            return ()
        found = self._read(self.revision)
        self.revision = found.upto
        return found.changes

    @property
    def closed(self) -> bool:
        """Whether the watch has been ended."""
        return self._closed

    def close(self) -> None:
        """End the watch."""
        self._closed = True
        self._signal.wake()


def whole_commits(changes: list[Change], current: int) -> Changes:
    """Cut a list of at most `BATCH` changes, sorted by revision, after its last complete commit."""
    if len(changes) < BATCH:
        return Changes(changes=tuple(changes), upto=current)
    last = changes[-1].revision
    whole = tuple(change for change in changes if change.revision < last)
    return Changes(changes=whole, upto=last - 1)
