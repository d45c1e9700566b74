"""The one interface of the store, and the values it takes and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self

from appliance.store.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

MAX_VALUE = 384 * 1024
"""Bytes of one value; a DynamoDB item holds 400 KB with its keys."""
MAX_OPERATIONS = 96
"""Operations of one transaction; DynamoDB takes 100, etcd 128."""
MAX_PAGE = 1000


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A value as it is stored. `revision` is that of the commit which wrote it, and only grows."""

    key: str
    value: bytes
    revision: int
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A key that is gone: deleted, or purged after it expired."""

    key: str
    revision: int


Change = Item | Removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Write, whatever is there."""

    key: str
    value: bytes
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Write; `AlreadyExists` if the key is there."""

    key: str
    value: bytes
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Write; `NotFound` if the key is absent, `Conflict` if it has another revision."""

    key: str
    revision: int
    value: bytes
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove; `NotFound` if absent, `Conflict` if a revision is given and it has another."""

    key: str
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """Change nothing; the whole transaction fails unless the key has this revision."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireAbsent:
    """Change nothing; the whole transaction fails with `AlreadyExists` if the key is there."""

    key: str


Operation = Put | Create | Swap | Delete | Require | RequireAbsent


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Items in order of their keys; `next` is the key to go on from, None at the end."""

    items: tuple[Item, ...]
    next: str | None


class Watch(ABC):
    """What changed under a prefix, commit by commit; use it as a context manager.

    A key that changed twice between two polls may be told once, in its last state; no key is left
    out. `revision` is where another watch can resume.
    """

    revision: int

    @abstractmethod
    def poll(self, timeout: float) -> tuple[Change, ...]:
        """Return the next changes in order of revision; empty after `timeout` seconds without any.

        Raises `Compacted` when this watch slept through too many removals, `Closed` when the
        store is closed.
        """

    @abstractmethod
    def close(self) -> None:
        """End the watch: a thread waiting in `poll` returns with nothing."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the watch has been ended."""

    def __iter__(self) -> Iterator[Change]:
        """Yield changes until another thread closes the watch; raises as `poll` does."""
        while not self.closed:
            yield from self.poll(60.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Backend(ABC):
    """String keys to bytes values, with revisions. Every method may be called from any thread.

    An item whose time has come is never returned, found or compared, purged or not.
    """

    @abstractmethod
    def find(self, key: str) -> Item | None:
        """Return the item, or None if the key is absent."""

    @abstractmethod
    def range(self, prefix: str, *, start: str = "", limit: int = MAX_PAGE) -> Page:
        """Return at most `limit` items whose keys begin with `prefix`, from the key `start` on."""

    @abstractmethod
    def transact(self, operations: Sequence[Operation]) -> int:
        """Do all operations or none, durably, and return the revision they share.

        A key may stand in one operation only. The first precondition that does not hold is raised:
        `AlreadyExists`, `NotFound` or `Conflict`. A transaction of only `Require`s changes no revision.
        """

    @abstractmethod
    def watch(self, prefix: str, *, after: int | None = None) -> Watch:
        """Watch a prefix for changes after a revision; None means from now on."""

    @abstractmethod
    def revision(self) -> int:
        """Return the revision of the last commit: take it, then list, then watch after it."""

    @abstractmethod
    def purge(self) -> int:
        """Remove items whose time has come, tell the watchers, and return how many there were."""

    @abstractmethod
    def close(self) -> None:
        """Finish what was begun and let go of the files; harmless when repeated."""

    def get(self, key: str) -> Item:
        """Return the item; raises `NotFound`."""
        item = self.find(key)
        if item is None:
            raise NotFound(key)
        return item

    def items(self, prefix: str) -> Iterator[Item]:
        """Yield every item under a prefix, page by page; each page is of one moment."""
        start: str | None = prefix
        while start is not None:
            page = self.range(prefix, start=start)
            yield from page.items
            start = page.next

    def put(self, key: str, value: bytes, *, expires_at: datetime | None = None) -> int:
        """Write, whatever is there; returns the revision."""
        return self.transact([Put(key=key, value=value, expires_at=expires_at)])

    def create(self, key: str, value: bytes, *, expires_at: datetime | None = None) -> int:
        """Write a new key; raises `AlreadyExists`."""
        return self.transact([Create(key=key, value=value, expires_at=expires_at)])

    def compare_and_swap(
        self, key: str, expected_revision: int, value: bytes, *, expires_at: datetime | None = None
    ) -> int:
        """Write if the revision is still this one; raises `Conflict` or `NotFound`."""
        return self.transact([Swap(key=key, revision=expected_revision, value=value, expires_at=expires_at)])

    def delete(self, key: str, *, revision: int | None = None) -> int:
        """Remove; raises `NotFound`, or `Conflict` if a revision is given and it has another."""
        return self.transact([Delete(key=key, revision=revision)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
