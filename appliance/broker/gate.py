"""May this caller do this operation. Asked once, before every operation, from the one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.broker.callers import Identity, Person
from appliance.broker.ports import Clock, Trail
from appliance.broker.roles import Roles
from appliance.broker.state import State
from appliance.domain.errors import Denied
from appliance.domain.events import Event, EventName

if TYPE_CHECKING:
    from appliance.domain.operations import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Denies by default: the caller's kind must be in the table, and a person's roles must allow the rule."""

    state: State
    roles: Roles
    trail: Trail
    clock: Clock

    def check(self, operation: Operation[Any, Any], identity: Identity) -> None:
        """Return if the call may go on; raises `Denied`, which is in the log by then."""
        try:
            self._decide(operation, identity)
        except Denied as error:
            self.record(operation, identity, error)
            raise

    def record(self, operation: Operation[Any, Any], identity: Identity, error: Denied) -> None:
        """Put a refusal into the log."""
        self.trail.record(
            Event(
                name=EventName.ACCESS_DENIED,
                user=identity.actor,
                source=getattr(identity, "source", ""),
                error=error.reason,
                detail={"operation": operation.name},
            )
        )
        error.recorded = True

    def _decide(self, operation: Operation[Any, Any], identity: Identity) -> None:
        if identity.kind not in operation.callers:
            raise Denied(f"{operation.name} is not for a {identity.kind}")
        if not isinstance(identity, Person):
            return
        user = self.state.users.find(identity.user)
        if user is None or not user.value.active:
            raise Denied("no such user, or not signed up")
        if operation.rule is not None:
            self.roles.require(user.value, operation.rule, self.clock.now())
