"""The chain: every line carries its number and the hash of the line before. Pure.

The hash of a line is the leaf hash of RFC 6962 §2.1, SHA-256(0x00 || line without line feed), so the
chain and the Merkle tree speak of the same value. The first line's `prev` is 64 zeros.

A chain alone can't show that its end was cut off, or that all of it was written anew: for that the
verifier is given heads known from elsewhere (`anchors`), e.g. from signed checkpoints.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.audit.line import Value, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a chain: its number, from 1, and the hash of its line in hexadecimal."""

    seq: int
    hash: str


GENESIS = Head(0, "0" * 64)


def leaf_hash(line: bytes) -> bytes:
    """Return the 32 byte hash of a line without its line feed (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + line).digest()


def seal(record: Mapping[str, Value], head: Head) -> tuple[bytes, Head]:
    """Return the line that follows `head`, without line feed, and the new head."""
    line = canonical({**record, "seq": head.seq + 1, "prev": head.hash})
    return line, Head(head.seq + 1, leaf_hash(line).hex())


@dataclass(frozen=True, slots=True)
class Link:
    """What a line says about its place in the chain."""

    seq: int
    prev: str


def link_of(line: bytes) -> Link | None:
    """Return what the line says, or None if it is no event at all."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match record:
        case {"seq": int(seq), "prev": str(prev)} if seq > 0:
            return Link(seq, prev)
    return None


class FaultKind(StrEnum):
    """What can be wrong with a log."""

    UNREADABLE = "unreadable"
    EDITED = "edited"
    REMOVED = "removed"
    MOVED = "moved"
    REPEATED = "repeated"
    TRUNCATED = "truncated"
    REPLACED = "replaced"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Place(file="(empty log)", line=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One difference between what was written and what is there."""

    kind: FaultKind
    place: Place
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.detail}"


@dataclass(slots=True)
class _Gap:
    """Numbers that have not been seen: `first` to `last`, before `place`."""

    first: int
    last: int
    place: Place


class ChainVerifier:
    """Checks lines in the order in which they stand in the files; memory grows only with faults."""

    def __init__(self, *, start: Head = GENESIS, anchors: Mapping[int, str] | None = None) -> None:
        self._start = start
        self.head = start
        self._place = NOWHERE
        self._anchors = dict(anchors or {})
        self._gaps: list[_Gap] = []
        self._hash_before: dict[int, str] = {}
        self._prev_after: dict[int, tuple[str, Place]] = {}

    def feed(self, place: Place, line: bytes) -> Iterator[Fault]:
        """Check the next line, given without its line feed."""
        link = link_of(line)
        if link is None:
            yield Fault(kind=FaultKind.UNREADABLE, place=place, detail="this line is not an event")
            return
        digest = leaf_hash(line).hex()
        yield from self._check_anchor(place, link.seq, digest)
        if link.seq <= self.head.seq:
            yield from self._out_of_order(place, link, digest)
            return
        if link.seq == self.head.seq + 1:
            yield from self._check_prev(self._place, link.seq, link.prev, self.head.hash)
        else:
            self._open_gap(place, link)
        self.head, self._place = Head(link.seq, digest), place

    def finish(self) -> Iterator[Fault]:
        """Tell what is missing, once all lines have been fed."""
        for gap in self._gaps:
            yield Fault(
                kind=FaultKind.REMOVED, place=gap.place, detail=f"{_numbers(gap)} missing before this line"
            )
        beyond = [seq for seq in self._anchors if seq > self.head.seq]
        if beyond:
            detail = f"the log ends with event {self.head.seq}, but there was event {max(beyond)}"
            yield Fault(kind=FaultKind.TRUNCATED, place=self._place, detail=detail)

    def _check_anchor(self, place: Place, seq: int, digest: str) -> Iterator[Fault]:
        known = self._anchors.get(seq)
        if known is not None and known != digest:
            detail = f"event {seq} is not the one whose hash is known from elsewhere"
            yield Fault(kind=FaultKind.REPLACED, place=place, detail=detail)

    def _check_prev(self, before: Place, seq: int, prev: str, known: str) -> Iterator[Fault]:
        if prev != known:
            detail = f"event {seq - 1} is not the one that event {seq} was chained to"
            yield Fault(kind=FaultKind.EDITED, place=before, detail=detail)

    def _open_gap(self, place: Place, link: Link) -> None:
        self._gaps.append(_Gap(self.head.seq + 1, link.seq - 1, place))
        self._hash_before[self.head.seq] = self.head.hash
        self._prev_after[link.seq] = (link.prev, place)

    def _out_of_order(self, place: Place, link: Link, digest: str) -> Iterator[Fault]:
        gap = next((gap for gap in self._gaps if gap.first <= link.seq <= gap.last), None)
        if gap is None:
            detail = f"event {link.seq} stands here again"
            yield Fault(kind=FaultKind.REPEATED, place=place, detail=detail)
            return
        yield Fault(kind=FaultKind.MOVED, place=place, detail=f"event {link.seq} belongs before {gap.place}")
        self._close_gap(gap, link.seq)
        if known := self._hash_before.get(link.seq - 1):
            yield from self._check_prev(place, link.seq, link.prev, known)
        self._hash_before[link.seq] = digest
        if following := self._prev_after.get(link.seq + 1):
            yield from self._check_prev(place, link.seq + 1, following[0], digest)

    def _close_gap(self, gap: _Gap, seq: int) -> None:
        self._gaps.remove(gap)
        pieces = (_Gap(gap.first, seq - 1, gap.place), _Gap(seq + 1, gap.last, gap.place))
        self._gaps.extend(piece for piece in pieces if piece.first <= piece.last)


def _numbers(gap: _Gap) -> str:
    return f"event {gap.first} is" if gap.first == gap.last else f"events {gap.first} to {gap.last} are"
