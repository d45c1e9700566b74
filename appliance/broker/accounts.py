"""Users and the links that let them choose their own secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from appliance.authn.requirement import enrolled
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.roles import Roles
from appliance.broker.state import State
from appliance.domain import names
from appliance.domain.errors import Denied, Exists, Invalid, NotFound
from appliance.domain.events import Event, EventName, Value
from appliance.domain.operations import people
from appliance.domain.operations.operation import Nothing
from appliance.domain.records import Invite, InviteKind, User
from appliance.store.backend import Create, Delete, Swap

if TYPE_CHECKING:
    from appliance.broker.callers import Identity
    from appliance.store.repository import Stored

Op = Create | Delete | Swap
SKEW = timedelta(minutes=1)
"""A link from further in the future is not good: the clock was set back, and that must not extend it."""
SHORTEST_LINK = timedelta(minutes=1)
LONGEST_LINK = timedelta(hours=48)

ID_BYTES = 9
SECRET_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Sign-up links: an id that is looked up, and a secret of 192 bits of which only a hash is kept."""

    state: State
    random: Randomness
    trail: Trail
    clock: Clock
    web_address: str

    def make(self, user: str, kind: InviteKind, life: timedelta) -> tuple[Invite, str]:
        """Return the record to be stored and the link to be shown."""
        if not SHORTEST_LINK <= life <= LONGEST_LINK:
            raise Invalid(f"ttl of {life.total_seconds():.0f} s: expected 60 s to 172800 s (48 hours)")
        now, token = self.clock.now(), self.random.bytes(ID_BYTES + SECRET_BYTES)
        invite = Invite(
            id=token[:ID_BYTES].hex(),
            secret_hash=hashlib.sha256(token[ID_BYTES:]).digest(),
            user=user,
            kind=kind,
            created_at=now,
            expires_at=now + life,
        )
        text = base64.urlsafe_b64encode(token).decode("ascii")
        return invite, f"https://{self.web_address}/web/invite/{text}"

    def open(self, token: str) -> Stored[Invite]:
        """Return the record of a link that is still good.

        Raises `NotFound` with what is wrong with it, which is in the log by then.
        """
        found = self._find(token)
        if found is None:
            self._refuse("", "this link is not one of ours, or was altered: copy it whole")
        if found.value.used_at is not None:
            self._refuse(found.value.user, "this link was used already: each works once")
        if (
            not found.value.created_at <= self.clock.now() + SKEW
            or found.value.expires_at <= self.clock.now()
        ):
            self._refuse(found.value.user, "this link has expired: ask for a new one")
        return found

    def voided(self, user: str) -> list[Delete]:
        """Return the operations that take back every other link this person was sent."""
        return [
            self.state.invites.deletion(found.value.id, found.revision)
            for found in self.state.invites.list()
            if found.value.user == user and found.value.used_at is None
        ]

    def _refuse(self, user: str, problem: str) -> NoReturn:
        self.trail.record(Event(name=EventName.INVITE_USE, user=user, error=problem))
        raise NotFound(problem)

    def _find(self, token: str) -> Stored[Invite] | None:
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except ValueError:
            return None
        if len(raw) != ID_BYTES + SECRET_BYTES:
            return None
        found = self.state.invites.find(raw[:ID_BYTES].hex())
        given = hashlib.sha256(raw[ID_BYTES:]).digest()
        return found if found and hmac.compare_digest(found.value.secret_hash, given) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Create, list, change, reset and delete users."""

    state: State
    links: Links
    roles: Roles
    trail: Trail
    clock: Clock
    reset_life: timedelta

    def create(self, identity: Identity, request: people.UserCreate) -> people.InviteLink:
        """Make an account that is not active until its link was used."""
        name = names.user_name(request.name)
        logins = tuple(names.login(login) for login in request.logins) or (names.login(name),)
        self.roles.known(request.roles)
        if self.state.users.find(name) is not None:
            raise Exists(f"there is a user {name} already")
        user = User(
            name=name,
            roles=request.roles,
            traits={"logins": logins},
            created_at=self.clock.now(),
            created_by=identity.actor,
        )
        life = timedelta(seconds=_seconds(request.ttl_seconds))
        invite, url = self.links.make(name, InviteKind.SIGN_UP, life)
        detail: dict[str, Value] = {"target": name, "logins": logins, "roles": request.roles}
        self.trail.record(Event(name=EventName.USER_CREATE, user=identity.actor, detail=detail))
        self.state.backend.transact([self.state.users.creation(user), self.state.invites.creation(invite)])
        return people.InviteLink(user=name, url=url, expires_at=invite.expires_at)

    def list(self, identity: Identity, request: Nothing) -> people.UserList:
        """Return all accounts."""
        del identity, request
        return people.UserList(users=tuple(self._view(item.value) for item in self.state.users.list()))

    def update(self, identity: Identity, request: people.UserUpdate) -> people.UserView:
        """Change logins or roles; it holds from the next connection on."""
        user = self._named(request.name)
        roles = user.value.roles if request.roles is None else request.roles
        self.roles.known(roles)
        logins = user.value.traits.get("logins", ())
        if request.logins is not None:
            logins = tuple(names.login(login) for login in request.logins)
        changed = replace(user.value, roles=roles, traits={**user.value.traits, "logins": logins})
        detail: dict[str, Value] = {"target": request.name, "logins": logins, "roles": roles}
        self.trail.record(Event(name=EventName.USER_UPDATE, user=identity.actor, detail=detail))
        self.state.users.update(changed, user.revision)
        return self._view(changed)

    def reset(self, identity: Identity, request: people.UserNamed) -> people.InviteLink:
        """Take password and factors away, and make a link to enrol anew."""
        user = self._named(request.name)
        invite, url = self.links.make(request.name, InviteKind.RESET, self.reset_life)
        self.trail.record(
            Event(name=EventName.USER_RESET, user=identity.actor, detail={"target": request.name})
        )
        operations: list[Op] = [
            self.state.users.replacement(replace(user.value, active=False), user.revision),
            self.state.invites.creation(invite),
            *self.links.voided(request.name),
        ]
        if self.state.credentials.find(request.name):
            operations.append(self.state.credentials.deletion(request.name))
        self.state.backend.transact(operations)
        return people.InviteLink(user=request.name, url=url, expires_at=invite.expires_at)

    def delete(self, identity: Identity, request: people.UserNamed) -> Nothing:
        """Delete the account; its live sessions end with the next pulse."""
        user = self._named(request.name)
        if getattr(identity, "user", None) == request.name:
            raise Denied("deletes themselves", message="you can't delete your own account")
        self.trail.record(
            Event(name=EventName.USER_DELETE, user=identity.actor, detail={"target": request.name})
        )
        operations: list[Op] = [
            self.state.users.deletion(request.name, user.revision),
            *self.links.voided(request.name),
        ]
        if self.state.credentials.find(request.name):
            operations.append(self.state.credentials.deletion(request.name))
        self.state.backend.transact(operations)
        return Nothing()

    def _named(self, name: str) -> Stored[User]:
        user = self.state.users.find(names.user_name(name))
        if user is None:
            raise NotFound(f"there is no user {name}")
        return user

    def _view(self, user: User) -> people.UserView:
        credentials = self.state.credentials.find(user.name)
        return people.UserView(
            name=user.name,
            logins=user.traits.get("logins", ()),
            roles=user.roles,
            active=user.active,
            factors=tuple(sorted(enrolled(credentials.value))) if credentials else (),
            created_at=user.created_at,
            created_by=user.created_by,
        )


def _seconds(asked: int) -> int:
    """Return the number, or one that is too long as well, but that a `timedelta` can hold."""
    return max(-1, min(asked, 2 * int(LONGEST_LINK.total_seconds())))
