"""Blocks: frames packed, framed and chained so that a torn tail or a changed byte is seen. No IO.

    file   = "SALLYREC" version (2 bytes) reserved (6 bytes) session id (16 bytes)  block*
    block  = "BLK1" codec (1 byte) reserved (3 bytes) sequence (u32) raw length (u32) stored length (u32)
             elapsed (u64, microseconds since the recording began) wall (u64, microseconds since 1970)
             payload  digest (32 bytes)
    digest = SHA-256(digest of the block before, or of the file header | this block up to its digest)

Numbers are big-endian. A block can be unpacked alone, and begins with its own time and an anchor of
the wall clock, so a reader can seek by reading headers only. `codec` names how the payload was
packed; a codec that encrypts (X5) is one more entry of the table handed to the reader.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import zstandard

from appliance.recording.errors import ChangedBlock, FormatError, TornBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.recording.frames import Bytes

MAGIC = b"SALLYREC"
FILE_VERSION = 1
FILE_HEADER = struct.Struct(">8sH6x16s")
MARKER = b"BLK1"
BLOCK_HEADER = struct.Struct(">4sB3xIIIQQ")
DIGEST_LENGTH = 32
MAX_RAW = 1 << 20
"""No block unpacks to more than 1 MiB, so a reader's memory is bounded."""
MAX_STORED = MAX_RAW + 4096
ZSTD_LEVEL = 1


class BlockTransform(Protocol):
    """How frames become the bytes at rest and back: compression today, encryption later."""

    @property
    def codec(self) -> int:
        """The number that stands in the block's header, 0 to 255."""

    def seal(self, raw: Bytes) -> bytes:
        """Pack the frames of one block; called on writer threads, never by two at once."""

    def unseal(self, stored: bytes, raw_length: int) -> bytes:
        """Unpack; raises `ChangedBlock` where the result is not `raw_length` bytes."""


class Zstd:
    """Zstandard (RFC 8878) at level 1 with content checksums; one object belongs to one thread."""

    codec = 1

    def __init__(self, level: int = ZSTD_LEVEL) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        self._decompressor = zstandard.ZstdDecompressor()

    def seal(self, raw: Bytes) -> bytes:
        """Compress one block."""
        return self._compressor.compress(raw)

    def unseal(self, stored: bytes, raw_length: int) -> bytes:
        """Decompress one block; the frame's own length is compared before memory is given."""
        try:
            if zstandard.frame_content_size(stored) != raw_length:
                raise ChangedBlock("a block has another length than its header says")
            return self._decompressor.decompress(stored)
        except zstandard.ZstdError as error:
            raise ChangedBlock(f"a block can't be unpacked: {error}") from error


def known_transforms() -> Mapping[int, BlockTransform]:
    """Return a fresh table of what this version can read, for one reader."""
    return {Zstd.codec: Zstd()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHeader:
    """The facts in front of a payload."""

    codec: int
    sequence: int
    raw_length: int
    stored_length: int
    elapsed_us: int
    wall_us: int

    @property
    def size(self) -> int:
        """Bytes of the whole block, digest included."""
        return BLOCK_HEADER.size + self.stored_length + DIGEST_LENGTH


def file_header(session_id: UUID) -> bytes:
    """Return the first 32 bytes of a recording."""
    return FILE_HEADER.pack(MAGIC, FILE_VERSION, session_id.bytes)


def read_file_header(data: bytes) -> UUID:
    """Return the session id; raises `FormatError`, or `TornBlock` where there are less than 32 bytes."""
    if len(data) < FILE_HEADER.size:
        raise TornBlock("the file ends in its header", offset=0)
    magic, version, session_id = FILE_HEADER.unpack(data[: FILE_HEADER.size])
    if magic != MAGIC:
        raise FormatError("this is not a session recording")
    if version != FILE_VERSION:
        raise FormatError(f"recordings of version {version} are not known here")
    return UUID(bytes=session_id)


def chain_start(header: bytes) -> bytes:
    """Return the digest that the first block is chained to."""
    return hashlib.sha256(header).digest()


def pack_block(
    *, transform: BlockTransform, raw: Bytes, previous: bytes, sequence: int, elapsed_us: int, wall_us: int
) -> tuple[bytes, bytes]:
    """Return (block, digest) for the frames of one block, at most `MAX_RAW` bytes."""
    payload = transform.seal(raw)
    header = BLOCK_HEADER.pack(MARKER, transform.codec, sequence, len(raw), len(payload), elapsed_us, wall_us)
    digest = _digest(previous, header, payload)
    return b"".join((header, payload, digest)), digest


def _digest(previous: bytes, header: bytes, payload: bytes) -> bytes:
    hasher = hashlib.sha256(previous)
    hasher.update(header)
    hasher.update(payload)
    return hasher.digest()


def read_block_header(data: bytes, *, offset: int) -> BlockHeader:
    """Parse a block's header; `offset` is its place in the file, for the error."""
    if len(data) < BLOCK_HEADER.size:
        raise TornBlock("the file ends in the header of a block", offset=offset)
    marker, codec, sequence, raw, stored, elapsed, wall = BLOCK_HEADER.unpack(data[: BLOCK_HEADER.size])
    if marker != MARKER or raw > MAX_RAW or stored > MAX_STORED:
        raise ChangedBlock("there is no block where one has to begin", offset=offset)
    return BlockHeader(
        codec=codec,
        sequence=sequence,
        raw_length=raw,
        stored_length=stored,
        elapsed_us=elapsed,
        wall_us=wall,
    )


def check_block(block: bytes, header: BlockHeader, *, previous: bytes, sequence: int, offset: int) -> bytes:
    """Return the digest of a whole block that is in its place; raises `TornBlock` or `ChangedBlock`."""
    if len(block) < header.size:
        raise TornBlock("the file ends inside a block", offset=offset)
    body = BLOCK_HEADER.size + header.stored_length
    digest = _digest(previous, block[: BLOCK_HEADER.size], block[BLOCK_HEADER.size : body])
    if digest != block[body : header.size] or header.sequence != sequence:
        raise ChangedBlock(f"block {sequence} is not what was written", offset=offset)
    return digest


def unpack_block(block: bytes, header: BlockHeader, transforms: Mapping[int, BlockTransform]) -> bytes:
    """Return the frames of a whole block; raises `FormatError` where its codec is not known."""
    if (transform := transforms.get(header.codec)) is None:
        raise FormatError(f"blocks of codec {header.codec} can't be read here")
    body = BLOCK_HEADER.size + header.stored_length
    return transform.unseal(block[BLOCK_HEADER.size : body], header.raw_length)
