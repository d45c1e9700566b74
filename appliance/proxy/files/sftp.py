"""Watches an SFTP conversation: what was opened, read, written, renamed, removed. No IO.

packet  = length (uint32)  type (byte)  payload          at most 256 KiB, as OpenSSH has it
request = type, id (uint32), …     answered by STATUS, HANDLE, DATA, NAME or ATTRS with the same id
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.files.content import Content
from appliance.proxy.wire import Reader
from appliance.recording.events import FileMoved, FileVerb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROTOCOL = "sftp"
MAX_PACKET = 256 * 1024 + 1024
MAX_PENDING = 4096
"""Requests without an answer; more is no SFTP client."""
MAX_HANDLES = 1024
INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE = 3, 4, 5, 6
SETSTAT, FSETSTAT, OPENDIR = 9, 10, 11
REMOVE, MKDIR, RMDIR, RENAME, SYMLINK = 13, 14, 15, 18, 20
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201
OK, EOF = 0, 1
CREATE, TRUNCATE = 0x08, 0x10
PATH_VERBS = {
    REMOVE: FileVerb.REMOVE,
    MKDIR: FileVerb.MAKE_DIRECTORY,
    RMDIR: FileVerb.REMOVE_DIRECTORY,
    SETSTAT: FileVerb.SET_ATTRIBUTES,
}
PAIR_VERBS = {
    b"posix-rename@openssh.com": FileVerb.RENAME,
    b"hardlink@openssh.com": FileVerb.LINK,
    b"lsetstat@openssh.com": FileVerb.SET_ATTRIBUTES,
}
REQUESTS = frozenset({INIT, *range(OPEN, SYMLINK + 1), EXTENDED})
REPLIES = frozenset({VERSION, STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY})


class NotSftp(Exception):  # noqa: N818 - a finding, handled here
    """What passes is something else."""


@dataclass(slots=True)
class _File:
    path: bytes
    folder: bool = False
    read: Content = field(default_factory=Content)
    written: Content = field(default_factory=Content)
    touched: set[FileVerb] = field(default_factory=set)

    def events(self, *, ok: bool, reason: str) -> Iterator[FileMoved]:
        """Yield what was done with it while it was open."""
        if self.folder:
            yield FileMoved(protocol=PROTOCOL, verb=FileVerb.LIST, path=self.path, ok=ok, reason=reason)
        for verb, content in ((FileVerb.READ, self.read), (FileVerb.WRITE, self.written)):
            if verb in self.touched:
                yield FileMoved(
                    protocol=PROTOCOL,
                    verb=verb,
                    path=self.path,
                    size=content.size,
                    sha256=content.sha256,
                    ok=ok,
                    reason=reason,
                )


@dataclass(slots=True)
class _Asked:
    """A request that waits for its answer."""

    event: FileMoved | None = None
    opened: _File | None = None
    read: tuple[_File, int] | None = None
    closed: bytes | None = None


class _Stream:
    """Cuts one direction into packets."""

    def __init__(self, take: Callable[[int, Reader], None]) -> None:
        self._take = take
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        held = self._held
        held += data
        at = 0
        while len(held) - at >= 4:  # noqa: PLR2004 - the length
            length = int.from_bytes(held[at : at + 4], "big")
            if not 0 < length <= MAX_PACKET:
                raise NotSftp(f"a packet of {length} bytes")
            if len(held) - at < 4 + length:
                break
            self._take(held[at + 4], Reader(bytes(held[at + 5 : at + 4 + length])))
            at += 4 + length
        del held[:at]

    @property
    def rest(self) -> bytes:
        return bytes(self._held)


class SftpWatcher:
    """Feed it both directions; it calls `tell` for each operation that has ended.

    `feed_person` and `feed_node` return the bytes that have to be recorded as they are: none, as long
    as what passes is SFTP; after that, everything.
    """

    def __init__(self, tell: Callable[[FileMoved], None]) -> None:
        self._tell = tell
        self._up = _Stream(self._request)
        self._down = _Stream(self._reply)
        self._pending: dict[int, _Asked] = {}
        self._files: dict[bytes, _File] = {}
        self.strange = ""
        """Why this is no SFTP; empty while it is."""

    def feed_person(self, data: bytes) -> bytes:
        """Take bytes on their way to the node."""
        return self._feed(self._up, data)

    def feed_node(self, data: bytes) -> bytes:
        """Take bytes on their way to the person."""
        return self._feed(self._down, data)

    def _feed(self, stream: _Stream, data: bytes) -> bytes:
        if self.strange:
            return data
        try:
            stream.feed(data)
        except (NotSftp, CertificateInvalid) as error:
            self.strange = str(error)
            self.end("the conversation is no SFTP any more")
            return stream.rest
        return b""

    def end(self, reason: str = "interrupted") -> None:
        """Tell of what was still open."""
        files, self._files = self._files, {}
        for file in files.values():
            for event in file.events(ok=False, reason=reason):
                self._tell(event)

    # Requests

    def _request(self, kind: int, reader: Reader) -> None:
        if kind not in REQUESTS:
            raise NotSftp(f"a request of type {kind}")
        if kind == INIT:
            return
        number = reader.uint32()
        if len(self._pending) >= MAX_PENDING:
            raise NotSftp("too many requests without an answer")
        self._pending[number] = self._asked(kind, reader)

    def _asked(self, kind: int, reader: Reader) -> _Asked:
        if kind == WRITE:
            return self._write(reader)
        if kind == READ:
            return self._read(reader)
        if kind in {OPEN, OPENDIR}:
            return _Asked(opened=_opening(kind, reader))
        if kind == CLOSE:
            return _Asked(closed=reader.string())
        return _Asked(event=self._named(kind, reader))

    def _write(self, reader: Reader) -> _Asked:
        file = self._files.get(reader.string())
        if file is not None:
            file.touched.add(FileVerb.WRITE)
            file.written.add(reader.uint64(), reader.string())
        return _Asked()

    def _read(self, reader: Reader) -> _Asked:
        file = self._files.get(reader.string())
        if file is None:
            return _Asked()
        file.touched.add(FileVerb.READ)
        return _Asked(read=(file, reader.uint64()))

    def _named(self, kind: int, reader: Reader) -> FileMoved | None:
        if kind in PATH_VERBS:
            return _event(PATH_VERBS[kind], reader.string())
        if kind == FSETSTAT:
            file = self._files.get(reader.string())
            return _event(FileVerb.SET_ATTRIBUTES, file.path) if file is not None else None
        if kind in {RENAME, SYMLINK}:
            verb = FileVerb.RENAME if kind == RENAME else FileVerb.LINK
            return _event(verb, reader.string(), reader.string())
        if kind == EXTENDED and (pair := PAIR_VERBS.get(reader.string())) is not None:
            path = reader.string()
            return _event(pair, path, None if pair is FileVerb.SET_ATTRIBUTES else reader.string())
        return None

    # Replies

    def _reply(self, kind: int, reader: Reader) -> None:
        if kind not in REPLIES:
            raise NotSftp(f"a reply of type {kind}")
        if kind == VERSION:
            return
        number = reader.uint32()
        asked = self._pending.pop(number, None)
        if asked is None:
            raise NotSftp("a reply that nobody asked for")
        if kind == HANDLE and asked.opened is not None:
            self._opened(reader.string(), asked.opened)
        elif kind == DATA and asked.read is not None:
            file, offset = asked.read
            file.read.add(offset, reader.string())
        elif kind == STATUS:
            self._status(asked, reader)

    def _opened(self, handle: bytes, file: _File) -> None:
        if len(self._files) >= MAX_HANDLES:
            raise NotSftp("too many open files")
        self._files[handle] = file

    def _status(self, asked: _Asked, reader: Reader) -> None:
        code = reader.uint32()
        ok = code in {OK, EOF}
        reason = "" if ok else reader.string().decode("utf-8", "backslashreplace")[:256] or f"status {code}"
        if asked.closed is not None:
            file = self._files.pop(asked.closed, None)
            for event in file.events(ok=ok, reason=reason) if file is not None else ():
                self._tell(event)
        elif asked.opened is not None and not ok:
            file = asked.opened
            verb = FileVerb.WRITE if file.touched else FileVerb.READ
            verb = FileVerb.LIST if file.folder else verb
            self._tell(_event(verb, file.path, ok=False, reason=reason))
        elif asked.event is not None:
            event = asked.event
            self._tell(_event(event.verb, event.path, event.target, ok=ok, reason=reason))


def _opening(kind: int, reader: Reader) -> _File:
    file = _File(reader.string(), folder=kind == OPENDIR)
    if not file.folder and reader.uint32() & (CREATE | TRUNCATE):
        file.touched.add(FileVerb.WRITE)  # an empty file is written by opening it
    return file


def _event(
    verb: FileVerb, path: bytes, target: bytes | None = None, *, ok: bool = True, reason: str = ""
) -> FileMoved:
    return FileMoved(protocol=PROTOCOL, verb=verb, path=path, target=target, ok=ok, reason=reason)
