"""Live sessions: what the edge reports of them, which must end, and their recordings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from appliance.broker.authorities import Authorities
from appliance.broker.issue import Issuer
from appliance.broker.ports import Clock, Recordings, Trail
from appliance.broker.state import State, serial_name
from appliance.certificates import templates
from appliance.certificates.lifetimes import Lifetimes
from appliance.domain import names
from appliance.domain.errors import Denied, Invalid, NotFound
from appliance.domain.events import BY_NAME, Event, EventName
from appliance.domain.operations import ssh
from appliance.domain.operations.operation import Nothing
from appliance.domain.records import AuthorityKind, Session

SILENT = timedelta(seconds=30)
"""A session that no worker has spoken of for so long is over: its worker died."""
RESERVED = frozenset(
    {"event", "code", "user", "login", "sid", "server_id", "addr.remote", "error", "success"}
    | {"time", "uid", "seq", "prev", "truncated", "rest"}
)
"""Fields of an event that a session's edge has no say in: who, where from, and what the log itself adds."""
MAX_BLOCK = 1 << 20
MAX_PULSE = 100_000


@dataclass(slots=True)
class Seen:
    """When each live session was last spoken of.

    In memory only: after a restart all have `SILENT` to report.
    """

    moments: dict[str, datetime] = field(default_factory=dict)
    swept: datetime | None = None
    """When it was last looked for silent ones."""
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIssued:
    """A host certificate of the bastion, and when to make the next."""

    blob: bytes
    renew_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What a proxy worker needs to serve."""

    state: State
    authorities: Authorities
    issuer: Issuer
    lifetimes: Lifetimes
    clock: Clock
    cluster: str
    bastion_names: tuple[str, ...]
    max_connections: int
    max_users: int
    issued: dict[tuple[tuple[str, ...], bytes, int], HostIssued] = field(default_factory=dict)
    """Certificates that still last: workers ask again every minute, and are given the same."""

    def register(self, identity: object, request: ssh.ProxyRegister) -> ssh.ProxyTrust:
        """Return names, authorities and limits, and certify the worker's host key."""
        del identity
        return ssh.ProxyTrust(
            cluster=self.cluster,
            bastion_names=self.bastion_names,
            bastion_certificate=self._certify(self.bastion_names, request.host_key),
            user_authorities=self.authorities.trusted(AuthorityKind.USER),
            host_authorities=self.authorities.trusted(AuthorityKind.HOST),
            max_connections=self.max_connections,
            max_users=self.max_users,
        )

    def certify(self, identity: object, request: ssh.HostCertify) -> ssh.HostCertified:
        """Certify the worker's key in the name of a node that exists."""
        del identity
        short = names.node_name(request.node.removesuffix(f".{self.cluster}"))
        if self.state.nodes.find(short) is None:
            raise NotFound("there is no such node")
        certificate = self._certify((f"{short}.{self.cluster}", short), request.host_key)
        return ssh.HostCertified(certificate=certificate)

    def _certify(self, principals: tuple[str, ...], host_key: bytes) -> bytes:
        now, life = self.clock.now(), self.lifetimes.proxy_host
        place = principals, host_key, self.authorities.signing(AuthorityKind.HOST).generation
        known = self.issued.get(place)
        if known is not None and now < known.renew_at:
            return known.blob
        spec = templates.host_ssh(names=principals, public_key=host_key, now=now, until=now + life)
        fresh = HostIssued(blob=self.issuer.ssh(spec), renew_at=now + life / 2)
        self.issued[place] = fresh
        return fresh.blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Sessions from the first report to the last."""

    state: State
    recordings: Recordings
    trail: Trail
    clock: Clock
    seen: Seen

    def report(self, identity: object, request: ssh.SessionReport) -> Nothing:
        """Put facts into the log; user, login, node and source come from the session, not from the edge."""
        del identity
        for fact in request.facts:
            if fact.event not in ssh.SESSION_EVENTS:
                raise Invalid(f"{fact.event!r} is not an event the edge can report")
            session = self._session(fact.session)
            self.trail.record(_event(BY_NAME[fact.event], session, dict(fact.fields)))
        return Nothing()

    def end(self, identity: object, request: ssh.SessionEnd) -> Nothing:
        """End a session once; a second report changes nothing."""
        del identity
        session = self._session(request.session)
        if session.ended_at is None:
            self._end(session, request.reason, request.bytes_in, request.bytes_out)
        return Nothing()

    def pulse(self, identity: object, request: ssh.Pulse) -> ssh.PulseAnswer:
        """Note which sessions live, and name those that must end and why."""
        del identity
        if len(request.sessions) > MAX_PULSE:
            raise Invalid(f"a pulse names at most {MAX_PULSE} sessions")
        now = self.clock.now()
        ends = {sid: reason for sid in request.sessions if (reason := self._verdict(sid))}
        live = [sid for sid in request.sessions if sid not in ends or self._is_live(sid)]
        with self.seen.lock:
            self.seen.moments.update(dict.fromkeys(live, now))
        return ssh.PulseAnswer(end=ends)

    def sweep(self) -> None:
        """End the sessions whose worker has fallen silent. Called every few seconds."""
        now = self.clock.now()
        self._mind_the_clock(now)
        for item in self.state.sessions.list():
            if item.value.ended_at is None and self._silent(item.value.id, now):
                self._end(item.value, "lost: the proxy stopped answering", 0, 0)

    def append(self, identity: object, request: ssh.RecordingBlock) -> Nothing:
        """Add a block to a recording."""
        del identity
        if len(request.data) > MAX_BLOCK:
            raise Invalid(f"a block has at most {MAX_BLOCK} bytes")
        self._session(request.session)
        self.recordings.append(request.session, request.offset, request.data)
        return Nothing()

    def finish(self, identity: object, request: ssh.RecordingFinish) -> Nothing:
        """Close a recording; the log has its size, and whether the end was lost."""
        del identity
        session = self._session(request.session)
        finished = self.recordings.finish(request.session)
        name = EventName.RECORDING_LOST if finished.lost else EventName.RECORDING_COMPLETE
        self.trail.record(_event(name, session, {"size": finished.size, "sha256": finished.head}))

        def keep(current: Session) -> Session:
            return replace(current, recording_size=finished.size, recording_lost=finished.lost)

        self.state.sessions.modify(session.id, keep)
        return Nothing()

    def _verdict(self, sid: str) -> str:
        session = self.state.sessions.find(names.session_id(sid))
        if session is None or session.value.ended_at is not None:
            return "the session was ended"
        if session.value.stop_reason:
            return session.value.stop_reason
        user = self.state.users.find(session.value.user)
        if user is None or not user.value.active or not user.value.covers(session.value.started_at):
            return "the account was removed"
        if self.state.nodes.find(session.value.node) is None:
            return "the node was removed"
        shown = self.state.certificates.find(serial_name(session.value.certificate))
        if shown is None or shown.value.revoked_at is not None:
            return "the certificate was revoked"
        return ""

    def _is_live(self, sid: str) -> bool:
        found = self.state.sessions.find(sid)
        return found is not None and found.value.ended_at is None

    def _mind_the_clock(self, now: datetime) -> None:
        """Give every session its time anew when the clock has jumped, or this process was asleep.

        Otherwise all of them would seem silent at once, or none for as long as the clock was set back.
        """
        with self.seen.lock:
            last, self.seen.swept = self.seen.swept, now
            if last is not None and not timedelta(0) <= now - last <= SILENT:
                self.seen.moments = dict.fromkeys(self.seen.moments, now)

    def _silent(self, sid: str, now: datetime) -> bool:
        with self.seen.lock:
            return now - self.seen.moments.setdefault(sid, now) > SILENT

    def _session(self, sid: str) -> Session:
        found = self.state.sessions.find(names.session_id(sid))
        if found is None:
            raise Denied(f"report of an unknown session {sid}")
        return found.value

    def _end(self, session: Session, reason: str, bytes_in: int, bytes_out: int) -> None:
        now = self.clock.now()
        detail: dict[str, str | int | bool] = {
            "reason": reason,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "seconds": int((now - session.started_at).total_seconds()),
        }
        self.trail.record(_event(EventName.SESSION_END, session, detail))

        def end(current: Session) -> Session:
            if current.ended_at is not None:
                return current
            return replace(current, ended_at=now, end_reason=reason, bytes_in=bytes_in, bytes_out=bytes_out)

        self.state.sessions.modify(session.id, end)
        with self.seen.lock:
            self.seen.moments.pop(session.id, None)


def _event(name: EventName, session: Session, detail: dict[str, str | int | bool]) -> Event:
    return Event(
        name=name,
        user=session.user,
        login=session.login,
        sid=session.id,
        server_id=session.node_id,
        source=session.source,
        error=str(detail.get("error", "")),
        detail={key: value for key, value in detail.items() if key not in RESERVED},
    )
