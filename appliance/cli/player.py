"""Fetching a recording and replaying it in this terminal."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.domain.operations import journal
from appliance.recording.reader import Recording
from appliance.recording.replay import Speed, steps
from appliance.recording.screen import RESET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.client import Api

PIECE = 1 << 20


@contextmanager
def fetch_recording(api: Api, session: str) -> Iterator[Path]:
    """Yield the path of a copy of the recording, which is gone afterwards."""
    with tempfile.NamedTemporaryFile(prefix="sally-", suffix=".rec") as file:
        offset, size = 0, 1
        while offset < size:
            request = journal.RecordingRead(session=session, offset=offset, length=PIECE)
            piece: journal.RecordingPiece = api.call("recordings.read", request)
            if not piece.data:
                break
            file.write(piece.data)
            offset, size = offset + len(piece.data), piece.size
        file.flush()
        yield Path(file.name)


def fetch_cast(api: Api, session: str) -> str:
    """Return the recording as an asciicast."""
    parts, cursor = list[str](), 0
    while True:
        piece: journal.CastPiece = api.call(
            "recordings.export", journal.RecordingExport(session=session, cursor=cursor)
        )
        parts.append(piece.text)
        if piece.next is None:
            return "".join(parts)
        cursor = piece.next


def replay(path: Path, *, speed: float, idle: float) -> None:
    """Write what the person saw, with its pauses; control sequences that could do harm are gone."""
    pauses = speed > 0
    with Recording.open(path) as recording:
        try:
            for step in steps(
                recording.frames(live=True), Speed(factor=speed if pauses else 1.0, idle_limit=idle)
            ):
                if pauses:
                    time.sleep(step.delay)
                sys.stdout.write(step.text)
                sys.stdout.flush()
        finally:
            if sys.stdout.isatty():
                sys.stdout.write(RESET)
                sys.stdout.flush()
