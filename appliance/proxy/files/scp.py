r"""Watches a command for the scp protocol, in either direction. No IO.

    sender    C<mode> <size> <name>\\n   contents, size bytes   \\0
              D<mode> 0 <name>\\n  …  E\\n      T<mtime> 0 <atime> 0\\n
    receiver  \\0 after each, or \\1<text>\\n, \\2<text>\\n

The receiver begins with \\0. Whatever does not keep to this ends the watching; nothing is ever taken
out of the recording because of it, so to pretend gains nobody anything (threat R01).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from appliance.proxy.files.content import Content
from appliance.recording.events import FileMoved, FileVerb

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOL = "scp"
MAX_LINE = 4096
MAX_DEPTH = 256
_FILE = re.compile(rb"C[0-7]{4} ([0-9]{1,19}) ([^/\0\n]+)", re.ASCII)
_FOLDER = re.compile(rb"D[0-7]{4} 0 ([^/\0\n]+)", re.ASCII)
_TIMES = re.compile(rb"T[0-9]+ [0-9]+ [0-9]+ [0-9]+", re.ASCII)


class _Sender:
    """The direction that files travel in."""

    def __init__(self, tell: Callable[[bytes, Content, bool], None]) -> None:
        self._tell = tell
        self._line = b""
        self._name: bytes | None = None
        self._left = 0
        self._content = Content()
        self._folders: list[bytes] = []

    def feed(self, data: bytes) -> bool:
        """Take bytes; return False where they are no scp."""
        view = memoryview(data)
        while view:
            if self._name is not None:
                view = self._contents(view)
            elif (rest := self._control(view)) is None:
                return False
            else:
                view = rest
        return True

    def _contents(self, view: memoryview) -> memoryview:
        if not self._left:  # one byte: whether the sender read it all
            self._end(whole=view[0] == 0)
            return view[1:]
        piece = view[: self._left]
        self._content.add(self._content.size, piece)
        self._left -= len(piece)
        return view[len(piece) :]

    def _control(self, view: memoryview) -> memoryview | None:
        line, found, _ = bytes(view[:MAX_LINE]).partition(b"\n")
        self._line += line
        if len(self._line) > MAX_LINE:
            return None
        if not found:
            return view[len(line) :]
        complete, self._line = self._line, b""
        return view[len(line) + 1 :] if self._command(complete) else None

    def _command(self, line: bytes) -> bool:
        if match := _FILE.fullmatch(line):
            self._name, self._left, self._content = match[2], int(match[1]), Content()
            return True
        if match := _FOLDER.fullmatch(line):
            self._folders.append(match[1])
            return len(self._folders) <= MAX_DEPTH
        if line == b"E":
            return bool(self._folders) and bool(self._folders.pop())
        return _TIMES.fullmatch(line) is not None or line[:1] in {b"\1", b"\2"}

    def _end(self, *, whole: bool) -> None:
        self._tell(b"/".join([*self._folders, self._name or b""]), self._content, whole)
        self._name = None

    def interrupted(self) -> None:
        """Tell of a file that was still on its way."""
        if self._name is not None:
            self._end(whole=False)


class ScpWatcher:
    """Feed it both directions; it calls `tell` for each file that has passed."""

    def __init__(self, tell: Callable[[FileMoved], None]) -> None:
        self._tell = tell
        self._verb: FileVerb | None = None
        self._sender = _Sender(self._passed)
        self.over = False
        """Whether this is no scp, or none any more."""

    def feed_person(self, data: bytes) -> None:
        """Take bytes on their way to the node."""
        self._feed(data, FileVerb.WRITE)

    def feed_node(self, data: bytes) -> None:
        """Take bytes on their way to the person."""
        self._feed(data, FileVerb.READ)

    def _feed(self, data: bytes, verb: FileVerb) -> None:
        """`verb` is what it means for the node if this is the direction that files travel in."""
        if self.over or not data:
            return
        if self._verb is None:
            # Who speaks first is the receiver, and says \0
            self._verb = FileVerb.WRITE if verb is FileVerb.READ else FileVerb.READ
            self.over = data[:1] != b"\0"
        elif verb is self._verb and not self._sender.feed(data):
            self.end()

    def _passed(self, path: bytes, content: Content, whole: bool) -> None:  # noqa: FBT001
        self._tell(
            FileMoved(
                protocol=PROTOCOL,
                verb=self._verb or FileVerb.READ,
                path=path,
                size=content.size,
                sha256=content.sha256,
                ok=whole,
                reason="" if whole else "interrupted",
            )
        )

    def end(self) -> None:
        """Watch no more."""
        if not self.over:
            self.over = True
            self._sender.interrupted()
