"""The bytes of one file on their way."""

from __future__ import annotations

import hashlib


class Content:
    """Counts and hashes. The hash holds only if every byte came once, in order, from the beginning."""

    def __init__(self) -> None:
        self.size = 0
        self._next = 0
        self._hash = hashlib.sha256()
        self._whole = True

    def add(self, offset: int, data: bytes | memoryview) -> None:
        """Take a piece of the file."""
        self.size += len(data)
        if offset != self._next:
            self._whole = False
        self._next = offset + len(data)
        if self._whole:
            self._hash.update(data)

    @property
    def sha256(self) -> str | None:
        """The hash in hex; None where parts were skipped or came twice."""
        return self._hash.hexdigest() if self._whole else None
