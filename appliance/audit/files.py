"""The day files: their names, and reading their lines forward without loading them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from appliance.audit.line import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_FILE = re.compile(r"\A(\d{4}-\d{2}-\d{2})\.00:00:00\.log\Z")
FILE_MODE = 0o640
FOLDER_MODE = 0o750


def file_name(day: date) -> str:
    """Return the name of a day's file, e.g. `2017-01-23.00:00:00.log`."""
    return f"{day.isoformat()}.00:00:00.log"


def day_of(name: str) -> date | None:
    """Return the day a file is for, or None if it is no day file."""
    found = DAY_FILE.match(name)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def day_files(folder: Path) -> list[Path]:
    """Return the day files, oldest first."""
    return sorted(path for path in folder.iterdir() if day_of(path.name) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where reading goes on: a file's name and a byte offset in it."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A complete line, without its line feed; `number` counts from where reading of the file began."""

    file: str
    offset: int
    number: int
    data: bytes

    @property
    def after(self) -> Position:
        """Where the next line begins."""
        return Position(file=self.file, offset=self.offset + len(self.data) + 1)


def read_lines(folder: Path, start: Position | None = None) -> Iterator[Line]:
    """Yield the complete lines of all files from a position on; a torn end is not a line."""
    for path in day_files(folder):
        if start is None or path.name >= start.file:
            offset = start.offset if start and path.name == start.file else 0
            yield from lines_of(path, offset)


def lines_of(path: Path, offset: int = 0) -> Iterator[Line]:
    """Yield the complete lines of one file; one longer than any event comes in pieces."""
    with path.open("rb") as file:
        file.seek(offset)
        number = 0
        while data := file.readline(2 * MAX_LINE):
            number += 1
            if not data.endswith(b"\n") and len(data) < 2 * MAX_LINE:
                return
            yield Line(file=path.name, offset=offset, number=number, data=data.removesuffix(b"\n"))
            offset += len(data)
