"""Opening the SQLite file: never an empty one where data was expected, never a damaged one.

Beside `state.db` lie two small files of ours:

- `state.db.id` holds the identity written into the database when it was made. It says that there
  *was* a database: when that is gone or is another one, the store refuses to start. It is also
  what the running process locks, so a second one can't open the same store.
- `state.db.open` exists while the database is open. After a crash SQLite needs its `-wal` file; if
  that has gone meanwhile, acknowledged writes have gone with it, and the store refuses to start.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlite_utils import Database

from appliance.store.errors import Corrupt, Full, InUse, StoreError, Unavailable
from appliance.store.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID = 0x53616C79
"""`Saly`, in the header of the file (sqlite.org/fileformat.html, offset 68)."""
BUSY_SECONDS = 5.0
OWNER_ONLY = 0o600
_FULL = {sqlite3.SQLITE_FULL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def translate(error: sqlite3.Error) -> StoreError:
    """Return what an error of SQLite means to callers of the store."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL:
        return Full("the disk of the database is full; nothing was changed")
    if code in _DAMAGED:
        return Corrupt(f"the database is damaged: {error}")
    return Unavailable(f"the database does not answer: {error}")


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """Where a database and its companions lie."""

    path: Path

    @property
    def identity(self) -> Path:
        """The file that says there is a database."""
        return self.path.with_name(self.path.name + ".id")

    @property
    def opened(self) -> Path:
        """The file that exists while the database is open."""
        return self.path.with_name(self.path.name + ".open")

    @property
    def wal(self) -> Path:
        """SQLite's own write-ahead log."""
        return self.path.with_name(self.path.name + "-wal")

    @property
    def unfinished(self) -> Path:
        """A database that is being made and was never used."""
        return self.path.with_name(self.path.name + ".new")

    def connect(self) -> Database:
        """Open a connection for any thread, one at a time, without implicit transactions."""
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise translate(error) from error
        # Plug-ins of sqlite-utils are other people's code: none is loaded into this process.
        return Database(connection, execute_plugins=False)


def create(file: SqliteFile, new_id: Callable[[], str]) -> None:
    """Make an empty database; a crash at any point leaves either none or a whole one."""
    identity = new_id()
    for leftover in (file.unfinished, Path(f"{file.unfinished}-journal")):
        leftover.unlink(missing_ok=True)
    _write_private(file.unfinished, b"")
    db = SqliteFile(file.unfinished).connect()
    try:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        migrate(db)
        db.table("identity").insert({"id": identity})
    except sqlite3.Error as error:
        raise translate(error) from error
    finally:
        db.close()
    _sync(file.unfinished)
    file.unfinished.rename(file.path)
    _sync(file.path.parent)


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(file: SqliteFile) -> int:
    """Return a descriptor that holds the store for this process; raises `InUse` or `Unavailable`."""
    try:
        descriptor = os.open(file.identity, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_ONLY)
    except OSError as error:
        raise Unavailable(f"the store can't be opened: {file.identity}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InUse(f"{file.path} is open in another process") from error
    return descriptor


def known_identity(descriptor: int) -> str:
    """Return the identity of the database that should be there; empty if there never was one."""
    return os.pread(descriptor, 128, 0).decode("ascii", "replace").strip()


def adopt(descriptor: int, db: Database, file: SqliteFile) -> None:
    """Check that this is the database that was here before, or remember it as the first one."""
    row = db.execute("SELECT id FROM identity").fetchone()
    found, known = str(row[0]) if row else "", known_identity(descriptor)
    if not found:
        raise Corrupt(f"{file.path} has no identity: it was not made by this product")
    if known and known != found:
        raise Corrupt(f"{file.path} is not the database that was here before (it is {found}, not {known})")
    if not known:
        os.pwrite(descriptor, f"{found}\n".encode(), 0)
        os.fsync(descriptor)
        _sync(file.path.parent)


def check_present(file: SqliteFile) -> None:
    """Raise `Corrupt` if the database is missing, or the log that a crash left has gone."""
    if not file.path.exists():
        raise Corrupt(
            f"{file.path} is missing although there was one ({file.identity.name} says so): "
            "restore a backup; an empty one is not made in its place"
        )
    if file.opened.exists() and not file.wal.exists():
        raise Corrupt(
            f"{file.path} was not closed and its {file.wal.name} is missing, so acknowledged writes are; "
            f"restore a backup, or, if another program has merged that file, remove {file.opened.name}"
        )


def check_modes(file: SqliteFile) -> None:
    """Raise `Unavailable` if other users can read or write any of the files."""
    for path in (file.path, file.wal, file.identity):
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode & 0o777
            if mode & 0o077:
                raise Unavailable(f"{path} is open to other users (mode {mode:o}): run chmod 600 on it")


def check_integrity(db: Database, file: SqliteFile) -> None:
    """Raise `Corrupt` if SQLite finds fault with the file, or it is not ours."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise Corrupt(f"{file.path} is not a database of this product")
    faults = [row[0] for row in db.execute("PRAGMA quick_check(5)").fetchall()]
    if faults != ["ok"]:
        raise Corrupt(f"{file.path} is damaged, restore a backup: {'; '.join(map(str, faults))}")
