"""Rotating an authority: a phase at a time, by hand or on a timer, and back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.broker.authorities import Authorities
from appliance.broker.ports import Clock, Custody, Trail
from appliance.broker.state import State
from appliance.certificates import rotation
from appliance.domain.errors import Conflict, Invalid
from appliance.domain.events import Event, EventName
from appliance.domain.operations import custody as messages
from appliance.domain.records import Authority, AuthorityKind, RotationPhase
from hsm.encoding import public_key

if TYPE_CHECKING:
    from appliance.broker.callers import Identity
    from appliance.domain.operations.operation import Nothing
    from appliance.store.repository import Stored

ROTATED = (AuthorityKind.USER, AuthorityKind.OPENSSH, AuthorityKind.HOST, AuthorityKind.TLS)
TIMER = "timer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Changes which keys sign and which are trusted; nothing here deletes a key from the token."""

    state: State
    custody: Custody
    authorities: Authorities
    trail: Trail
    clock: Clock

    def list(self, identity: object, request: Nothing) -> messages.RotationList:
        """Return where each authority stands."""
        del identity, request
        views = tuple(_view(self.state.authorities.get(kind).value) for kind in ROTATED)
        return messages.RotationList(authorities=views)

    def go(self, identity: Identity, request: messages.Rotate) -> messages.RotationStatus:
        """Go to a phase; with a grace, the later phases follow by themselves."""
        if request.kind not in ROTATED:
            raise Invalid(f"the {request.kind} key is not rotated: expected {', '.join(ROTATED)}")
        if request.grace_seconds and request.phase is not RotationPhase.INIT:
            raise Invalid("grace: a rotation is put on a timer when it begins, with phase init")
        stored = self.state.authorities.get(request.kind)
        changed = self._moved(stored, request.phase, identity.actor)
        if request.phase is RotationPhase.INIT and request.grace_seconds:
            grace = timedelta(seconds=request.grace_seconds)
            changed = rotation.on_timer(changed, grace, self.clock.now())
        self.state.authorities.update(changed, stored.revision)
        return _view(changed)

    def tick(self) -> None:
        """Move on the rotations whose time has come. Called every few seconds."""
        now = self.clock.now()
        for kind in ROTATED:
            stored = self.state.authorities.get(kind)
            phase = rotation.due(stored.value, now)
            if phase is None:
                continue
            changed = self._moved(stored, phase, TIMER)
            if phase is not RotationPhase.STANDBY:
                grace = timedelta(seconds=changed.grace_seconds)
                changed = replace(changed, next_phase_at=now + grace)
            with suppress(Conflict):  # somebody went on by hand in this moment: their phase is the one
                self.state.authorities.update(changed, stored.revision)

    def _moved(self, stored: Stored[Authority], phase: RotationPhase, actor: str) -> Authority:
        authority = stored.value
        rotation.check(authority, phase)
        if phase is RotationPhase.INIT:
            self.custody.check_new_keys((authority.kind,))
        detail = {"authority": str(authority.kind), "from": str(authority.phase), "to": str(phase)}
        self.trail.record(Event(name=EventName.AUTHORITY_ROTATE, user=actor, detail=detail))
        if phase is RotationPhase.INIT:
            key = self.custody.fresh_key(authority.kind)
            self.authorities.record_own(key)
            return rotation.begun(authority, key)
        return rotation.moved(authority, phase)


def _view(authority: Authority) -> messages.RotationStatus:
    keys = sorted(authority.trusted, key=lambda key: key != authority.signing)
    return messages.RotationStatus(
        kind=authority.kind,
        phase=authority.phase,
        next_phase_at=authority.next_phase_at,
        can_go_to=rotation.FOLLOWERS[authority.phase],
        fingerprints=tuple(public_key.fingerprint(key.public_key) for key in keys),
    )
