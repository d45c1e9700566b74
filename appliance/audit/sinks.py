"""Where copies of the events go (mission row L3): the interface, and the simplest sink, a file.

A sink takes a batch of lines and returns when it has them, or raises `SinkUnavailable`; then the
same batch comes again. So a receiver may see an event twice and tells it by `uid` or `seq`. Sinks
have no queue: what waits, waits in the day files (see `forward`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from appliance.audit.errors import SinkUnavailable
from appliance.audit.files import FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Sink(ABC):
    """Takes copies of events; one thread at a time."""

    @abstractmethod
    def send(self, lines: Sequence[bytes]) -> None:
        """Hand over lines of the log, without line feeds, all of them or raise `SinkUnavailable`."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what the sink holds; the next batch takes it again."""


class FileSink(Sink):
    """Appends to a file, durably; the file can lie on another machine's disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, lines: Sequence[bytes]) -> None:
        """Append the lines and sync."""
        try:
            self._append(b"".join(line + b"\n" for line in lines))
        except OSError as error:
            raise SinkUnavailable(f"{self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Nothing is held between batches."""

    def _append(self, data: bytes) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, FILE_MODE)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # a line torn by a crash ends here; it comes again whole
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
