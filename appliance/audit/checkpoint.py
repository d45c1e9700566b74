"""Checkpoints: the size and root of the tree, signed, and copied to where the box can't reach back.

The text is that of C2SP tlog-checkpoint: origin, size, root. Each signed checkpoint is one JSON line
`{"note": "…", "size": N}` in `checkpoints.jsonl` beside the day files; the same lines go to the
anchors. What the signer has signed once binds: before a new one is asked for, the log is checked to
continue the last.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from appliance.audit import merkle
from appliance.audit.chain import GENESIS, ChainVerifier, Head, Place, leaf_hash
from appliance.audit.errors import AuditError, ChainBroken, NoteInvalid, Shortened
from appliance.audit.files import Line, Position, read_lines
from appliance.audit.merkle import HASH_SIZE
from appliance.audit.note import NoteKey, NoteSigner, open_note
from appliance.audit.tree import HashTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)
FILE = "checkpoints.jsonl"
BATCH = 4096
INTERVAL = 30.0
"""Seconds between checkpoints; an event is under a signature within a minute."""


class Anchor(Protocol):
    """Takes copies of checkpoints, best where this box can only append."""

    def send(self, lines: Sequence[bytes]) -> None:
        """Keep the lines for good, or raise `SinkUnavailable`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a tree: `size` leaves under the 32 byte `root`, in the log called `origin`."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return the checkpoint that a note's text writes; raises `NoteInvalid`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):  # noqa: PLR2004 - three lines and the end
            raise NoteInvalid("a checkpoint has three lines: origin, size, root")
        origin, size, encoded = lines[:3]
        if not (size.isascii() and size.isdigit()) or (size[0] == "0" and size != "0"):
            raise NoteInvalid("the second line of a checkpoint is the size of the tree")
        return cls(origin=origin, size=_size(size), root=_root(encoded))


def _size(text: str) -> int:
    if len(text) > len(str(2**63)):
        raise NoteInvalid("no tree is that large")
    return int(text)


def _root(text: str) -> bytes:
    try:
        root = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NoteInvalid("the third line of a checkpoint is base64 text") from error
    if len(root) != HASH_SIZE:
        raise NoteInvalid(f"the root of a tree has {HASH_SIZE} bytes")
    return root


