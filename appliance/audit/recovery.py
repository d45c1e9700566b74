"""The end of the log after a crash.

What was acknowledged is whole, because it was synced. What was being written may be torn: bytes
after the last whole event are copied to `<file>.torn-<offset>.pending`, then cut off; the log
records an event about them first thing and drops the `.pending`. Anything else that is wrong near
the end is not a crash but a change, and the log refuses to open until a person has looked.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from appliance.audit.chain import GENESIS, Head, leaf_hash, link_of
from appliance.audit.errors import ChainBroken
from appliance.audit.files import FILE_MODE, day_files, lines_of
from appliance.audit.line import MAX_LINE

TAIL = 16 * 1024 * 1024
"""Bytes at the end of the last file that are checked; more than any batch can be."""
PENDING = ".pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Torn:
    """Bytes that were set aside and about which no event has been recorded yet."""

    path: Path
    size: int
    sha256: str

    def settle(self) -> None:
        """Drop the mark, once the event about it is durable."""
        self.path.rename(self.path.with_name(self.path.name.removesuffix(PENDING)))


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where the log ends: its head, and the newest file if there is one."""

    head: Head
    file: Path | None


def recover(folder: Path, *, accept_changes: bool = False) -> End:
    """Set torn bytes aside and return where the log ends; raises `ChainBroken`.

    With `accept_changes`, which a person has to ask for, everything from the first wrong line of
    the last file on is set aside as if it were torn.
    """
    files = day_files(folder)
    if not files:
        return End(head=GENESIS, file=None)
    newest = files[-1]
    head, end = _walk(newest, _last_head(files[:-1]), accept_changes=accept_changes)
    if end < newest.stat().st_size:
        _set_aside(newest, end)
    return End(head=head, file=newest)


def pending(folder: Path) -> list[Torn]:
    """Return what was set aside and not yet recorded."""
    found = sorted(folder.glob(f"*.torn-*{PENDING}"))
    return [
        Torn(path=path, size=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for path in found
    ]


def _last_head(files: list[Path]) -> Head:
    """Return the head at the end of files that are no longer written to."""
    for path in reversed(files):
        if path.stat().st_size:
            return _walk(path, None, accept_changes=False)[0]
    return GENESIS


def _walk(path: Path, before: Head | None, *, accept_changes: bool) -> tuple[Head, int]:
    """Follow the chain over the tail of a file; return its last head and where that line ends.

    `before` is the head that the first line has to follow; None takes the first line as it is.
    """
    start = _tail_start(path)
    head = before if start == 0 else None
    known, end = before or GENESIS, start
    for line in lines_of(path, start):
        link = link_of(line.data)
        follows = link is not None and (head is None or (link.seq == head.seq + 1 and link.prev == head.hash))
        if link is None or not follows:
            if not accept_changes:
                _refuse_unless_torn(path, line.offset, readable=link is not None)
            break
        head = known = Head(link.seq, leaf_hash(line.data).hex())
        end = line.after.offset
    return known, end


def _tail_start(path: Path) -> int:
    """Return the offset of a line near the end of the file, or 0."""
    size = path.stat().st_size
    if size <= TAIL:
        return 0
    with path.open("rb") as file:
        file.seek(size - TAIL)
        return file.tell() + len(file.readline(2 * MAX_LINE))


def _refuse_unless_torn(path: Path, offset: int, *, readable: bool) -> None:
    """Raise unless nothing but rubbish follows, as a crash in the middle of a write leaves it."""
    if readable or any(link_of(line.data) for line in lines_of(path, offset)):
        raise ChainBroken(
            "the events from here on do not continue those before; "
            "run the verifier, and have an administrator set the rest aside",
            place=f"{path.name} at byte {offset}",
        )


def _set_aside(path: Path, end: int) -> None:
    """Copy everything after `end` into a file of its own, durably, then cut it off."""
    aside = path.with_name(f"{path.name}.torn-{end}{PENDING}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    with os.fdopen(descriptor, "wb") as copy, path.open("rb") as log:
        log.seek(end)
        while piece := log.read(MAX_LINE):
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    sync_folder(path.parent)
    with path.open("r+b") as log:
        log.truncate(end)
        os.fsync(log.fileno())


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
