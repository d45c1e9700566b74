"""Recordings on their way to auth: sent while they grow, finished when they end, forgotten when confirmed.

The spool folder is the truth: what lies in it has not been confirmed. After a crash each file there is
brought to a whole end (marked as lost) and sent like any other. A disk that breaks or an auth that is
away delays this and loses nothing; sessions notice it by other means (the recorder, the pulse).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from appliance.domain.errors import Conflict, SallyportError, Unavailable
from appliance.domain.operations.ssh import RecordingBlock, RecordingFinish
from appliance.recording.errors import FormatError
from appliance.recording.frames import Outcome
from appliance.recording.recovery import recover
from appliance.recording.sinks import SUFFIX

if TYPE_CHECKING:
    from appliance.proxy.authority import Authority
    from appliance.recording.sinks import FileSink

log = logging.getLogger(__name__)
PACE = 0.5
"""Seconds between two looks at what has grown."""
RETRY = 5.0
"""Seconds after which a recording that auth did not take is tried again."""


@dataclass(slots=True, kw_only=True)
class _Upload:
    session: UUID
    offset: int = 0
    closed: bool = False
    whole: bool = True
    lost: bool = False
    not_before: float = 0.0


class Spool:
    """One folder; `run` empties it."""

    def __init__(self, sink: FileSink, authority: Authority) -> None:
        self._sink, self._authority = sink, authority
        self._uploads: dict[UUID, _Upload] = {}
        self._changed = asyncio.Event()
        self._confirmed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many recordings are not confirmed yet."""
        return len(self._uploads)

    def opened(self, session: str) -> None:
        """Begin to send a recording that has begun."""
        uuid = UUID(session)
        self._uploads[uuid] = _Upload(session=uuid)

    def closed(self, session: str, *, whole: bool) -> None:
        """Send the rest of a recording and finish it; where it is not `whole`, mend its end first."""
        if (upload := self._uploads.get(UUID(session))) is not None:
            upload.closed, upload.whole = True, whole
            self._changed.set()

    def recover(self) -> None:
        """Take up what an earlier process left behind. Call it before the first session."""
        for path in sorted(self._sink.folder.glob(f"*{SUFFIX}")):
            try:
                uuid = UUID(path.stem)
            except ValueError:
                log.error("the spool has a file that is no recording: %s", path.name)  # noqa: TRY400
                continue
            self._uploads[uuid] = _Upload(session=uuid, closed=True, whole=False)
        self._changed.set()

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            for upload in list(self._uploads.values()):
                if upload.not_before <= loop.time():
                    await self._try(upload, loop.time())
            self._changed.clear()
            try:
                async with asyncio.timeout(PACE):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def flushed(self) -> None:
        """Wait until everything that is closed was confirmed."""
        while any(upload.closed for upload in self._uploads.values()):
            self._confirmed.clear()
            await self._confirmed.wait()

    async def _try(self, upload: _Upload, now: float) -> None:
        try:
            await self._send(upload)
        except Unavailable as error:
            log.warning("recording %s waits for auth: %s", upload.session, error)
            upload.not_before = now + RETRY
        except Conflict as error:
            log.error("auth has another recording %s; it stays in the spool: %s", upload.session, error)  # noqa: TRY400
            del self._uploads[upload.session]
        except FormatError as error:
            log.error("the spool has a recording without a beginning, it stays there: %s", error)  # noqa: TRY400
            del self._uploads[upload.session]
        except (SallyportError, OSError) as error:
            log.error("recording %s can't be sent: %s", upload.session, error)  # noqa: TRY400
            upload.not_before = now + RETRY

    async def _send(self, upload: _Upload) -> None:
        if not upload.whole:
            await self._mend(upload)
        closed = upload.closed
        while (data := await asyncio.to_thread(self._read, upload)) is not None:
            block = RecordingBlock(session=str(upload.session), offset=upload.offset, data=data)
            await self._authority.ask("recordings.append", block)
            upload.offset += len(data)
        if closed:
            finish = RecordingFinish(session=str(upload.session), size=upload.offset, lost=upload.lost)
            await self._authority.ask("recordings.finish", finish)
            await asyncio.to_thread(self._sink.forget, upload.session)
            del self._uploads[upload.session]
            self._confirmed.set()

    async def _mend(self, upload: _Upload) -> None:
        found = await asyncio.to_thread(recover, self._sink.path(upload.session))
        upload.whole = True
        upload.lost = found.manifest.outcome is Outcome.LOST

    def _read(self, upload: _Upload) -> bytes | None:
        for _, data in self._sink.chunks(upload.session, upload.offset):
            return data
        return None
