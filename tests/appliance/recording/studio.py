"""A studio for tests: a spool folder, writer threads, and recorders on an event loop, all real."""

from __future__ import annotations

from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from appliance.recording.frames import SessionFacts
from appliance.recording.reader import Recording
from appliance.recording.sinks import FileSink
from appliance.recording.ticks import SYSTEM_TICKS
from appliance.recording.writer import Recorder


def facts(**changes):
    values = {"session_id": str(uuid4()), "user": "joe", "login": "root", "node": "web1", "terminal": "xterm"}
    return SessionFacts(**(values | changes))


class Studio:
    """Makes recorders on one spool folder and remembers what they complained about."""

    def __init__(self, folder, lanes):
        self.sink, self.lanes = FileSink(folder), lanes
        self.failures, self.drains = [], 0

    def recorder(self, *, sink=None, guard_echo=False, strict=True, ticks=SYSTEM_TICKS, **more):
        return Recorder(
            facts=facts(strict=strict),
            sink=sink or self.sink,
            lanes=self.lanes,
            ticks=ticks,
            on_failure=self.failures.append,
            on_drained=self._drained,
            guard_echo=guard_echo,
            **more,
        )

    def _drained(self):
        self.drains += 1

    def path(self, recorder):
        return self.sink.path(UUID(recorder.facts.session_id))

    def frames(self, recorder):
        with Recording.open(self.path(recorder)) as recording:
            return [timed.frame for timed in recording.frames()]

    @asynccontextmanager
    async def recording(self, **more):
        recorder = self.recorder(**more)
        await recorder.open()
        yield recorder
        await recorder.close("done")
