"""Reading a recording back: frames with their times, from the beginning or from any moment.

Every block is checked before it is unpacked, and against the digest of the block before it; that
the whole is what the recorder wrote, only a signed manifest proves (`manifest.py`, `verify.py`).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from appliance.recording.blocks import (
    BLOCK_HEADER,
    DIGEST_LENGTH,
    FILE_HEADER,
    BlockHeader,
    BlockTransform,
    chain_start,
    check_block,
    known_transforms,
    read_block_header,
    read_file_header,
    unpack_block,
)
from appliance.recording.errors import FormatError, TornBlock, UnknownRecording
from appliance.recording.frames import Frame, Header, SessionFacts, decode_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A whole block that is in its place. `offset` is where it begins, `digest` what it ends with."""

    header: BlockHeader
    offset: int
    data: bytes
    digest: bytes

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A frame, `at_us` microseconds after the recording began, at `wall_us` by the recorder's clock."""

    at_us: int
    wall_us: int
    frame: Frame


class Recording:
    """An open file of blocks; use it in a `with`."""

    def __init__(self, file: BinaryIO, transforms: Mapping[int, BlockTransform] | None = None) -> None:
        """Read from a seekable file; raises `FormatError`."""
        self._file = file
        self._transforms = known_transforms() if transforms is None else transforms
        file.seek(0)
        self._file_header = file.read(FILE_HEADER.size)
        self.session_id = read_file_header(self._file_header)

    @classmethod
    def open(cls, path: Path, transforms: Mapping[int, BlockTransform] | None = None) -> Self:
        """Open a file; raises `UnknownRecording` or `FormatError`. Symbolic links are not followed."""
        try:
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except OSError as error:
            raise UnknownRecording("this recording can't be opened") from error
        try:
            return cls(file, transforms)
        except FormatError:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def file_header(self) -> bytes:
        """The first 32 bytes, which the chain begins with."""
        return self._file_header

    def facts(self) -> SessionFacts:
        """Return what the first frame tells; raises `FormatError`."""
        first = next(self.frames(), None)
        if first is None or not isinstance(first.frame, Header):
            raise FormatError("the recording does not begin with its header", offset=FILE_HEADER.size)
        return first.frame.facts

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in order; raises `TornBlock` or `ChangedBlock` at the first that is not right."""
        return self._blocks_from(0, FILE_HEADER.size, chain_start(self._file_header))

    def _blocks_from(self, sequence: int, offset: int, previous: bytes) -> Iterator[Block]:
        while (block := self._read(sequence, offset, previous)) is not None:
            yield block
            sequence, offset, previous = sequence + 1, block.end, block.digest

    def _read(self, sequence: int, offset: int, previous: bytes) -> Block | None:
        self._file.seek(offset)
        if not (head := self._file.read(BLOCK_HEADER.size)):
            return None
        header = read_block_header(head, offset=offset)
        data = head + self._file.read(header.size - len(head))
        digest = check_block(data, header, previous=previous, sequence=sequence, offset=offset)
        return Block(header=header, offset=offset, data=data, digest=digest)

    def frames(self, since_us: int = 0, *, live: bool = False) -> Iterator[Timed]:
        """Yield the frames from `since_us` on, with their times; raises as `blocks`.

        What is before that moment is not unpacked, only skipped over. `live` is for a recording that
        still grows: there a block that is not whole yet is the end, and no error.
        """
        blocks = self.blocks() if since_us <= 0 else self._blocks_from(*self._place_of(since_us))
        try:
            for block in blocks:
                yield from (timed for timed in self.unpack(block) if timed.at_us >= since_us)
        except TornBlock:
            if not live:
                raise

    def unpack(self, block: Block) -> Iterator[Timed]:
        """Yield the frames of one block."""
        at = block.header.elapsed_us
        drift = block.header.wall_us - at
        for delta, frame in decode_frames(unpack_block(block.data, block.header, self._transforms)):
            at += delta
            yield Timed(at_us=at, wall_us=at + drift, frame=frame)

    def _place_of(self, moment_us: int) -> tuple[int, int, bytes]:
        """Return (sequence, offset, digest before it) of the last block that begins before the moment."""
        offsets, times = self._index()
        sequence = max(bisect_right(times, moment_us) - 1, 0)
        if not sequence:
            return 0, FILE_HEADER.size, chain_start(self._file_header)
        self._file.seek(offsets[sequence] - DIGEST_LENGTH)
        return sequence, offsets[sequence], self._file.read(DIGEST_LENGTH)

    def _index(self) -> tuple[list[int], list[int]]:
        offsets, times, offset = [FILE_HEADER.size], [0], FILE_HEADER.size
        while True:
            self._file.seek(offset)
            try:
                header = read_block_header(self._file.read(BLOCK_HEADER.size), offset=offset)
            except TornBlock:
                return offsets, times
            if header.sequence:
                offsets.append(offset)
                times.append(header.elapsed_us)
            offset += header.size
