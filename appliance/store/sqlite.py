"""The store in one SQLite file: one writer thread with group commit, readers from any thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Self, assert_never
from uuid import uuid4

from appliance.batching import Batcher, BatcherBusy, BatcherClosed
from appliance.store import sqlite_file
from appliance.store.backend import MAX_PAGE, Backend, Change, Clock, Item, Operation, Page, Removed, Watch
from appliance.store.changes import BATCH, Changes, PullWatch, Signal, whole_commits
from appliance.store.commit import FEW_REMOVALS, alive, check_transaction, resolve, shown
from appliance.store.errors import Closed, Compacted, Corrupt, StoreError, Unavailable
from appliance.store.keys import check_key, prefix_end
from appliance.store.migrations import migrate
from appliance.store.sqlite_file import SqliteFile, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlite_utils import Database

MAX_GROUP = 256
"""Transactions that share one fsync."""
MAX_READERS = 16
"""Connections that read at the same time."""
PATIENCE = 20.0
"""Seconds a caller waits for the writer or for a reader before it hears `Unavailable`."""
CLOSING_PATIENCE = 1.0
"""Seconds that closing waits for a reader."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = "key, value, revision, expires_at, checksum"


def micros(moment: datetime | None) -> int | None:
    """Return microseconds since 1970, exactly."""
    return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1)


def checksum(key: str, value: bytes, revision: int, expires_at: int | None) -> int:
    """Return the CRC-32 over a row; it finds a decayed disk, not an attacker."""
    return zlib.crc32(value, zlib.crc32(f"{key}\0{revision}\0{expires_at}\0".encode()))


def item_of(row: tuple[str, bytes, int, int | None, int]) -> Item:
    """Return the item of a row of `COLUMNS`; raises `Corrupt` if the row decayed on the disk."""
    key, value, revision, expires_at, stored = row
    if checksum(key, value, revision, expires_at) != stored:
        raise Corrupt(f"{key} is damaged on the disk: restore a backup")
    moment = None if expires_at is None else EPOCH + timedelta(microseconds=expires_at)
    return Item(key=key, value=value, revision=revision, expires_at=moment)


