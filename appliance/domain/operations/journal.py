"""Sessions, recordings and events, as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.domain.operations.operation import Operation, Rule
from appliance.domain.operations.people import CONSOLE_OR_PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsQuery:
    """Which sessions; a person without the rule sees their own."""

    limit: int = 100
    live_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session as people see it."""

    id: str
    user: str
    login: str
    node: str
    source: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str
    recording_size: int
    recording_lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionList:
    """Sessions, newest first."""

    sessions: tuple[SessionView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRead:
    """A piece of a recording: at most 1 MiB from `offset`."""

    session: str
    offset: int = 0
    length: int = 1048576


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPiece:
    """Bytes of a recording; `size` is the whole."""

    data: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingExport:
    """A recording as asciicast v2; `cursor` 0 is its beginning, others come from `CastPiece.next`."""

    session: str
    cursor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CastPiece:
    """A part of an asciicast, at most about 1 MiB; the parts in their order are the whole file."""

    text: str
    next: int | None
    """The cursor of the part that follows; `None` after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsQuery:
    """Which events, newest first."""

    limit: int = 100
    event: str = ""
    user: str = ""
    session: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventList:
    """Events as they stand in the log."""

    events: tuple[dict[str, Any], ...]


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="sessions.list",
        summary="List sessions",
        request=SessionsQuery,
        response=SessionList,
        callers=CONSOLE_OR_PERSON,
    ),
    Operation(
        name="recordings.read",
        summary="Read a piece of a recording",
        request=RecordingRead,
        response=RecordingPiece,
        callers=CONSOLE_OR_PERSON,
    ),
    Operation(
        name="recordings.export",
        summary="Read a recording as an asciicast, part by part",
        request=RecordingExport,
        response=CastPiece,
        callers=CONSOLE_OR_PERSON,
    ),
    Operation(
        name="events.list",
        summary="List events of the audit log",
        request=EventsQuery,
        response=EventList,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("event", "list"),
    ),
)
