"""Feeds a sink from the day files, from where it stopped, however long the sink was away.

The files are the queue: nothing is held in memory but one batch. The position is written after the
sink has taken a batch, so a crash sends a batch twice rather than never.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from appliance.audit.chain import link_of
from appliance.audit.errors import ChainBroken, SinkUnavailable
from appliance.audit.files import Line, Position, day_files, read_lines

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.audit.sinks import Sink

log = logging.getLogger(__name__)
BATCH = 200
POLL = 1.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a sink has come: the last event it took, and where the next begins."""

    seq: int
    position: Position | None


class Forwarder:
    """Feeds one sink; `state` is the file that remembers how far it came."""

    def __init__(self, folder: Path, sink: Sink, *, state: Path, durable: Callable[[], int]) -> None:
        self._folder = folder
        self._sink = sink
        self._state = state
        self._durable = durable
        self._progress = _load(state)

    @property
    def waiting(self) -> int:
        """How many durable events the sink has not yet taken."""
        return max(0, self._durable() - self._progress.seq)

    def step(self) -> int:
        """Send one batch and return how many events it had; raises `SinkUnavailable`."""
        batch = list(islice(self._durable_lines(), BATCH))
        if not batch:
            return 0
        self._sink.send([line.data for line, _ in batch])
        line, seq = batch[-1]
        self._progress = Progress(seq=seq, position=line.after)
        _save(self._state, self._progress)
        return len(batch)

    def run(self, stop: threading.Event) -> None:
        """Feed the sink until told to stop; waits longer after each failure, up to a minute."""
        pause = POLL
        while True:
            try:
                while self.step():
                    pause = POLL
                wait = POLL
            except (SinkUnavailable, ChainBroken, OSError) as error:
                log.warning("%d events wait for their sink: %s", self.waiting, error)
                wait = pause = min(2 * pause, LONGEST_PAUSE)
            if stop.wait(wait):
                return

    def _durable_lines(self) -> Iterator[tuple[Line, int]]:
        durable = self._durable()
        if self.waiting == 0:
            return iter(())
        numbered = ((line, _number(line)) for line in read_lines(self._folder, self._start()))
        return takewhile(lambda pair: pair[1] <= durable, numbered)

    def _start(self) -> Position | None:
        """Return where to go on; raises `ChainBroken` if the file of that place was shortened."""
        position = self._progress.position
        if position is None:
            return None
        path = self._folder / position.file
        if path.exists() and path.stat().st_size < position.offset:
            raise ChainBroken("the file ends before what was already exported", place=path.name)
        if not path.exists() and day_files(self._folder):
            log.warning("%s is gone; the export goes on with the next day", path.name)
        return position


def _number(line: Line) -> int:
    link = link_of(line.data)
    if link is None:
        raise ChainBroken("this line is not an event", place=f"{line.file} at byte {line.offset}")
    return link.seq


def _load(path: Path) -> Progress:
    try:
        match json.loads(path.read_bytes()):
            case {"seq": int(seq), "file": str(file), "offset": int(offset)}:
                return Progress(seq=seq, position=Position(file=file, offset=offset))
    except FileNotFoundError:
        return Progress(seq=0, position=None)
    except ValueError:
        log.warning("%s is damaged; everything is exported again", path)
    return Progress(seq=0, position=None)


def _save(path: Path, progress: Progress) -> None:
    position = progress.position
    if position is None:
        return
    content = {"seq": progress.seq, "file": position.file, "offset": position.offset}
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(json.dumps(content).encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
