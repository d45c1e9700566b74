"""The writer: an event is durable when `record` returns; if it can't be, `record` raises."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol, Self
from uuid import uuid4

from appliance.audit.chain import Head, seal
from appliance.audit.errors import AuditError, ChainBroken, Closed, Full, InUse, Shortened, Unwritable
from appliance.audit.files import FILE_MODE, FOLDER_MODE, day_of, file_name
from appliance.audit.line import Value, prepare
from appliance.audit.recovery import Torn, pending, recover, sync_folder
from appliance.batching import Batcher, BatcherBusy, BatcherClosed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

MAX_BATCH = 128
"""Events that share one fsync; with `MAX_LINE` this stays below `recovery.TAIL`."""
PRESSURE = 0.75
"""Share of the disk in use at which the alarm goes off (NIST SP 800-53 AU-5(1))."""
RELIEF = 0.70
"""Share below which the alarm can go off again."""
PATIENCE = 30.0
"""Seconds `record` waits for the disk."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof that an event is durable: its number and the hash of its line."""

    seq: int
    hash: str


def disk_use(descriptor: int) -> float:
    """Return the share of the file system that an ordinary user can't fill any more, 0 to 1."""
    found = os.fstatvfs(descriptor)
    return 1 - found.f_bavail / found.f_blocks if found.f_blocks else 0.0


def _silent(_: float) -> None:
    """Nobody asked to be told about pressure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the log gets from outside."""

    clock: Clock
    new_uid: Callable[[], str] = lambda: str(uuid4())
    on_pressure: Callable[[float], None] = _silent
    """Called once when the disk passes `PRESSURE`, in the writer's thread: it must not call `record`."""
    disk_use: Callable[[int], float] = disk_use


