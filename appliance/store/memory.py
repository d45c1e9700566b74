"""The store in a dictionary: for tests and for programs that remember nothing."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, assert_never

from appliance.store.backend import MAX_PAGE, Backend, Change, Clock, Item, Operation, Page, Removed, Watch
from appliance.store.changes import BATCH, Changes, PullWatch, Signal, whole_commits
from appliance.store.commit import FEW_REMOVALS, alive, check_transaction, resolve, shown
from appliance.store.errors import Closed, Compacted
from appliance.store.keys import check_key, prefix_end

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemoryBackend(Backend):
    """A `Backend` that lives as long as its process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}
        self._keys: list[str] = []
        self._removals: OrderedDict[str, Removed] = OrderedDict()
        self._compacted = 0
        self._revision = 0
        self._signal = Signal()

    def find(self, key: str) -> Item | None:
        """Return the item, or None if the key is absent."""
        check_key(key)
        self._check_open()
        return alive(self._items.get(key), self._clock.now())

    def range(self, prefix: str, *, start: str = "", limit: int = MAX_PAGE) -> Page:
        """Return at most `limit` items of the prefix, from `start` on."""
        self._check_open()
        now = self._clock.now()
        with self._lock:
            first = bisect_left(self._keys, max(prefix, start))
            last = bisect_left(self._keys, prefix_end(prefix))
            items = (self._items[key] for key in islice(self._keys, first, last))
            found = list(islice((item for item in items if alive(item, now)), limit + 1))
        return Page(items=tuple(found[:limit]), next=found[limit].key if len(found) > limit else None)

    def transact(self, operations: Sequence[Operation]) -> int:
        """Do all operations or none."""
        checked = check_transaction(operations)
        with self._lock:
            self._check_open()
            changes = resolve(checked, self._items.get, self._clock.now(), self._revision + 1)
            self._apply(changes)
            return self._revision

    def watch(self, prefix: str, *, after: int | None = None) -> Watch:
        """Watch a prefix for changes after a revision."""
        start = self.revision() if after is None else after
        return PullWatch(read=lambda seen: self._since(prefix, seen), signal=self._signal, after=start)

    def revision(self) -> int:
        """Return the revision of the last commit."""
        self._check_open()
        return self._revision

    def purge(self) -> int:
        """Remove items whose time has come."""
        now = self._clock.now()
        with self._lock:
            dead = [item.key for item in self._items.values() if alive(item, now) is None]
            for first in range(0, len(dead), BATCH // 2):
                revision = self._revision + 1
                self._apply(
                    tuple(Removed(key=key, revision=revision) for key in dead[first : first + BATCH // 2])
                )
        return len(dead)

    def close(self) -> None:
        """Refuse everything from now on."""
        self._signal.close()

    def _check_open(self) -> None:
        if self._signal.closed:
            raise Closed("the store is closed")

    def _apply(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case Item():
                    self._write(change)
                case Removed():
                    self._remove(change)
                case _:
                    assert_never(change)
        if changes:
            self._revision = changes[-1].revision
            self._signal.advance(self._revision)

    def _write(self, item: Item) -> None:
        if item.key not in self._items:
            insort(self._keys, item.key)
        self._items[item.key] = item
        self._removals.pop(item.key, None)

    def _remove(self, removed: Removed) -> None:
        del self._items[removed.key]
        del self._keys[bisect_left(self._keys, removed.key)]
        self._removals[removed.key] = removed
        if len(self._removals) > FEW_REMOVALS:
            _, oldest = self._removals.popitem(last=False)
            self._compacted = oldest.revision

    def _since(self, prefix: str, after: int) -> Changes:
        now = self._clock.now()
        with self._lock:
            if after < self._compacted:
                raise Compacted(after=after, oldest=self._compacted)
            kept: list[Change] = [*self._items.values(), *self._removals.values()]
            changes = [c for c in kept if c.revision > after and c.key.startswith(prefix) and shown(c, now)]
            changes.sort(key=lambda change: (change.revision, change.key))
            return whole_commits(changes[:BATCH], self._revision)
