"""One approved session: its recording, its facts, its bytes, and its one end.

A session is what auth approved once: a session id, a login on a node, options. Whatever runs in it
(a program on a channel, forwarded connections) belongs to it, is counted here, and dies with it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from appliance.domain.operations.ssh import SessionEnd, SessionFacts
from appliance.domain.role import RecordingMode
from appliance.proxy.relay import STDERR, Hold
from appliance.recording.errors import RecorderFailed
from appliance.recording.frames import Happened
from appliance.recording.frames import SessionFacts as RecordedFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.domain.operations.ssh import SessionApproved
    from appliance.proxy.edge import Edge
    from appliance.proxy.permits import Permits
    from appliance.proxy.relay import Pipe
    from appliance.recording.events import Event
    from appliance.recording.writer import Recorder

log = logging.getLogger(__name__)
Value = str | int | bool
RECORDING_FAILED = "the session can't be recorded, so it ends"


class Session:
    """See the module. Made when auth has approved; `finish` does its work once.

    `on_end` tells the person why, and closes what the session runs on.
    """

    def __init__(
        self,
        *,
        edge: Edge,
        approved: SessionApproved,
        login: str,
        permits: Permits,
        source: str,
        on_end: Callable[[Session, str], None],
    ) -> None:
        self.edge = edge
        self.approved = approved
        self.login = login
        self.permits = permits
        self.source = source
        self.pipes: set[Pipe] = set()
        self.recorder: Recorder | None = None
        self.kept = False
        """It goes on without anything running, for forwards that may come."""
        self.last_active = 0.0
        """On the loop's clock; only bytes of the person count, never keepalives (threat S12)."""
        self.expires = 0.0
        """When the person's certificate ends, on the loop's clock."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.reason = ""
        self._on_end = on_end
        self._opening = asyncio.Lock()
        self._finished = False

    @property
    def id(self) -> str:
        """The session id that auth chose."""
        return self.approved.session

    @property
    def strict(self) -> bool:
        """Whether nothing may pass that is not recorded."""
        return self.approved.options.recording is RecordingMode.STRICT

    def begin(self) -> None:
        """Be among the sessions that the pulse tells of."""
        self.touch()
        self.expires = self.last_active + self.approved.expires_in_seconds
        self.edge.sessions.add(self)

    def touch(self) -> None:
        """The person did something."""
        self.last_active = asyncio.get_running_loop().time()

    # Recording

    async def record(self, *, term: str = "", columns: int = 80, rows: int = 24) -> None:
        """Open the recording durably; raises `RecorderFailed` where the session must not go on."""
        async with self._opening:
            if self.recorder is not None or self._finished:
                return
            recorder = self.edge.recorders(
                self._facts(term, columns, rows), on_failure=self.failed, on_drained=self._drained
            )
            try:
                await recorder.open()
            except RecorderFailed as error:
                log.error("session %s can't be recorded: %s", self.id, error)  # noqa: TRY400 - no news in a trace
                if self.strict:
                    raise
                return
            self.recorder = recorder
            self.edge.spool.opened(self.id)

    def _facts(self, term: str, columns: int, rows: int) -> RecordedFacts:
        return RecordedFacts(
            session_id=self.id,
            user=self.approved.user,
            login=self.login,
            node=self.approved.node,
            cluster=self.edge.trust.cluster,
            source=self.source,
            terminal=term,
            columns=columns or 80,
            rows=rows or 24,
            strict=self.strict,
        )

    def failed(self, error: RecorderFailed) -> None:
        """The recording fails: a strict session ends, any other goes on with an alarm."""
        log.error("the recording of session %s fails: %s", self.id, error)
        if self.strict:
            self.end(RECORDING_FAILED)

    def _drained(self) -> None:
        for pipe in self.pipes:
            pipe.release(Hold.RECORDER_IS_FULL)

    def resized(self, columns: int, rows: int) -> None:
        """Record a new size of the terminal; raises `RecorderFailed`."""
        if self.recorder is not None:
            self.recorder.resize(columns, rows)

    def happened(self, event: Event) -> None:
        """Put an event beside the bytes into the recording, if there is one."""
        if self.recorder is not None:
            self.recorder.record(Happened(event))

    # The log

    def tell(self, event: str, **fields: Value) -> None:
        """Put a fact into the log, soon and in order."""
        self.edge.reporter.put(SessionFacts(session=self.id, event=event, fields=fields))

    async def log(self, event: str, **fields: Value) -> None:
        """Put a fact into the log and wait until it is there; raises `SallyportError`."""
        await self.edge.authority.report(SessionFacts(session=self.id, event=event, fields=fields))

    # The end

    def end(self, reason: str) -> None:
        """End it now, with a sentence for the person. The rest follows from the closing channels."""
        if self.reason or self._finished:
            return
        self.reason = reason
        self._on_end(self, reason)

    def say(self, text: str) -> None:
        """Show a line to the person, in every program of the session."""
        for pipe in self.pipes:
            pipe.person.write(f"\r\nsallyport: {text}\r\n".encode(), STDERR)

    def over(self, pipe: Pipe) -> None:
        """Count what passed through a pipe that has ended."""
        self.pipes.discard(pipe)
        self.bytes_in += pipe.bytes_in
        self.bytes_out += pipe.bytes_out

    async def finish(self, reason: str) -> None:
        """Close the recording and tell auth; harmless when repeated."""
        if self._finished:
            return
        self._finished = True
        await self._close_recording()
        self.edge.reporter.put(
            SessionEnd(
                session=self.id,
                reason=self.reason or reason,
                bytes_in=self.bytes_in,
                bytes_out=self.bytes_out,
            )
        )
        self.edge.sessions.discard(self)

    async def _close_recording(self) -> None:
        async with self._opening:
            recorder = self.recorder
        if recorder is None:
            return
        whole = True
        try:
            await recorder.close(self.reason)
        except RecorderFailed as error:
            log.error("the recording of session %s could not be closed: %s", self.id, error)  # noqa: TRY400
            whole = False
        self.edge.spool.closed(self.id, whole=whole)