class AuditLog:
    """The audit log of one folder. Thread-safe; make it with `open`."""

    def __init__(self, folder: Path, surroundings: Surroundings, *, lock: int, head: Head, day: date) -> None:
        self._folder = folder
        self._around = surroundings
        self._lock = lock
        self._durable = head
        self._day = day
        self._alarmed = False
        self._broken: OSError | None = None
        self._file, self._size = _open_day(folder, day)
        self._batcher: Batcher[dict[str, Value], Receipt] = Batcher(
            name="audit-writer", work=self._write_batch, max_batch=MAX_BATCH
        )

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Clock,
        expected: Head | None = None,
        accept_changes: bool = False,
        new_uid: Callable[[], str] | None = None,
        on_pressure: Callable[[float], None] = _silent,
        disk_use: Callable[[int], float] = disk_use,
    ) -> Self:
        """Open the log in `folder`, made if it is missing, and repair what a crash has left.

        `expected` is a head known from elsewhere (the last checkpoint, the store): a log that ends
        before it raises `Shortened`. Raises also `ChainBroken`, `InUse`, `Full` and `Unwritable`.
        `accept_changes` is for the person who has looked at a broken end: it is set aside.
        """
        around = Surroundings(
            clock=clock,
            new_uid=new_uid or (lambda: str(uuid4())),
            on_pressure=on_pressure,
            disk_use=disk_use,
        )
        try:
            return cls._open(folder, around, expected=expected, accept_changes=accept_changes)
        except OSError as error:
            raise _translate(error) from error

    @classmethod
    def _open(
        cls, folder: Path, around: Surroundings, *, expected: Head | None, accept_changes: bool
    ) -> Self:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        lock = _take_lock(folder)
        try:
            end = recover(folder, accept_changes=accept_changes)
            _check_expected(end.head, expected)
            last = day_of(end.file.name) if end.file else None
            today = around.clock.now().astimezone(UTC).date()
            log = cls(folder, around, lock=lock, head=end.head, day=max(last or today, today))
        except BaseException:
            os.close(lock)
            raise
        log._tell_of_repairs(pending(folder))
        return log

    def record(self, record: Mapping[str, object]) -> Receipt:
        """Return when the event is durable; raises `Unrecordable` or `Unwritable`, and then it is not.

        `time` and `uid` are filled in where they are missing.
        """
        future = self.submit(record)
        try:
            return future.result(timeout=PATIENCE)
        except TimeoutError as error:
            future.cancel()
            raise Unwritable("the disk of the audit log does not answer") from error

    def submit(self, record: Mapping[str, object]) -> Future[Receipt]:
        """Queue an event; the future has the receipt once it is durable."""
        prepared = prepare(
            {"time": timestamp(self._around.clock.now()), "uid": self._around.new_uid(), **record}
        )
        try:
            return self._batcher.submit(prepared)
        except BatcherClosed as error:
            raise Closed("the audit log is closed") from error
        except BatcherBusy as error:
            raise Unwritable(f"the audit log is overloaded: {error}") from error

    def record_all(self, records: Sequence[Mapping[str, object]]) -> list[Receipt]:
        """Record several events, sharing fsyncs; raises the error of the first that failed."""
        futures = [self.submit(record) for record in records]
        return [future.result(timeout=PATIENCE) for future in futures]

    def head(self) -> Head:
        """Return the last durable event."""
        return self._durable

    def close(self) -> None:
        """Write what waits, then let go of the files; harmless when repeated."""
        self._batcher.close()
        if self._lock >= 0:
            os.close(self._file)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_batch(self, records: Sequence[dict[str, Value]]) -> Sequence[Receipt | Exception]:
        if self._broken is not None:
            return [Unwritable(f"the audit log has to be opened anew: {self._broken}")] * len(records)
        try:
            receipts = self._append(records)
        except OSError as error:
            self._undo()
            return [_translate(error)] * len(records)
        self._watch_disk()
        return receipts

    def _append(self, records: Sequence[dict[str, Value]]) -> list[Receipt]:
        self._turn_page()
        head, lines, receipts = self._durable, [], []
        for record in records:
            line, head = seal(record, head)
            lines.append(line)
            receipts.append(Receipt(head.seq, head.hash))
        data = b"\n".join(lines) + b"\n"
        _write_all(self._file, data)
        self._sync()
        self._size += len(data)
        self._durable = head
        return receipts

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            # After a failed sync nobody knows what the disk holds, and a second one may lie.
            self._broken = error
            raise

    def _undo(self) -> None:
        """Cut off what a failed write left, so that the next line follows a whole one."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._broken = error

    def _turn_page(self) -> None:
        """Begin a new file when the day is over; a clock set back never goes to an older one."""
        today = self._around.clock.now().astimezone(UTC).date()
        if today > self._day:
            opened, size = _open_day(self._folder, today)
            os.close(self._file)
            self._file, self._size, self._day = opened, size, today

    def _watch_disk(self) -> None:
        used = self._around.disk_use(self._file)
        if used >= PRESSURE and not self._alarmed:
            self._alarmed = True
            self._around.on_pressure(used)
        elif used < RELIEF:
            self._alarmed = False

    def _tell_of_repairs(self, torn: Sequence[Torn]) -> None:
        try:
            for piece in torn:
                self.record(
                    {
                        "event": "audit.repaired",
                        "code": "SP9100W",
                        "file": piece.path.name,
                        "size": piece.size,
                        "sha256": piece.sha256,
                        "reason": "bytes at the end of the log did not continue it and were set aside",
                    }
                )
                piece.settle()
        except BaseException:
            self.close()
            raise


def timestamp(moment: datetime) -> str:
    """Return a time as events carry it, e.g. `2026-03-01T12:00:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _translate(error: OSError) -> AuditError:
    if error.errno in _NO_ROOM:
        return Full("the disk of the audit log is full")
    return Unwritable(f"the audit log can't be written: {error.strerror or error}")


def _take_lock(folder: Path) -> int:
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InUse(f"another process writes the audit log in {folder}") from error
    return descriptor


def _check_expected(head: Head, expected: Head | None) -> None:
    if expected is None:
        return
    if head.seq < expected.seq:
        raise Shortened(found=head.seq, expected=expected.seq, place="the end of the log")
    if head.seq == expected.seq and head.hash != expected.hash:
        raise ChainBroken(
            f"event {head.seq} is not the one that was acknowledged", place="the end of the log"
        )


def _open_day(folder: Path, day: date) -> tuple[int, int]:
    """Return a descriptor at the end of a day's file, and its size; the file's name is durable."""
    path = folder / file_name(day)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        # What a crash left whole but unsynced becomes durable before anything is chained to it.
        os.fsync(descriptor)
        sync_folder(folder)
        return descriptor, os.fstat(descriptor).st_size
    except BaseException:
        os.close(descriptor)
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
