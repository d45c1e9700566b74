"""The ledger: every signature, written down durably before it is made.

A file of JSON lines. A line's last field is its `hash`: SHA-256 over the hash of the line before and
the line without that field. So a changed, removed, added or reordered line is found, and a cut
tail is found by comparing with a head that was kept elsewhere (`Head`, anchored in the audit log).

Kinds of lines: `open` (the signer started; names the epoch of its serial numbers), `key` (a key was
made or first seen; its public half, served while sealed), `sign`, `checkpoint`, `void` (the entry it
names came to nothing: no signature left the signer), `seal`, `unseal`, `recovered`.

After a power cut the last line may be torn. It was then never acknowledged, so no signature
belongs to it; it is cut off and the `recovered` line says what it was. Any other damage stops the start.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hsm.errors import StoreDamaged
from hsm.signer.protocol import Code, Head, SignerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

VERSION = 1
_EPOCH_BITS, _COUNTER_BITS = 39, 24
_LINE = re.compile(rb'(\{"n":([1-9][0-9]*),"kind":"([a-z]+)".*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that is in the ledger: its number (from 1), kind, fields, and hash (hex)."""

    number: int
    kind: str
    fields: Mapping[str, Any]
    hash: str


def genesis(cluster: str) -> str:
    """Return the hash before the first line."""
    return hashlib.sha256(f"sallyport signer ledger {VERSION} {cluster}\n".encode()).hexdigest()


_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one for each call


