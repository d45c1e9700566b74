"""What people read: sessions, recordings, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from appliance.broker.callers import Identity, Person
from appliance.broker.ports import Clock, Recordings, Trail
from appliance.broker.roles import Roles
from appliance.broker.state import State
from appliance.domain import names
from appliance.domain.errors import Denied, Invalid, NotFound
from appliance.domain.events import Event, EventName
from appliance.domain.operations import Rule
from appliance.domain.operations import journal as messages

if TYPE_CHECKING:
    from appliance.domain.records import Session

MAX_PAGE = 1000
MAX_PIECE = 1 << 20
ALL_SESSIONS = Rule("session", "list")
ALL_RECORDINGS = Rule("session", "read")


READING = timedelta(minutes=10)
"""How long somebody who reads a recording piece by piece is one reader, of one event."""
MAX_READERS = 10_000


@dataclass(slots=True)
class Readers:
    """Who reads which recording just now. In memory only: after a restart they come anew."""

    since: dict[tuple[str, str], datetime] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def comes_new(self, actor: str, sid: str, now: datetime) -> bool:
        """Whether this reading has no event yet, or an old one."""
        with self.lock:
            began = self.since.get((actor, sid))
        return began is None or not timedelta(0) <= now - began < READING

    def came(self, actor: str, sid: str, now: datetime) -> None:
        """Note that the event is in the log."""
        with self.lock:
            if len(self.since) >= MAX_READERS:
                self.since.clear()
            self.since[actor, sid] = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Sessions, recordings and events; a person without the rule sees their own sessions."""

    state: State
    recordings: Recordings
    roles: Roles
    trail: Trail
    clock: Clock
    readers: Readers

    def sessions(self, identity: Identity, request: messages.SessionsQuery) -> messages.SessionList:
        """Return sessions, newest first."""
        if not 1 <= request.limit <= MAX_PAGE:
            raise Invalid(f"limit: expected 1 to {MAX_PAGE}")
        everybody = self._sees(identity, ALL_SESSIONS)
        chosen = [
            item.value
            for item in self.state.sessions.list()
            if (everybody or item.value.user == getattr(identity, "user", None))
            and not (request.live_only and item.value.ended_at)
        ]
        chosen.sort(key=lambda session: session.started_at, reverse=True)
        return messages.SessionList(sessions=tuple(self._view(one) for one in chosen[: request.limit]))

    def read(self, identity: Identity, request: messages.RecordingRead) -> messages.RecordingPiece:
        """Return a piece of a recording; that somebody reads it is an event, before the first piece."""
        if not 1 <= request.length <= MAX_PIECE or request.offset < 0:
            raise Invalid(f"length: expected 1 to {MAX_PIECE}")
        self._open(identity, request.session)
        data = self.recordings.read(request.session, request.offset, request.length)
        return messages.RecordingPiece(data=data, size=self.recordings.size(request.session))

    def export(self, identity: Identity, request: messages.RecordingExport) -> messages.CastPiece:
        """Return a part of a recording as an asciicast."""
        self._open(identity, request.session)
        text, following = self.recordings.cast(request.session, request.cursor)
        return messages.CastPiece(text=text, next=following)

    def events(self, identity: Identity, request: messages.EventsQuery) -> messages.EventList:
        """Return events, newest first."""
        del identity
        if not 1 <= request.limit <= MAX_PAGE:
            raise Invalid(f"limit: expected 1 to {MAX_PAGE}")
        return messages.EventList(events=self.trail.query(request))

    def _sees(self, identity: Identity, rule: Rule) -> bool:
        if not isinstance(identity, Person):
            return True
        user = self.state.users.get(identity.user).value
        return self.roles.allows(user, rule, self.clock.now())

    def _open(self, identity: Identity, sid: str) -> None:
        found = self.state.sessions.find(names.session_id(sid))
        mine = found is not None and found.value.user == getattr(identity, "user", None)
        if not mine and not self._sees(identity, ALL_RECORDINGS):
            raise Denied(
                f"recording {sid} of somebody else", message="there is no such session, or it is not yours"
            )
        if found is None:
            raise NotFound(f"there is no session {sid}")
        if self.readers.comes_new(identity.actor, sid, self.clock.now()):
            detail = {"session_user": found.value.user}
            event = Event(name=EventName.RECORDING_ACCESS, user=identity.actor, sid=sid, detail=detail)
            self.trail.record(event)
            self.readers.came(identity.actor, sid, self.clock.now())

    def _view(self, session: Session) -> messages.SessionView:
        return messages.SessionView(
            id=session.id,
            user=session.user,
            login=session.login,
            node=session.node,
            source=session.source,
            started_at=session.started_at,
            ended_at=session.ended_at,
            end_reason=session.end_reason,
            recording_size=session.recording_size or self.recordings.size(session.id),
            recording_lost=session.recording_lost,
        )
