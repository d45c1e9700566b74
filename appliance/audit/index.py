"""An index over the day files, so that a question need not read them all.

Never authoritative: it holds places, not events. Whatever it says is looked up in the files, and
when the two differ, or SQLite finds fault with it, it is made anew from them.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from appliance.audit.files import Line, Position, day_files, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)
BATCH = 2000
SCHEMA = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIELDS = ("event", "user", "login", "sid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where an event lies."""

    seq: int
    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A part of a question: SQL with named parameters."""

    sql: str
    values: dict[str, Any]


def micros(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


class Index:
    """The index in the file `path` over the log in `folder`; one thread at a time.

    Only events up to `durable()` are taken in: what comes after may yet be undone.
    """

    def __init__(self, path: Path, folder: Path, durable: Callable[[], int]) -> None:
        self._path = path
        self._folder = folder
        self._durable = durable
        self._db = self._open()

    def refresh(self) -> None:
        """Take in what was written since the last time."""
        try:
            position = self._position()
            if position is not None and not self._fits(position):
                self.rebuild()
            else:
                self._take_in(position)
        except sqlite3.DatabaseError as error:
            log.warning("the audit index is made anew: %s", error)
            self.rebuild()

    def rebuild(self) -> None:
        """Forget everything and read all files again."""
        self._db.close()
        for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
            self._path.with_name(name).unlink(missing_ok=True)
        self._db = self._open()
        self._take_in(None)

    def find(self, condition: Condition, *, newest_first: bool, limit: int) -> list[Entry]:
        """Return where the matching events lie."""
        order = "DESC" if newest_first else "ASC"
        rows = self._db.table("events").rows_where(
            condition.sql,
            condition.values,
            select="seq, file, offset, length",
            order_by=f"seq {order}",
            limit=limit,
        )
        return [Entry(**row) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _open(self) -> Database:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            log.warning("the audit index is made anew: %s", error)
            self._path.unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> Database:
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db = Database(connection, execute_plugins=False)
        try:
            db.enable_wal()
            # Losing the end of an index costs reading a few lines again.
            db.execute("PRAGMA synchronous = OFF")
            if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                _create(db)
        except BaseException:
            db.close()
            raise
        return db

    def _position(self) -> Position | None:
        row = self._db.execute(
            "SELECT file, offset + length + 1 FROM events ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return Position(file=row[0], offset=row[1]) if row else None

    def _fits(self, position: Position) -> bool:
        """Return whether the files still reach as far as the index says."""
        path = self._folder / position.file
        return path.exists() and path.stat().st_size >= position.offset

    def _take_in(self, start: Position | None) -> None:
        if not self._folder.exists() or not day_files(self._folder):
            return
        durable = self._durable()
        rows = (row for line in read_lines(self._folder, start) if (row := _row(line)))
        wanted = _until(rows, durable)
        while batch := list(islice(wanted, BATCH)):
            self._db.table("events").insert_all(batch, pk="seq", ignore=True)


def _until(rows: Iterator[dict[str, Any]], durable: int) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["seq"] > durable:
            return
        yield row


def _create(db: Database) -> None:
    db.execute("DROP TABLE IF EXISTS events")
    columns = {
        "seq": int,
        "time": int,
        **dict.fromkeys(FIELDS, str),
        "file": str,
        "offset": int,
        "length": int,
    }
    events = db.table("events").create(columns, pk="seq", strict=True)
    for field in ("time", *FIELDS):
        events.create_index([field, "seq"])
    db.execute(f"PRAGMA user_version = {SCHEMA:d}")


def _row(line: Line) -> dict[str, Any] | None:
    """Return the index row of a line; None for one that is no event (the verifier's business)."""
    try:
        record = json.loads(line.data)
        seq = record["seq"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(seq, int):
        return None
    return {
        "seq": seq,
        "time": _time(record.get("time")),
        **{field: _word(record.get(field)) for field in FIELDS},
        "file": line.file,
        "offset": line.offset,
        "length": len(line.data),
    }


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> int:
    """Return an event's time; an unreadable one counts as 1970, so it is still found without a range."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else EPOCH
        return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except ValueError:
        return 0
