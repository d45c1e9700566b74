"""The compiled policy, in step with the store: before each question, what changed since the last is taken in.

Following costs a look at a counter while nothing changes. A role that can't be read is taken for gone, and
whoever holds it is denied: it may have denied them something.
"""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING

from appliance.broker import preferences
from appliance.domain import codec
from appliance.domain.errors import Invalid
from appliance.domain.role_document import parse_role
from appliance.policy.compiled import CompiledPolicy
from appliance.policy.presets import PRESETS
from appliance.store import keys
from appliance.store.backend import Item, Removed, Watch
from appliance.store.errors import Compacted

if TYPE_CHECKING:
    from appliance.broker.preferences import Preferences
    from appliance.broker.state import RoleDocument, State
    from appliance.domain.role import Role
    from appliance.store.backend import Change

ROLES, NODES, SETTINGS = "roles/", "nodes/", f"{preferences.PREFIX}/"
log = logging.getLogger(__name__)


def role_of(stored: RoleDocument) -> Role:
    """Return a stored role; raises `Invalid`."""
    document = codec.parse_json(stored.document)
    if not isinstance(document, dict):
        raise Invalid(f"role {stored.name}: not a document")
    return parse_role(document)


class LivingPolicy:
    """Hands out the one `CompiledPolicy`, brought up to date."""

    def __init__(self, state: State, settings: Preferences) -> None:
        self._state = state
        self._settings = settings
        self._lock = Lock()
        self._policy, self._watches = self._built()

    def current(self) -> CompiledPolicy:
        """Return the policy with every change committed before this call."""
        with self._lock:
            try:
                changes = [change for watch in self._watches for change in watch.poll(0)]
            except Compacted:
                self._policy, self._watches = self._built()
                changes = []
            for change in changes:
                self._take(change)
            return self._policy

    def _built(self) -> tuple[CompiledPolicy, tuple[Watch, ...]]:
        backend = self._state.backend
        revision = backend.revision()
        policy = CompiledPolicy(PRESETS.values(), cluster=self._settings.policy())
        for stored in self._state.roles.list():
            _put_role(policy, stored.value)
        policy.nodes.put_many((one.value.name, one.value.labels) for one in self._state.nodes.list())
        watches = tuple(backend.watch(prefix, after=revision) for prefix in (ROLES, NODES, SETTINGS))
        return policy, watches

    def _take(self, change: Change) -> None:
        if change.key.startswith(ROLES):
            self._take_role(change)
        elif change.key.startswith(NODES):
            self._take_node(change)
        else:
            self._policy.set_cluster(self._settings.policy())

    def _take_role(self, change: Change) -> None:
        if isinstance(change, Item):
            _put_role(self._policy, self._state.roles.decode(change).value)
            return
        name = _name(change)
        self._policy.remove_role(name)
        if name in PRESETS:
            self._policy.put_role(PRESETS[name])

    def _take_node(self, change: Change) -> None:
        if isinstance(change, Item):
            node = self._state.nodes.decode(change).value
            self._policy.nodes.put(node.name, node.labels)
        else:
            self._policy.nodes.remove(_name(change))


def _put_role(policy: CompiledPolicy, stored: RoleDocument) -> None:
    try:
        policy.put_role(role_of(stored))
    except Invalid:
        log.exception("role %s can't be read: whoever holds it is denied", stored.name)
        policy.remove_role(stored.name)


def _name(change: Removed) -> str:
    return keys.names(change.key)[-1]
