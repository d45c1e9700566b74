"""The recordings of this box as the use cases see them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from appliance.broker.ports import Finished
from appliance.domain.errors import Conflict, Invalid, NotFound, Unavailable
from appliance.recording.asciicast import export, parts
from appliance.recording.errors import (
    FormatError,
    OffsetConflict,
    OffsetGap,
    RecordingError,
    RecordingFinished,
    UnknownRecording,
)
from appliance.recording.frames import Outcome
from appliance.recording.store import RecordingStore, parse_session_id

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecordings:
    """Over the folder the audit log is in."""

    store: RecordingStore

    def append(self, session: str, offset: int, data: bytes) -> None:
        """Add a block; the same block again is fine, a gap is refused."""
        with _translated():
            self.store.append(parse_session_id(session), offset, data)

    def finish(self, session: str) -> Finished:
        """Close the recording; of one whose sender is gone, what is whole is kept and ended as lost."""
        with _translated():
            manifest = self.store.complete(parse_session_id(session)).manifest
        return Finished(size=manifest.size, lost=manifest.outcome is not Outcome.COMPLETE, head=manifest.head)

    def read(self, session: str, offset: int, length: int) -> bytes:
        """Return a piece as stored."""
        with _translated():
            return self.store.read(parse_session_id(session), offset, length)

    def size(self, session: str) -> int:
        """Return the size so far; 0 when there is none."""
        with _translated():
            return self.store.size(parse_session_id(session))

    def cast(self, session: str, cursor: int) -> tuple[str, int | None]:
        """Return part `cursor` of the asciicast (about 1 MiB), and the number of the next."""
        if cursor < 0:
            raise Invalid("cursor: expected 0 or what the part before gave as next")
        with _translated(), self.store.open(parse_session_id(session)) as recording:
            rest = islice(parts(export(recording.frames(live=True))), cursor, None)
            text, following = next(rest, ""), next(rest, None)
        return text, None if following is None else cursor + 1


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except UnknownRecording as error:
        raise NotFound("there is no such recording") from error
    except FormatError as error:
        raise Unavailable(f"the recording is damaged: {error}") from error
    except (OffsetGap, OffsetConflict, RecordingFinished) as error:
        raise Conflict(str(error)) from error
    except RecordingError as error:
        raise Invalid(str(error)) from error
    except OSError as error:
        raise Unavailable(f"the recordings' disk: {error.strerror}") from error
