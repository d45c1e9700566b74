"""The writing side of one recording: block after block, chained, to its sink. Used on one thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.recording.blocks import BlockTransform, file_header, pack_block
from appliance.recording.manifest import Tally

if TYPE_CHECKING:
    from uuid import UUID

    from appliance.recording.sinks import BlockSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The frames of a block to be; nobody changes `raw` any more."""

    raw: bytearray
    elapsed_us: int
    wall_us: int


class Journal:
    """Knows where the next block goes and what it is chained to; a failed write changes neither."""

    def __init__(self, session_id: UUID, sink: BlockSink) -> None:
        self.session_id = session_id
        self.tally = Tally(file_header(session_id))
        self.unsynced = False
        self._sink = sink

    def create(self, batch: Batch, transform: BlockTransform) -> None:
        """Write the file's header and first block, durably; raises `OSError`."""
        header = file_header(self.session_id)
        block, digest = self._pack(batch, transform)
        self._sink.create(self.session_id, header + block)
        self.tally.add(len(block), digest)

    def write(self, batch: Batch, transform: BlockTransform) -> None:
        """Write the next block; raises `OSError`, and may then be called again."""
        block, digest = self._pack(batch, transform)
        self._sink.append(self.session_id, self.tally.size, block)
        self.tally.add(len(block), digest)
        self.unsynced = True

    def sync(self) -> None:
        """Make what was written durable; raises `OSError`."""
        self._sink.sync(self.session_id)
        self.unsynced = False

    def close(self) -> None:
        """Let the sink release the recording."""
        self._sink.close(self.session_id)

    def _pack(self, batch: Batch, transform: BlockTransform) -> tuple[bytes, bytes]:
        return pack_block(
            transform=transform,
            raw=batch.raw,
            previous=self.tally.head,
            sequence=self.tally.blocks,
            elapsed_us=batch.elapsed_us,
            wall_us=batch.wall_us,
        )