class SqliteBackend(Backend):
    """A `Backend` in one file. Make it with `open_store`."""

    def __init__(self, *, file: SqliteFile, clock: Clock, descriptor: int, writer: Database) -> None:
        self._file = file
        self._clock = clock
        self._descriptor = descriptor
        self._db = writer
        self._revision = _counter(writer, "revision")
        self._signal = Signal()
        self._signal.advance(self._revision)
        self._closing = threading.Lock()
        self._readers: LifoQueue[Database | None] = LifoQueue()
        for _ in range(MAX_READERS):
            self._readers.put(None)
        self._batcher: Batcher[Callable[[], int], int] = Batcher(
            name="store-writer", work=self._commit_group, max_batch=MAX_GROUP
        )

    @classmethod
    def open(cls, path: Path, *, clock: Clock, new_id: Callable[[], str] = lambda: uuid4().hex) -> Self:
        """Open the store at `path`, or make it if there never was one.

        Raises `Corrupt`, `SchemaTooNew`, `InUse`, `Full` or `Unavailable`; nothing is damaged by that.
        """
        file = SqliteFile(path)
        descriptor = sqlite_file.lock(file)
        try:
            writer = _open_writer(file, descriptor, new_id)
            try:
                return cls(file=file, clock=clock, descriptor=descriptor, writer=writer)
            except BaseException:
                writer.close()
                raise
        except sqlite3.Error as error:
            os.close(descriptor)
            raise translate(error) from error
        except BaseException:
            os.close(descriptor)
            raise

    def find(self, key: str) -> Item | None:
        """Return the item, or None if the key is absent."""
        check_key(key)
        with self._reading() as db:
            return alive(_lookup(db, key), self._clock.now())

    def range(self, prefix: str, *, start: str = "", limit: int = MAX_PAGE) -> Page:
        """Return at most `limit` items of the prefix, from `start` on."""
        sql = (
            f"SELECT {COLUMNS} FROM items WHERE key >= ? AND key < ?"  # noqa: S608 - constants only
            " AND (expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?"
        )
        bounds = (max(prefix, start), prefix_end(prefix), micros(self._clock.now()), limit + 1)
        with self._reading() as db:
            found = [item_of(row) for row in db.execute(sql, bounds).fetchall()]
        return Page(items=tuple(found[:limit]), next=found[limit].key if len(found) > limit else None)

    def transact(self, operations: Sequence[Operation]) -> int:
        """Do all operations or none, durably."""
        checked = check_transaction(operations)
        return self._write(lambda: self._apply_transaction(checked))

    def watch(self, prefix: str, *, after: int | None = None) -> Watch:
        """Watch a prefix for changes after a revision."""
        start = self.revision() if after is None else after
        return PullWatch(read=lambda seen: self._since(prefix, seen), signal=self._signal, after=start)

    def revision(self) -> int:
        """Return the revision of the last commit."""
        with self._reading() as db:
            return _counter(db, "revision")

    def purge(self) -> int:
        """Remove items whose time has come, some hundreds in a commit."""
        total = 0
        while count := self._write(self._purge_some):
            total += count
        return total

    def close(self) -> None:
        """Commit what waits, merge the write-ahead log, let go of the files."""
        with self._closing:
            if self._signal.closed:
                return
            self._batcher.close()
            self._signal.close()
        self._close_readers()
        # In this order: a crash in between leaves at worst a -wal file nobody asks for.
        self._file.opened.unlink(missing_ok=True)
        self._db.close()
        os.close(self._descriptor)

    def _close_readers(self) -> None:
        """Close the connections, and leave empty places so that later callers hear `Closed`."""
        for _ in range(MAX_READERS):
            # A reader that hangs keeps its connection; the process is about to end anyway.
            with suppress(Empty):
                reader = self._readers.get(timeout=CLOSING_PATIENCE)
                if reader is not None:
                    reader.close()
        for _ in range(MAX_READERS):
            self._readers.put(None)

    def _write(self, request: Callable[[], int]) -> int:
        try:
            future = self._batcher.submit(request)
        except BatcherClosed as error:
            raise Closed("the store is closed") from error
        except BatcherBusy as error:
            raise Unavailable(f"the store is overloaded: {error}") from error
        return _outcome(future)

    def _commit_group(self, group: Sequence[Callable[[], int]]) -> Sequence[int | Exception]:
        """Commit requests together; when the disk refuses them all, try each alone."""
        try:
            return self._attempt(group)
        except StoreError as error:
            if len(group) == 1:
                return [error]
        return [outcome for request in group for outcome in self._commit_group([request])]

    def _attempt(self, group: Sequence[Callable[[], int]]) -> Sequence[int | Exception]:
        before = self._revision
        try:
            self._db.execute("BEGIN IMMEDIATE")
            outcomes = [_settle(request) for request in group]
            if self._revision > before:
                self._forget_old_removals(before)
                self._db.execute("UPDATE counters SET value = ? WHERE name = 'revision'", (self._revision,))
            self._db.execute("COMMIT")
        except BaseException as error:
            self._revision = before
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise translate(error) from error
            raise
        self._signal.advance(self._revision)
        return outcomes

    def _roll_back(self) -> None:
        try:
            self._db.rollback()
        except sqlite3.Error as error:
            raise translate(error) from error

    def _apply_transaction(self, operations: Sequence[Operation]) -> int:
        changes = resolve(
            operations, lambda key: _lookup(self._db, key), self._clock.now(), self._revision + 1
        )
        self._apply(changes)
        return self._revision

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case Item():
                    self._write_item(change)
                case Removed():
                    self._remove_item(change)
                case _:
                    assert_never(change)
        if changes:
            self._revision = changes[-1].revision

    def _write_item(self, item: Item) -> None:
        expires_at = micros(item.expires_at)
        check = checksum(item.key, item.value, item.revision, expires_at)
        self._db.execute(
            f"INSERT OR REPLACE INTO items ({COLUMNS}) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - constants only
            (item.key, item.value, item.revision, expires_at, check),
        )
        self._db.execute("DELETE FROM removals WHERE key = ?", (item.key,))

    def _remove_item(self, removed: Removed) -> None:
        self._db.execute("DELETE FROM items WHERE key = ?", (removed.key,))
        self._db.execute(
            "INSERT OR REPLACE INTO removals (key, revision) VALUES (?, ?)", (removed.key, removed.revision)
        )

    def _purge_some(self) -> int:
        rows = self._db.execute(
            "SELECT key FROM items WHERE expires_at <= ? LIMIT ?", (micros(self._clock.now()), BATCH // 2)
        ).fetchall()
        revision = self._revision + 1
        self._apply([Removed(key=key, revision=revision) for (key,) in rows])
        return len(rows)

    def _forget_old_removals(self, before: int) -> None:
        """Drop the oldest removals now and then, and remember up to where they are incomplete."""
        if before // MAX_GROUP == self._revision // MAX_GROUP:
            return
        row = self._db.execute(
            "SELECT revision FROM removals ORDER BY revision DESC LIMIT 1 OFFSET ?", (FEW_REMOVALS,)
        ).fetchone()
        if row:
            self._db.execute("DELETE FROM removals WHERE revision <= ?", row)
            self._db.execute("UPDATE counters SET value = ? WHERE name = 'compacted'", row)

    def _since(self, prefix: str, after: int) -> Changes:
        bounds = {"after": after, "low": prefix, "high": prefix_end(prefix), "limit": BATCH}
        with self._reading() as db, _snapshot(db):
            compacted, current = _counter(db, "compacted"), _counter(db, "revision")
            if after < compacted:
                raise Compacted(after=after, oldest=compacted)
            changes: list[Change] = [
                item_of(row) for row in db.execute(_newer("items", COLUMNS), bounds).fetchall()
            ]
            changes += [
                Removed(key=key, revision=revision)
                for key, revision in db.execute(_newer("removals", "key, revision"), bounds).fetchall()
            ]
        changes.sort(key=lambda change: (change.revision, change.key))
        whole = whole_commits(changes[:BATCH], current)
        now = self._clock.now()
        living = tuple(change for change in whole.changes if shown(change, now))
        return Changes(changes=living, upto=whole.upto)

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        try:
            db = self._readers.get(timeout=PATIENCE)
        except Empty as error:
            raise Unavailable(f"more than {MAX_READERS} threads read the store") from error
        try:
            if self._signal.closed:
                raise Closed("the store is closed")
            if db is None:
                db = self._file.connect()
                db.execute("PRAGMA query_only = ON")
            yield db
        except sqlite3.Error as error:
            raise translate(error) from error
        finally:
            self._readers.put(db)


def _newer(table: str, columns: str) -> str:
    return (
        f"SELECT {columns} FROM {table} WHERE revision > :after AND key >= :low AND key < :high"  # noqa: S608 - constants
        " ORDER BY revision, key LIMIT :limit"
    )


def _open_writer(file: SqliteFile, descriptor: int, new_id: Callable[[], str]) -> Database:
    if not sqlite_file.known_identity(descriptor) and not file.path.exists():
        sqlite_file.create(file, new_id)
    sqlite_file.check_present(file)
    sqlite_file.check_modes(file)
    db = file.connect()
    try:
        sqlite_file.check_integrity(db, file)
        sqlite_file.adopt(descriptor, db, file)
        migrate(db)
        _prepare_writer(db, file)
    except BaseException:
        db.close()
        raise
    return db


def _prepare_writer(db: Database, file: SqliteFile) -> None:
    db.enable_wal()
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA trusted_schema = OFF")
    # A first write makes the -wal file exist before `.open` says that one has to.
    db.execute("UPDATE counters SET value = value WHERE name = 'revision'")
    file.opened.touch(mode=sqlite_file.OWNER_ONLY)


def _outcome(future: Future[int]) -> int:
    try:
        return future.result(timeout=PATIENCE)
    except TimeoutError as error:
        if future.cancel():
            raise Unavailable("the store was too busy; nothing was changed") from error
        raise Unavailable("the store takes too long; read before trying again") from error
    except CancelledError as error:
        raise Closed("the store is closed") from error


def _settle(request: Callable[[], int]) -> int | Exception:
    """Do one request of a group; a precondition that fails is its own outcome and writes nothing."""
    try:
        return request()
    except StoreError as error:
        return error


def _counter(db: Database, name: str) -> int:
    return int(db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0])


def _lookup(db: Database, key: str) -> Item | None:
    row = db.execute(f"SELECT {COLUMNS} FROM items WHERE key = ?", (key,)).fetchone()  # noqa: S608 - constant
    return None if row is None else item_of(row)


@contextmanager
def _snapshot(db: Database) -> Iterator[None]:
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.rollback()
