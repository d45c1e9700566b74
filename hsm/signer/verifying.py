"""Verification beside the token: while a fast token makes a signature, the one before it is checked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")


@dataclass(slots=True)
class Beside(Generic[Item]):
    """Checks items in a thread of its own, in order. Put, take and close from one thread only.

    The thread begins with the first item. A check that ends in an error is one that failed.
    """

    check: Callable[[Item], bool]
    under_way: int = 0
    _waiting: SimpleQueue[Item | None] = field(default_factory=SimpleQueue)
    _checked: SimpleQueue[tuple[Item, bool]] = field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        """Have an item checked."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="verify", daemon=True)
            self._thread.start()
        self.under_way += 1
        self._waiting.put(item)

    def take(self, *, leave: int = 0) -> Iterator[tuple[Item, bool]]:
        """Give what is checked, and wait for more until at most `leave` are under way."""
        while self.under_way > leave or not self._checked.empty():
            yield self._checked.get()
            self.under_way -= 1

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._checked.put((item, self._passes(item)))

    def _passes(self, item: Item) -> bool:
        try:
            return self.check(item)
        except Exception:  # the border of a thread; nothing leaves that was not checked
            log.exception("a signature could not be checked")
            return False
