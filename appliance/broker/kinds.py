"""The kinds of resources: how each is found, written as a document, checked, and changed.

    Kind          find, all
    ├── Writable  planned: a document to the operations of the store that make it so
    └── Removable removal: the operations that take it away

A kind without one of the abilities is refused with the way it is done instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from appliance.broker.living_policy import role_of
from appliance.broker.ports import Clock
from appliance.broker.preferences import PreferenceDocument, Preferences
from appliance.broker.state import RoleDocument, State
from appliance.domain import auth_preference, codec
from appliance.domain.auth_preference import parse_preference, preference_to_document
from appliance.domain.document import DocumentError
from appliance.domain.errors import Conflict, Invalid
from appliance.domain.events import EventName, Value
from appliance.domain.records import Node, User
from appliance.domain.role_document import Document, parse_role
from appliance.domain.role_writing import role_to_document
from appliance.domain.user_document import parse_user, user_to_document
from appliance.policy.check import check_role
from appliance.policy.presets import PRESETS
from appliance.store.backend import Operation

SHOWN = 5
"""How many users of a role are named when it can't be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as it is kept; revision 0 where the store has none of its own."""

    name: str
    revision: int
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be written, and the event that tells of it; `after` None for a removal."""

    name: str
    after: Document | None
    operations: tuple[Operation, ...]
    event: EventName
    detail: Mapping[str, Value]


class Kind(Protocol):
    """A kind that can be read."""

    @property
    def name(self) -> str:
        """The kind's name, as documents have it."""

    def find(self, name: str) -> Resource | None:
        """Return the resource, or None."""

    def all(self) -> Iterator[Resource]:
        """Yield every resource of the kind, by name."""


@runtime_checkable
class Writable(Protocol):
    """A kind whose documents can be applied."""

    def planned(self, content: Document, actor: str, roles: frozenset[str]) -> Plan:
        """Return what applying the document takes; raises `DocumentError`.

        `roles` are the names of roles that the same transaction makes.
        """


