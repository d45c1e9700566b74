"""Where blocks go. A sink is called on writer threads, with the blocks of one recording in order.

`FileSink` is the spool of a proxy: a folder (0700) with one file (0600) a recording. The same bytes
at the same offsets are what the auth service's `RecordingStore.append` takes, so uploading is
reading the spool with `chunks` from wherever the other side stopped.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from appliance.recording.errors import RecorderFailed, UnknownRecording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

SUFFIX = ".rec"
CHUNK = 256 * 1024
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class BlockSink(Protocol):
    """A place for the bytes of recordings. Every method may block and raises `OSError`."""

    def create(self, session_id: UUID, data: bytes) -> None:
        """Make the recording with its first bytes, durably; raises `FileExistsError` if there is one."""

    def append(self, session_id: UUID, offset: int, data: bytes) -> None:
        """Write at `offset`, where the last piece that was taken ended: all of it, or raise."""

    def sync(self, session_id: UUID) -> None:
        """Return when all that was appended would survive a power cut."""

    def close(self, session_id: UUID) -> None:
        """Release what is held for that recording."""


def private_folder(folder: Path) -> Path:
    """Make or check a folder that is ours alone (0700); raises `RecorderFailed`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise RecorderFailed(
            f"the recordings folder {folder} must be a directory of this user with mode 0700"
        )
    return folder


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_at(fd: int, offset: int, data: bytes) -> None:
    """Write all bytes at an offset; where that fails, what was written of them is cut off again."""
    rest, at = memoryview(data), offset
    try:
        while rest:
            count = os.pwrite(fd, rest, at)
            rest, at = rest[count:], at + count
    except OSError:
        with suppress(OSError):  # the first error is the one to tell; recovery copes with a torn tail
            os.ftruncate(fd, offset)
        raise


class FileSink:
    """A spool folder; one open file a recording."""

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)
        self._open: dict[UUID, int] = {}

    def path(self, session_id: UUID) -> Path:
        """Return the file of a recording; the name is made from the parsed id, never from text."""
        return self.folder / f"{session_id}{SUFFIX}"

    def create(self, session_id: UUID, data: bytes) -> None:
        """Make the file, write, and sync the file and its folder."""
        fd = os.open(self.path(session_id), _CREATE, 0o600)
        try:
            write_at(fd, 0, data)
            os.fsync(fd)
            sync_folder(self.folder)
        except OSError:
            os.close(fd)
            self.path(session_id).unlink(missing_ok=True)
            raise
        self._open[session_id] = fd

    def append(self, session_id: UUID, offset: int, data: bytes) -> None:
        """Write one block."""
        write_at(self._open[session_id], offset, data)

    def sync(self, session_id: UUID) -> None:
        """Sync the data of the file."""
        os.fdatasync(self._open[session_id])

    def close(self, session_id: UUID) -> None:
        """Close the file; closing twice does nothing."""
        if (fd := self._open.pop(session_id, None)) is not None:
            os.close(fd)

    def chunks(self, session_id: UUID, offset: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, up to 256 KiB) of what is written so far, for an upload that goes on there."""
        try:
            fd = os.open(self.path(session_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise UnknownRecording("there is no such recording in the spool") from error
        try:
            while data := os.pread(fd, CHUNK, offset):
                yield offset, data
                offset += len(data)
        finally:
            os.close(fd)

    def forget(self, session_id: UUID) -> None:
        """Delete the spool file, once the other side has confirmed all of it."""
        self.path(session_id).unlink(missing_ok=True)
        sync_folder(self.folder)
