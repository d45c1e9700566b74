"""The check of administrative actions (mission row M1): one gate, driven by the table of operations.

A person who calls an operation marked `admin` is asked for a fresh proof over exactly this call: operation,
digest of the canonical request, revision of what it changes, person, end. The console is exempt.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.broker.callers import Identity, Person
from appliance.broker.challenges import Challenges
from appliance.broker.ports import Trail
from appliance.broker.preferences import Preferences
from appliance.broker.words import words_of
from appliance.domain import codec
from appliance.domain.errors import ProofNeeded
from appliance.domain.events import Event, EventName
from appliance.domain.operations.challenges import Scope

if TYPE_CHECKING:
    from appliance.broker.state import State
    from appliance.domain.operations import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Asked before every operation, after the gate."""

    challenges: Challenges
    preferences: Preferences
    trail: Trail

    def check(self, operation: Operation[Any, Any], identity: Identity, request: object) -> None:
        """Return if the call may go on; raises `ProofNeeded` with a challenge, or `Denied`."""
        if not operation.admin or not isinstance(identity, Person):
            return
        if not self.preferences.current().checks_admin_actions:
            return
        facts = action_facts(self.challenges.state, operation, request)
        if not identity.proof:
            words = words_of(operation, request)
            challenge = self.challenges.begin(identity.user, Scope.ADMIN_ACTION, facts, words)
            raise ProofNeeded(challenge.id)
        spent = self.challenges.spend(identity.proof, identity.user, Scope.ADMIN_ACTION, facts)
        self.trail.record(
            Event(
                name=EventName.ADMIN_ACTION,
                user=identity.actor,
                source=identity.source,
                detail={"operation": operation.name, "challenge": spent.id, "words": spent.words},
            )
        )


def action_facts(state: State, operation: Operation[Any, Any], request: object) -> dict[str, str]:
    """Return what makes this action exactly this one, as texts."""
    return {
        "operation": operation.name,
        "request": hashlib.sha256(codec.dumps(request)).hexdigest(),
        "revision": _revision(state, operation, request),
    }


def _revision(state: State, operation: Operation[Any, Any], request: object) -> str:
    """Return the revision of the account or machine that would change; empty where it is new or has none."""
    name = getattr(request, "name", "")
    noun = operation.name.partition(".")[0]
    repositories: dict[str, Any] = {"users": state.users, "nodes": state.nodes}
    found = repositories[noun].find(name) if noun in repositories and name else None
    return "" if found is None else str(found.revision)
