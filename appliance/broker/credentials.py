"""An accepted attempt, spent: for certificates, or for a browser session."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.authn.requirement import enrolled
from appliance.broker.authorities import Authorities
from appliance.broker.callers import Identity, Person
from appliance.broker.issue import Issuer, line
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.preferences import Preferences
from appliance.broker.roles import Roles
from appliance.broker.sign_in import SignIn
from appliance.broker.state import State
from appliance.certificates import templates
from appliance.certificates.lifetimes import Lifetimes
from appliance.domain.errors import Denied, NotFound
from appliance.domain.events import Event, EventName
from appliance.domain.operations import OPERATIONS, Caller, custody, people
from appliance.domain.records import AuthorityKind, User, WebSession

if TYPE_CHECKING:
    from appliance.domain.operations.operation import Nothing

TOKEN_BYTES = 32
IDLE = timedelta(minutes=15)
ABSOLUTE = timedelta(hours=12)
MAX_BROWSERS = 5
TOUCH_EVERY = timedelta(seconds=30)
"""How often the time of last use is written; once a request would be a write a click."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonKeys:
    """The two public keys of a person's machine. `tls` is a DER SubjectPublicKeyInfo."""

    ssh: bytes
    tls: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Certificates for people."""

    state: State
    sign_in: SignIn
    issuer: Issuer
    authorities: Authorities
    roles: Roles
    preferences: Preferences
    lifetimes: Lifetimes
    clock: Clock
    cluster: str

    def issue(self, identity: object, request: people.CredentialsRequest) -> people.IssuedCredentials:
        """Spend an accepted attempt for certificates over the person's keys."""
        del identity
        user = self.sign_in.spend(request.attempt, request.source)
        keys = PersonKeys(ssh=request.ssh_public_key, tls=request.tls_public_key)
        return self.certify(user, keys, request.ttl_seconds)

    def sign(self, identity: Identity, request: custody.IdentitySign) -> people.IssuedCredentials:
        """Certify keys for a user at the console; for oneself elsewhere, never longer than what one holds."""
        keys = PersonKeys(ssh=request.ssh_public_key, tls=request.tls_public_key)
        ttl = request.ttl_seconds
        if isinstance(identity, Person):
            ttl = self._within(identity, request)
        detail = {"target": request.user, "method": "identity file"}
        self.issuer.trail.record(Event(name=EventName.USER_LOGIN, user=identity.actor, detail=detail))
        return self.certify(request.user, keys, ttl)

    def _within(self, person: Person, request: custody.IdentitySign) -> int:
        if request.user != person.user:
            raise Denied(f"identity of {request.user} asked for by {person.user}")
        if person.expires_at is None:
            raise Denied("identity file asked for by a web session")
        left = int((person.expires_at - self.clock.now()).total_seconds())
        return min(request.ttl_seconds or left, left)

    def certify(self, name: str, keys: PersonKeys, ttl_seconds: int | None) -> people.IssuedCredentials:
        """Issue a person's two certificates, with one end for both."""
        found = self.state.users.find(name)
        if found is None or not found.value.active:
            raise Denied("no such user, or not signed up")
        user, now = found.value, self.clock.now()
        asked = None if ttl_seconds is None else timedelta(seconds=ttl_seconds)
        lifetimes = replace(self.lifetimes, default=self.preferences.current().default_session_ttl)
        until = now + lifetimes.person(asked, self.roles.longest_life(user))
        logins = user.traits.get("logins", ())
        ssh = templates.person_ssh(user=name, logins=logins, public_key=keys.ssh, now=now, until=until)
        tls = templates.person_tls(cluster=self.cluster, user=name, public_key=keys.tls, now=now, until=until)
        return people.IssuedCredentials(
            user=name,
            cluster=self.cluster,
            ssh_certificate=line(self.issuer.ssh(ssh, user=name), name),
            tls_certificate=self.issuer.tls(tls, user=name),
            tls_authorities=self.authorities.tls_certificates(),
            host_authority=self.authorities.openssh_lines(AuthorityKind.HOST),
            logins=logins,
            roles=user.roles,
            expires_at=until,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSessions:
    """Signed-in browsers: idle 15 minutes, 12 hours in all, five at once for a person."""

    state: State
    sign_in: SignIn
    roles: Roles
    random: Randomness
    trail: Trail
    clock: Clock
    cluster: str

    def create(self, identity: object, request: people.WebSessionCreate) -> people.WebSessionCreated:
        """Spend an accepted attempt for a session; the oldest of too many ends."""
        del identity
        user = self.sign_in.spend(request.attempt, request.source)
        token, now = self.random.bytes(TOKEN_BYTES), self.clock.now()
        session = WebSession(
            id=_digest(token),
            user=user,
            source=request.source,
            created_at=now,
            seen_at=now,
            expires_at=now + IDLE,
        )
        detail = {"method": "web"}
        self.trail.record(Event(name=EventName.USER_LOGIN, user=user, source=request.source, detail=detail))
        self._make_room(user)
        self.state.web_sessions.create(session)
        text = base64.urlsafe_b64encode(token).decode("ascii").rstrip("=")
        return people.WebSessionCreated(token=text, user=user, expires_at=now + ABSOLUTE)

    def person(self, token: str) -> Person:
        """Return whose session this is and note that it was used; raises `Denied`."""
        found = self.state.web_sessions.find(_digest(_raw(token)))
        if found is None:
            raise Denied("web session unknown or ended", message="signed out: sign in again")
        session, now = found.value, self.clock.now()
        if now - session.created_at >= ABSOLUTE:
            raise Denied("web session over 12 hours old", message="signed out: sign in again")
        user = self.state.users.find(session.user)
        if user is None or not user.value.covers(session.created_at):
            raise Denied("web session of an account as it was before", message="signed out: sign in again")
        if now - session.seen_at > TOUCH_EVERY:
            self._touch(session.id, now)
        return Person(user=session.user, source=session.source, web_session=session.id)

    def end(self, identity: Person, request: Nothing) -> Nothing:
        """Sign this browser out."""
        if identity.web_session and self.state.web_sessions.find(identity.web_session):
            self.state.web_sessions.delete(identity.web_session)
        return request

    def show(self, identity: Person, request: Nothing) -> people.Whoami:
        """Return the person as the store has them now."""
        del request
        user = self.state.users.get(identity.user).value
        credentials = self.state.credentials.find(user.name)
        return people.Whoami(
            user=user.name,
            logins=user.traits.get("logins", ()),
            roles=user.roles,
            factors=tuple(sorted(enrolled(credentials.value))) if credentials else (),
            cluster=self.cluster,
            may=self._may(user),
        )

    def _may(self, user: User) -> tuple[str, ...]:
        now = self.clock.now()
        return tuple(
            operation.name
            for operation in OPERATIONS.values()
            if Caller.PERSON in operation.callers
            and (operation.rule is None or self.roles.allows(user, operation.rule, now))
        )

    def _touch(self, session: str, now: datetime) -> None:
        def touch(current: WebSession) -> WebSession:
            return replace(current, seen_at=now, expires_at=min(now + IDLE, current.created_at + ABSOLUTE))

        try:
            self.state.web_sessions.modify(session, touch)
        except NotFound as error:
            raise Denied("web session ended meanwhile", message="signed out: sign in again") from error

    def _make_room(self, user: str) -> None:
        theirs = [item.value for item in self.state.web_sessions.list() if item.value.user == user]
        for old in sorted(theirs, key=lambda one: one.created_at)[: max(0, len(theirs) - MAX_BROWSERS + 1)]:
            self.state.web_sessions.delete(old.id)


def _raw(token: str) -> bytes:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()