@runtime_checkable
class Removable(Protocol):
    """A kind whose resources can be removed."""

    def removal(self, found: Resource, actor: str) -> Plan:
        """Return what removing takes; raises `Conflict` or `Invalid` when it may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKind:
    """Roles: the presets, and those of the store, which go before a preset of the same name."""

    state: State
    name: str = "role"

    def find(self, name: str) -> Resource | None:
        """Return the role's document."""
        stored = self.state.roles.find(name)
        if stored is not None:
            return _resource(role_to_document(role_of(stored.value)), name, stored.revision)
        preset = PRESETS.get(name)
        return None if preset is None else _resource(role_to_document(preset), name, 0)

    def all(self) -> Iterator[Resource]:
        """Yield the roles."""
        names = {*PRESETS, *(one.value.name for one in self.state.roles.list())}
        return (one for name in sorted(names) if (one := self.find(name)) is not None)

    def planned(self, content: Document, actor: str, roles: frozenset[str]) -> Plan:
        """Return what writing the role takes."""
        del actor, roles
        role = replace(parse_role(content), revision="")
        check_role(role)
        document = role_to_document(role)
        stored = self.state.roles.find(role.name)
        value = RoleDocument(name=role.name, document=codec.dumps(document).decode())
        known = stored is not None or role.name in PRESETS
        return Plan(
            name=role.name,
            after=document,
            operations=(
                self.state.roles.creation(value)
                if stored is None
                else self.state.roles.replacement(value, stored.revision),
            ),
            event=EventName.ROLE_UPDATE if known else EventName.ROLE_CREATE,
            detail={"target": role.name},
        )

    def removal(self, found: Resource, actor: str) -> Plan:
        """Return what removing the role takes; one that somebody holds stays."""
        del actor
        if found.revision == 0:
            raise Invalid(f"role {found.name} is a preset of the product and can't be removed")
        holders = [one.value.name for one in self.state.users.list() if found.name in one.value.roles]
        if holders:
            more = f" and {len(holders) - SHOWN} more" if len(holders) > SHOWN else ""
            raise Conflict(f"role {found.name} is held by {', '.join(holders[:SHOWN])}{more}")
        preset = PRESETS.get(found.name)
        return Plan(
            name=found.name,
            after=None if preset is None else role_to_document(preset),
            operations=(self.state.roles.deletion(found.name, found.revision),),
            event=EventName.ROLE_DELETE,
            detail={"target": found.name},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserKind:
    """Accounts. One made by a document is signed up by the link of `users reset`."""

    state: State
    clock: Clock
    name: str = "user"

    def find(self, name: str) -> Resource | None:
        """Return the account's document."""
        stored = self.state.users.find(name)
        return None if stored is None else _resource(user_to_document(stored.value), name, stored.revision)

    def all(self) -> Iterator[Resource]:
        """Yield the accounts."""
        return (
            _resource(user_to_document(one.value), one.value.name, one.revision)
            for one in self.state.users.list()
        )

    def planned(self, content: Document, actor: str, roles: frozenset[str]) -> Plan:
        """Return what making or changing the account takes."""
        said = parse_user(content)
        for place, role in enumerate(said.roles):
            if role not in roles | PRESETS.keys() and self.state.roles.find(role) is None:
                raise DocumentError(("spec", "roles", place), f"there is no role {role[:64]!r}")
        stored = self.state.users.find(said.name)
        fresh = User(
            name=said.name,
            roles=said.roles,
            traits=said.traits,
            created_at=self.clock.now(),
            created_by=actor,
        )
        user = fresh if stored is None else replace(stored.value, roles=said.roles, traits=said.traits)
        return Plan(
            name=said.name,
            after=user_to_document(user),
            operations=(
                self.state.users.creation(user)
                if stored is None
                else self.state.users.replacement(user, stored.revision),
            ),
            event=EventName.USER_CREATE if stored is None else EventName.USER_UPDATE,
            detail={"target": said.name, "logins": said.traits.get("logins", ()), "roles": said.roles},
        )

    def removal(self, found: Resource, actor: str) -> Plan:
        """Return what deleting the account takes: everything of it goes with it."""
        if actor == found.name:
            raise Invalid("you can't delete your own account")
        operations: list[Operation] = [self.state.users.deletion(found.name, found.revision)]
        if self.state.credentials.find(found.name):
            operations.append(self.state.credentials.deletion(found.name))
        operations += [
            self.state.invites.deletion(one.value.id, one.revision)
            for one in self.state.invites.list()
            if one.value.user == found.name and one.value.used_at is None
        ]
        return Plan(
            name=found.name,
            after=None,
            operations=tuple(operations),
            event=EventName.USER_DELETE,
            detail={"target": found.name},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """Machines; they are added by `nodes add`, which proves their host key."""

    state: State
    name: str = "node"

    def find(self, name: str) -> Resource | None:
        """Return the machine's document."""
        stored = self.state.nodes.find(name)
        return None if stored is None else _resource(_node_document(stored.value), name, stored.revision)

    def all(self) -> Iterator[Resource]:
        """Yield the machines."""
        return (
            _resource(_node_document(one.value), one.value.name, one.revision)
            for one in self.state.nodes.list()
        )

    def removal(self, found: Resource, actor: str) -> Plan:
        """Return what removing the machine takes."""
        del actor
        return Plan(
            name=found.name,
            after=None,
            operations=(self.state.nodes.deletion(found.name, found.revision),),
            event=EventName.NODE_DELETE,
            detail={"target": found.name},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceKind:
    """The one `cluster_auth_preference`; removing it makes the file's settings hold again."""

    preferences: Preferences
    name: str = auth_preference.KIND

    def find(self, name: str) -> Resource | None:
        """Return the settings as a document."""
        if name != auth_preference.NAME:
            return None
        stored = self.preferences.stored()
        document = preference_to_document(self.preferences.current())
        return _resource(document, name, 0 if stored is None else stored.revision)

    def all(self) -> Iterator[Resource]:
        """Yield the one."""
        return (one for one in (self.find(auth_preference.NAME),) if one is not None)

    def planned(self, content: Document, actor: str, roles: frozenset[str]) -> Plan:
        """Return what writing the settings takes."""
        del actor, roles
        document = preference_to_document(parse_preference(content, self.preferences.file))
        value = PreferenceDocument(name=auth_preference.NAME, document=codec.dumps(document).decode())
        stored, kept = self.preferences.stored(), self.preferences.kept
        return Plan(
            name=auth_preference.NAME,
            after=document,
            operations=(
                kept.creation(value) if stored is None else kept.replacement(value, stored.revision),
            ),
            event=EventName.AUTH_PREFERENCE_UPDATE,
            detail=_flat(document),
        )

    def removal(self, found: Resource, actor: str) -> Plan:
        """Return what going back to the file's settings takes."""
        del actor
        if found.revision == 0:
            raise Invalid("the settings of the configuration file hold already")
        return Plan(
            name=found.name,
            after=preference_to_document(self.preferences.file),
            operations=(self.preferences.kept.deletion(found.name, found.revision),),
            event=EventName.AUTH_PREFERENCE_UPDATE,
            detail={"source": "file"},
        )


def _resource(document: Document, name: str, revision: int) -> Resource:
    if revision:
        metadata: Any = document["metadata"]
        document = {**document, "metadata": {**metadata, "revision": str(revision)}}
    return Resource(name=name, revision=revision, document=document)


def _flat(document: Document) -> dict[str, Value]:
    spec: Any = document["spec"]
    return {name: str(value) for name, value in spec.items() if name != "message_of_the_day"}


def _node_document(node: Node) -> Document:
    return {
        "kind": "node",
        "version": "v2",
        "metadata": {"name": node.name, "labels": dict(sorted(node.labels.items()))},
        "spec": {"id": node.id, "addr": node.address, "hostname": node.name, "type": str(node.kind)},
    }
