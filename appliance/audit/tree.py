"""The complete nodes of the Merkle tree, a file a level, only ever appended to.

A copy of what the log says, so that a proof reads a few hashes instead of all lines: 64 bytes an
event. It is trusted only as far as a signed checkpoint reaches; what lies beyond is cut off when the
tree is opened and read from the log again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.audit import merkle
from appliance.audit.errors import ChainBroken
from appliance.audit.merkle import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEVELS = 64


class HashTree:
    """The nodes in the files of `folder`; one thread at a time."""

    def __init__(self, folder: Path, *, size: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self.size = min(size, self._count(0))
        if any(self._count(level) < self.size >> level for level in range(LEVELS)):
            self.size = 0
        for level in range(LEVELS):
            self._cut(level)

    def node(self, level: int, index: int) -> bytes:
        """Return a complete node; raises `ChainBroken` if the file does not have it."""
        found = b""
        if self._path(level).exists():
            with self._path(level).open("rb") as file:
                file.seek(index * HASH_SIZE)
                found = file.read(HASH_SIZE)
        if len(found) != HASH_SIZE:
            raise ChainBroken(f"node {index} is missing", place=str(self._path(level)))
        return found

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves, or over all."""
        return merkle.root(self.size if size is None else size, self.node)

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes and every inner node that they complete."""
        fresh, first, level = list(leaves), self.size, 0
        while fresh:
            with self._path(level).open("ab") as file:
                file.write(b"".join(fresh))
            if first & 1:
                fresh.insert(0, self.node(level, first - 1))
            pairs = zip(fresh[::2], fresh[1::2], strict=False)
            fresh, first, level = [merkle.node_hash(*pair) for pair in pairs], first >> 1, level + 1
        self.size += len(leaves)

    def sync(self) -> None:
        """Make everything that was appended durable."""
        for level in range(self.size.bit_length()):
            descriptor = os.open(self._path(level), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _path(self, level: int) -> Path:
        return self._folder / f"level-{level:02}"

    def _count(self, level: int) -> int:
        path = self._path(level)
        return path.stat().st_size // HASH_SIZE if path.exists() else 0

    def _cut(self, level: int) -> None:
        path = self._path(level)
        if path.exists():
            os.truncate(path, (self.size >> level) * HASH_SIZE)