def _line(number: int, previous: str, kind: str, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    body = _encode({"n": number, "kind": kind, **fields}).encode()
    digest = _hash(previous, body)
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', digest


def _hash(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + b"\n" + body).hexdigest()


class Ledger:
    """The open ledger of one signer; one process at a time holds it, by a lock on the file.

    `append` may be called from one thread only.
    """

    def __init__(
        self, *, path: Path, file: int, head: Head, size: int, clock: Callable[[], float], serials: Serials
    ) -> None:
        self.path = path
        self.head = head
        self.serials = serials
        self._file = file
        self._size = size
        self._clock = clock
        self._broken = False
        self.pace = 0.0
        """Seconds that a sync takes lately; a smoothed figure."""

    @classmethod
    def open(
        cls,
        path: Path,
        cluster: str,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
        seen: Callable[[Entry], None] = lambda _: None,
    ) -> Ledger:
        """Open or begin the ledger, verify all of it, and write that it was opened.

        Every entry but the `sign` ones is handed to `seen`. Raises `StoreDamaged` naming the first
        line that is wrong, `SignerError` LEDGER where it cannot be written or another process has it.
        """
        file = _open_locked(path)
        epochs = set[int]()
        head, size, torn = Head(entries=0, hash=genesis(cluster)), 0, b""
        for item in _walk(path, head):
            match item:
                case Difference():
                    os.close(file)
                    raise StoreDamaged(f"{path}: {item}")
                case _Torn(rest=rest):
                    torn = rest
                case _Good(entry=entry, end=end):
                    head, size = Head(entries=entry.number, hash=entry.hash), end
                    if entry.kind == "open":
                        epochs.add(int(entry.fields["epoch"]))
                    if entry.kind != "sign":
                        seen(entry)
        serials = Serials.fresh(epochs, random)
        ledger = cls(path=path, file=file, head=head, size=size, clock=clock, serials=serials)
        ledger._begin(torn)  # the constructor's second half
        return ledger

    def _begin(self, torn: bytes) -> None:
        opened = ("open", {"version": VERSION, "epoch": str(self.serials.epoch)})
        recovered = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        if torn:
            os.ftruncate(self._file, self._size)
        self.append([("recovered", recovered), opened] if torn else [opened])

    def append(self, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> list[int]:
        """Write all of them with one sync and return their numbers; raises `SignerError` LEDGER.

        When that returns, they are on the disk. When it raises, none of them is.
        """
        if self._broken:
            raise SignerError(Code.LEDGER, "the ledger could not be written before; restart the signer")
        number, digest, lines, now = self.head.entries, self.head.hash, list[bytes](), int(self._clock())
        for kind, fields in entries:
            number += 1
            line, digest = _line(number, digest, kind, {"at": now, **fields})
            lines.append(line)
        self._write(b"".join(lines))
        first, self.head = self.head.entries + 1, Head(entries=number, hash=digest)
        return list(range(first, number + 1))

    def _write(self, data: bytes) -> None:
        try:
            begin = time.monotonic()
            _write_all(self._file, data, self._size)
            os.fdatasync(self._file)
            self.pace += (time.monotonic() - begin - self.pace) / 8
        except OSError as error:
            self._take_back()
            raise SignerError(Code.LEDGER, f"the ledger cannot be written: {error.strerror}") from error
        self._size += len(data)

    def _take_back(self) -> None:
        """Cut off what was half written; where even that fails, nothing is signed until a restart."""
        try:
            os.ftruncate(self._file, self._size)
            os.fdatasync(self._file)
        except OSError:
            self._broken = True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


@dataclass(slots=True)
class Serials:
    """Serial numbers: 39 random bits for this opening of the ledger, then a counter of 24 bits.

    An older copy of the ledger brought back from a backup opens with a new epoch, so that it does not give
    a number a second time. 63 bits fit every database's integer.
    """

    epoch: int
    counter: int = 0

    @classmethod
    def fresh(cls, used: set[int], random: Callable[[int], bytes]) -> Serials:
        """Return serials with an epoch that the ledger has not seen."""
        while True:
            epoch = int.from_bytes(random(5), "big") & ((1 << _EPOCH_BITS) - 1)
            if epoch and epoch not in used:
                return cls(epoch)

    def next(self) -> int:
        """Return the next number; raises `SignerError` LEDGER when the epoch is used up."""
        self.counter += 1
        if self.counter >> _COUNTER_BITS:
            raise SignerError(Code.LEDGER, "this epoch's serial numbers are used up; restart the signer")
        return self.epoch << _COUNTER_BITS | self.counter


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _open_locked(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SignerError(Code.LEDGER, f"the ledger cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise SignerError(Code.LEDGER, "another signer has the ledger open") from error
    return file


# -- reading


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it should be, and where: an entry's number, or a serial number."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True, slots=True)
class _Good:
    entry: Entry
    end: int


@dataclass(frozen=True, slots=True)
class _Torn:
    rest: bytes


def _walk(path: Path, head: Head, *, signs: bool = False) -> Iterator[_Good | _Torn | Difference]:
    """Read line by line; the fields of `sign` entries, which are nearly all, only where `signs` asks.

    After a difference the walk goes on from that line's own hash, so that one changed line is one
    difference and not a million.
    """
    number, digest, end = head.entries, head.hash, 0
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                yield _Torn(raw)
                return
            end += len(raw)
            match = _LINE.fullmatch(raw[:-1])
            if match is None:
                yield Difference(f"entry {number + 1}", "not a line of a ledger")
                number += 1
                continue
            found, claimed = int(match[2]), match[4].decode()
            if found != number + 1:
                yield Difference(f"entry {number + 1}", f"the line found here is number {found}")
            elif _hash(digest, match[1] + b"}") != claimed:
                yield Difference(f"entry {found}", "changed, or not made after the line before it")
            else:
                wanted = signs or match[3] != b"sign"
                yield _Good(_entry(match, claimed) if wanted else Entry(found, "sign", {}, claimed), end)
            number, digest = found, claimed


def _entry(match: re.Match[bytes], digest: str) -> Entry:
    fields = json.loads(match[1] + b"}")
    return Entry(fields.pop("n"), fields.pop("kind"), fields, digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification found: the head that was reached, and every difference."""

    head: Head
    differences: tuple[Difference, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.differences


def verify_ledger(path: Path, cluster: str, anchors: Iterable[Head] = ()) -> Verdict:
    """Check the whole chain, and that it still contains the heads that were kept elsewhere."""
    wanted = {anchor.entries: anchor.hash for anchor in anchors if anchor.entries}
    head, differences = Head(entries=0, hash=genesis(cluster)), list[Difference]()
    for item in _walk(path, head):
        match item:
            case Difference():
                differences.append(item)
            case _Torn(rest=rest):
                differences.append(Difference("end", f"a torn line of {len(rest)} bytes"))
            case _Good(entry=entry):
                head = Head(entries=entry.number, hash=entry.hash)
                if wanted.pop(entry.number, entry.hash) != entry.hash:
                    differences.append(Difference(f"entry {entry.number}", "not the one that was anchored"))
    differences += [Difference(f"entry {number}", "anchored elsewhere, missing here") for number in wanted]
    return Verdict(head=head, differences=tuple(differences))


def entries(path: Path, cluster: str) -> Iterator[Entry]:
    """Read the entries that are sound, in order."""
    for item in _walk(path, Head(entries=0, hash=genesis(cluster)), signs=True):
        if isinstance(item, _Good):
            yield item.entry


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """A certificate as the register has it: serial, CA, and SHA-256 (hex) of its signed bytes."""

    serial: int
    ca: str
    signed_sha256: str


def compare_with_register(
    path: Path, cluster: str, register: Iterable[IssuedCertificate]
) -> Iterator[Difference]:
    """Name every certificate that only the ledger or only the register has, or that differs."""
    signed = dict[int, IssuedCertificate]()
    by_entry = dict[int, int]()
    for entry in entries(path, cluster):
        if entry.kind == "sign":
            serial = int(entry.fields["serial"])
            digest = entry.fields["sha256"]
            signed[serial] = IssuedCertificate(serial=serial, ca=entry.fields["ca"], signed_sha256=digest)
            by_entry[entry.number] = serial
        elif entry.kind == "void":
            signed.pop(by_entry.get(entry.fields["entry"], 0), None)
    for certificate in register:
        known = signed.pop(certificate.serial, None)
        if known is None:
            yield Difference(f"serial {certificate.serial}", "in the register, never signed by this signer")
        elif known != certificate:
            yield Difference(
                f"serial {certificate.serial}", "the register has other contents than were signed"
            )
    for serial in signed:
        yield Difference(f"serial {serial}", "signed, and not in the register")
