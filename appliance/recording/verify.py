"""Comparing a stored recording with its signed manifest; the answer names the first difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.recording.errors import ChangedBlock, FormatError, TornBlock, UnknownRecording
from appliance.recording.manifest import Checkpoint, Manifest, Tally
from appliance.recording.reader import Recording

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Intact:
    """The file is, byte for byte, what was signed."""

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no file, or none that can be opened."""

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """The file ends at `size` instead of `expected`; up to `good` it is as signed. All in bytes."""

    size: int
    expected: int
    good: int

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The file differs from what was signed, first somewhere from byte `after` to byte `before`."""

    after: int
    before: int

    def __bool__(self) -> bool:
        return False


Verdict = Intact | Missing | Short | Changed


def compare(path: Path, manifest: Manifest) -> Verdict:
    """Read the whole file and compare it with a manifest whose signature was verified."""
    try:
        with Recording.open(path) as recording:
            return _compare(recording, path.stat().st_size, manifest)
    except (UnknownRecording, FileNotFoundError):
        return Missing()
    except TornBlock:
        return Short(size=path.stat().st_size, expected=manifest.size, good=0)
    except FormatError as error:
        return Changed(after=0, before=error.offset + 1)


def _compare(recording: Recording, size: int, manifest: Manifest) -> Verdict:
    tally, good = Tally(recording.file_header), 0
    points = {point.blocks: point for point in (*manifest.checkpoints, _last(manifest))}
    try:
        for block in recording.blocks():
            tally.add(len(block.data), block.digest)
            if (point := points.get(tally.blocks)) is not None:
                if (point.end, point.digest) != (tally.size, tally.head.hex()):
                    return Changed(after=good, before=max(point.end, tally.size))
                good = point.end
    except TornBlock:
        if size < manifest.size:
            return Short(size=size, expected=manifest.size, good=good)
        return Changed(after=good, before=size)
    except ChangedBlock:
        return Changed(after=good, before=size)
    return _whole(tally, size, good, manifest, str(recording.session_id))


def _last(manifest: Manifest) -> Checkpoint:
    return Checkpoint(blocks=manifest.blocks, end=manifest.size, digest=manifest.head)


def _whole(tally: Tally, size: int, good: int, manifest: Manifest, session_id: str) -> Verdict:
    """Judge a file whose blocks are all well: whether it ends where it has to, and is that session's."""
    if tally.size < manifest.size:
        return Short(size=size, expected=manifest.size, good=good)
    if tally.size > manifest.size:
        return Changed(after=manifest.size, before=size)
    if session_id != manifest.session_id or tally.head.hex() != manifest.head:
        return Changed(after=0, before=size)
    return Intact()


def describe(verdict: Verdict) -> str:
    """Return one sentence for people and alarms."""
    match verdict:
        case Intact():
            return "the recording is what was signed"
        case Missing():
            return "the recording is missing"
        case Short(size=size, expected=expected):
            return f"the recording is short: {size} of {expected} bytes are there"
        case Changed(after=after, before=before):
            return f"the recording was changed between byte {after} and byte {before}"