def open_checkpoint(line: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """Return the checkpoint of a line of `checkpoints.jsonl`, its signature checked."""
    try:
        match json.loads(line):
            case {"note": str(note), "size": int(size)}:
                checkpoint = Checkpoint.parse(open_note(note, keys))
            case _:
                raise NoteInvalid("not a line with a note and a size")
    except ValueError as error:
        raise NoteInvalid("not a line of JSON") from error
    if checkpoint.size != size:
        raise NoteInvalid("the size beside the note is not the signed one")
    return checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That an event is in the log: `path` leads from its hash to the root of `checkpoint` (RFC 6962)."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: str
    """The signed note."""


class Checkpointer:
    """Signs how far the log has come. Its methods may be called from any thread.

    `durable` is `AuditLog.head`: what lies beyond may yet be undone and is never signed. `tree` is a
    folder for the hashes, which may be lost. `former_keys` are audit keys from before a rotation.
    Call `advance` once after opening the log: it finds a log that was cut or replaced meanwhile.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tree: Path,
        key: NoteKey,
        signer: NoteSigner,
        durable: Callable[[], Head],
        anchors: Sequence[Anchor] = (),
        former_keys: Sequence[NoteKey] = (),
    ) -> None:
        self._folder = folder
        self._key = key
        self._signer = signer
        self._durable = durable
        self._anchors = anchors
        self._lock = threading.Lock()
        self._last, self._note = _last_checkpoint(folder / FILE, key, (key, *former_keys))
        self._hashes = tree
        self._tree = HashTree(tree, size=self._last.size)
        self._position: Position | None = None
        self.failure: Exception | None = None
        """Why `run` could not sign the last time; None if it could."""

    @property
    def last(self) -> Checkpoint:
        """The last signed checkpoint; size 0 if there is none."""
        return self._last

    def advance(self) -> Checkpoint | None:
        """Sign what has become durable since; None if nothing has.

        Raises `ChainBroken` or `Shortened` if the log does not continue what was signed before: then
        nothing is signed, and somebody has to look. Errors of the signer go through.
        """
        with self._lock:
            head = self._durable()
            if head.seq < self._last.size:
                raise Shortened(found=head.seq, expected=self._last.size, place=str(self._folder))
            if head.seq == self._last.size:
                return None
            self._check_tree()
            self._take_in(head)
            return self._sign()

    def prove(self, seq: int) -> Proof:
        """Return the proof that event `seq` is under the last checkpoint; raises `ValueError`."""
        with self._lock:
            path = merkle.inclusion_proof(seq - 1, self._last.size, self._tree.node)
            leaf = self._tree.node(0, seq - 1)
            return Proof(index=seq - 1, leaf=leaf, path=tuple(path), checkpoint=self._note)

    def prove_growth(self, old: int) -> tuple[bytes, ...]:
        """Return the proof that the last checkpoint continues the one of size `old`."""
        with self._lock:
            return tuple(merkle.consistency_proof(old, self._last.size, self._tree.node))

    def run(self, stop: threading.Event, *, interval: float = INTERVAL) -> None:
        """Advance until told to stop, and once more then; failures are logged and tried again."""
        while True:
            stopping = stop.wait(interval)
            try:
                self.advance()
                self.failure = None
            except Exception as error:  # the border of this thread: it has to live on
                log.exception("no checkpoint of the audit log could be signed")
                self.failure = error
            if stopping:
                return

    def _check_tree(self) -> None:
        """Make sure that the tree is the one that was signed, from the log itself if need be."""
        if self._tree.size == self._last.size and self._tree.root() == self._last.root:
            return
        self._tree = HashTree(self._hashes, size=0)
        self._position = None
        self._append(Head(self._last.size, ""), GENESIS)
        if self._tree.size != self._last.size or self._tree.root() != self._last.root:
            raise ChainBroken(
                f"the log is not the one that was signed at event {self._last.size}", place=str(self._folder)
            )

    def _take_in(self, head: Head) -> None:
        size = self._tree.size
        start = Head(size, self._tree.node(0, size - 1).hex()) if size else GENESIS
        self._append(head, start)
        if self._tree.size != head.seq or self._tree.node(0, head.seq - 1).hex() != head.hash:
            raise ChainBroken("the log does not end where its writer says", place=str(self._folder))

    def _append(self, until: Head, start: Head) -> None:
        """Read lines after `start` up to `until` into the tree; raises `ChainBroken` at the first fault."""
        verifier = ChainVerifier(start=start)
        lines = self._lines(until.seq - start.seq, start.seq)
        while batch := list(islice(lines, BATCH)):
            for line in batch:
                for fault in verifier.feed(Place(file=line.file, line=line.number), line.data):
                    raise ChainBroken(fault.detail, place=f"{line.file} at byte {line.offset}")
            self._tree.append([leaf_hash(line.data) for line in batch])
            self._position = batch[-1].after
        for fault in verifier.finish():
            raise ChainBroken(fault.detail, place=str(fault.place.file))

    def _lines(self, count: int, known: int) -> Iterator[Line]:
        """Return the next `count` lines, skipping `known` ones if the place is not remembered."""
        lines = read_lines(self._folder, self._position)
        return islice(lines, 0 if self._position else known, (0 if self._position else known) + count)

    def _sign(self) -> Checkpoint:
        checkpoint = Checkpoint(origin=self._key.name, size=self._tree.size, root=self._tree.root())
        note = self._signer.sign_note(checkpoint.text)
        if open_note(note, [self._key]) != checkpoint.text:
            raise NoteInvalid("the signer has signed another text")
        self._tree.sync()
        line = json.dumps({"note": note, "size": checkpoint.size}, sort_keys=True).encode()
        _append_line(self._folder / FILE, line)
        self._last, self._note = checkpoint, note
        for anchor in self._anchors:
            _send(anchor, line)
        return checkpoint


def _send(anchor: Anchor, line: bytes) -> None:
    """Send a copy; an anchor that is down gets the next checkpoint, which covers this one too."""
    try:
        anchor.send([line])
    except AuditError:
        log.exception("a copy of a checkpoint was not taken")


def _append_line(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o640)
    try:
        os.write(descriptor, line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_checkpoint(path: Path, key: NoteKey, known: Sequence[NoteKey]) -> tuple[Checkpoint, str]:
    """Return the last checkpoint with its note; a torn last line, never acknowledged, is cut off."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    if not whole:
        return Checkpoint(origin=key.name, size=0, root=merkle.EMPTY_ROOT), ""
    line = whole.splitlines()[-1]
    return open_checkpoint(line, known), str(json.loads(line)["note"])
