"""After a crash: find the valid prefix of a recording, cut off the torn tail, and end it as lost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.recording.blocks import Zstd, pack_block
from appliance.recording.errors import FormatError
from appliance.recording.frames import (
    End,
    ErrorOutput,
    Frame,
    Gap,
    Input,
    InputHidden,
    Outcome,
    Output,
    encode_frame,
)
from appliance.recording.manifest import Manifest, Tally, moment
from appliance.recording.reader import Block, Recording, Timed
from appliance.recording.sinks import CHUNK, sync_folder, write_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

LOST = "the recorder ended without closing the recording"


@dataclass(slots=True)
class _Seen:
    """What a pass over the frames adds up to."""

    output: int = 0
    error: int = 0
    input: int = 0
    lost: int = 0
    first: Timed | None = None
    last: Timed | None = None
    end: End | None = None

    def add(self, timed: Timed) -> None:
        self.first = self.first or timed
        self.last = timed
        self._count(timed.frame)

    def _count(self, frame: Frame) -> None:
        match frame:
            case Output(data):
                self.output += len(data)
            case ErrorOutput(data):
                self.error += len(data)
            case Input(data):
                self.input += len(data)
            case InputHidden(count):
                self.input += count
            case Gap(lost_bytes=lost):
                self.lost += lost
            case End():
                self.end = frame
            case _:
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What recovery found. `changed` says whether it had to write."""

    manifest: Manifest
    torn_bytes: int
    changed: bool


def recover(path: Path, *, reason: str = LOST) -> Recovered:
    """Bring a recording to a whole end, and return its manifest to sign.

    A recording that has its end is left as it is, so this may be called for any file, and again. What
    stands behind the valid prefix is not thrown away but put aside, into `<name>.torn`. Raises
    `FormatError` where not even the file's header and first block are there, `OSError` from the disk.
    """
    with Recording.open(path) as recording:
        tally, seen = Tally(recording.file_header), _Seen()
        for block in _valid(recording):
            for timed in recording.unpack(block):
                seen.add(timed)
            tally.add(len(block.data), block.digest)
    if seen.first is None or seen.last is None:
        raise FormatError("the recording has no whole block")
    torn = path.stat().st_size - tally.size
    changed = seen.end is None or torn > 0
    if changed:
        _mend(path, tally, seen, reason)
    return Recovered(manifest=_manifest(recording.session_id, tally, seen), torn_bytes=torn, changed=changed)


def _valid(recording: Recording) -> Iterator[Block]:
    blocks = recording.blocks()
    while True:
        try:
            yield next(blocks)
        except (StopIteration, FormatError):
            return


def _mend(path: Path, tally: Tally, seen: _Seen, reason: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        torn = _put_aside(fd, tally.size, path.with_suffix(".torn"))
        os.ftruncate(fd, tally.size)
        if seen.end is None:
            block, digest = _last_block(tally, seen, torn, reason)
            write_at(fd, tally.size, block)
            tally.add(len(block), digest)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)


def _put_aside(fd: int, offset: int, target: Path) -> int:
    """Copy what is behind the valid prefix; return its length. An earlier copy is written over."""
    if not os.pread(fd, 1, offset):
        return 0
    start, flags = offset, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    aside = os.open(target, flags, 0o600)
    try:
        while data := os.pread(fd, CHUNK, offset):
            write_at(aside, offset - start, data)
            offset += len(data)
        os.fsync(aside)
    finally:
        os.close(aside)
    return offset - start


def _last_block(tally: Tally, seen: _Seen, torn: int, reason: str) -> tuple[bytes, bytes]:
    """Return the block that says how the recording ended; its time is that of the last frame known."""
    last = seen.last
    at_us, wall_us = (last.at_us, last.wall_us) if last else (0, 0)
    seen.end = End(
        outcome=Outcome.LOST,
        reason=reason,
        output_bytes=seen.output,
        error_bytes=seen.error,
        input_bytes=seen.input,
        lost_bytes=seen.lost,
        torn_bytes=torn,
    )
    return pack_block(
        transform=Zstd(),
        raw=encode_frame(seen.end, 0),
        previous=tally.head,
        sequence=tally.blocks,
        elapsed_us=at_us,
        wall_us=wall_us,
    )


def _manifest(session_id: UUID, tally: Tally, seen: _Seen) -> Manifest:
    if seen.first is None or seen.last is None or seen.end is None:
        raise FormatError("the recording has no end")
    return Manifest.of(
        session_id=session_id,
        end=seen.end,
        tally=tally,
        started=moment(seen.first.wall_us),
        ended=moment(seen.last.wall_us),
    )
