"""A person's own devices (mission row A7): adding or removing one takes a fresh proof by another.

The last device that the cluster accepts stays while a second factor is required, so that nobody locks
themselves out and no thief of a browser session takes an account over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from appliance.authn.requirement import SETTINGS
from appliance.broker.challenges import LIFE, Challenges
from appliance.broker.enrolment import Ceremony, Enrolment, device_name
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.state import State
from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, Invalid, NotFound, ProofNeeded
from appliance.domain.events import Event, EventName, Value
from appliance.domain.operations import devices
from appliance.domain.operations.challenges import Scope
from appliance.domain.records import Credentials, TotpDevice, WebauthnDevice
from appliance.store.repository import Repository

if TYPE_CHECKING:
    from appliance.broker.callers import Person
    from appliance.domain.operations.operation import Nothing

MAX_DEVICES = 16
Device = TotpDevice | WebauthnDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A device that is being added."""

    id: str
    user: str
    name: str
    ceremony: Ceremony
    proof: str
    """The challenge that was met for this; empty for somebody's first device."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """List, add, remove: always the caller's own."""

    state: State
    enrolment: Enrolment
    challenges: Challenges
    random: Randomness
    trail: Trail
    clock: Clock

    @property
    def begun(self) -> Repository[Begun]:
        """Devices that are being added."""
        return Repository(
            self.state.backend,
            prefix="device_ceremonies",
            kind=Begun,
            name=lambda one: one.id,
            expires=lambda one: one.expires_at,
        )

    def list(self, identity: Person, request: Nothing) -> devices.DeviceList:
        """Return the caller's devices, oldest first."""
        del request
        return _listed(self.state.credentials.get(identity.user).value)

    def begin(self, identity: Person, request: devices.DeviceBegin) -> devices.DeviceOffered:
        """Offer a ceremony for a new device."""
        credentials = self.state.credentials.get(identity.user).value
        name = self._fresh_name(credentials, request)
        facts = {"action": "add", "factor": str(request.factor), "name": name}
        self._prove(identity, facts, ("Add a second factor", f"{request.factor}: {name}"))
        device = self.random.uuid()
        offer, ceremony = self.enrolment.offered(credentials, request.factor, device)
        self.begun.create(
            Begun(
                id=device,
                user=identity.user,
                name=name,
                ceremony=ceremony,
                proof=identity.proof,
                expires_at=self.clock.now() + LIFE,
            )
        )
        return devices.DeviceOffered(id=device, offer=offer)

    def finish(self, identity: Person, request: devices.DeviceFinish) -> devices.DeviceView:
        """Add the device that was begun, if it works; a ceremony is good for one try."""
        found = self.begun.find(request.id)
        if found is None or found.value.user != identity.user:
            raise NotFound("this was begun too long ago: begin again")
        self.begun.delete(request.id, found.revision)
        begun, stored = found.value, self.state.credentials.get(identity.user)
        added = self.enrolment.with_device(stored.value, begun.ceremony, begun.name, request.proof)
        self._record(
            EventName.MFA_ADD, replace(identity, proof=begun.proof), begun.ceremony.factor, begun.name
        )
        self.state.credentials.update(added, stored.revision)
        return next(one for one in _listed(added).devices if one.id == begun.id)

    def remove(self, identity: Person, request: devices.DeviceNamed) -> devices.DeviceList:
        """Remove a device, by a proof of another one."""
        stored = self.state.credentials.get(identity.user)
        device = next((one for one in _all(stored.value) if one.id == request.id), None)
        if device is None:
            raise NotFound("there is no such device")
        rest = _without(stored.value, device.id)
        self._check_last(rest)
        by_itself = not self.challenges.factors(identity.user, without=device.id)
        words = ("Remove a second factor", f"{_factor(device)}: {device.name}")
        facts = {"action": "remove", "device": device.id}
        self._prove(identity, facts, words, without="" if by_itself else device.id)
        # Read again: the proof has used a counter or a time step up.
        stored = self.state.credentials.get(identity.user)
        rest = _without(stored.value, device.id)
        self._record(EventName.MFA_DELETE, identity, _factor(device), device.name)
        self.state.credentials.update(rest, stored.revision)
        return _listed(rest)

    def _check_last(self, rest: Credentials) -> None:
        settings = self.challenges.preferences.current()
        allowed = {SETTINGS[name] for name in settings.second_factors}
        if settings.required and not any(_factor(one) in allowed for one in _all(rest)):
            raise Conflict("this is your last second factor, and one is required: add another first")

    def _fresh_name(self, credentials: Credentials, request: devices.DeviceBegin) -> str:
        if request.factor not in {
            SETTINGS[name] for name in self.challenges.preferences.current().second_factors
        }:
            raise Invalid(f"{request.factor} can't be enrolled in this cluster")
        name = device_name(request.name)
        known = _all(credentials)
        if any(one.name == name for one in known):
            raise Invalid(f"you have a device called {name} already")
        if len(known) >= MAX_DEVICES:
            raise Invalid(f"at most {MAX_DEVICES} devices: remove one first")
        return name

    def _prove(
        self, identity: Person, facts: dict[str, str], words: tuple[str, ...], *, without: str = ""
    ) -> None:
        if identity.proof:
            self.challenges.spend(identity.proof, identity.user, Scope.DEVICES, facts)
        elif self.challenges.factors(identity.user):
            begun = self.challenges.begin(identity.user, Scope.DEVICES, facts, words, without=without)
            raise ProofNeeded(begun.id)

    def _record(self, name: EventName, identity: Person, factor: Factor, device: str) -> None:
        detail: dict[str, Value] = {"factor": str(factor), "device": device, "challenge": identity.proof}
        self.trail.record(Event(name=name, user=identity.user, source=identity.source, detail=detail))


def _all(credentials: Credentials) -> tuple[Device, ...]:
    return (*credentials.totp, *credentials.webauthn)


def _without(credentials: Credentials, device: str) -> Credentials:
    return replace(
        credentials,
        totp=tuple(one for one in credentials.totp if one.id != device),
        webauthn=tuple(one for one in credentials.webauthn if one.id != device),
    )


def _factor(device: Device) -> Factor:
    match device:
        case TotpDevice():
            return Factor.TOTP
        case WebauthnDevice():
            return Factor.WEBAUTHN
        case unknown:
            assert_never(unknown)


def _listed(credentials: Credentials) -> devices.DeviceList:
    found = sorted(_all(credentials), key=lambda one: one.created_at)
    return devices.DeviceList(devices=tuple(_view(one) for one in found))


def _view(device: Device) -> devices.DeviceView:
    model = ""
    if isinstance(device, WebauthnDevice):
        model = str(json.loads(device.credential).get("aaguid", ""))
    return devices.DeviceView(
        id=device.id,
        name=device.name,
        factor=_factor(device),
        model=model,
        created_at=device.created_at,
        last_used=device.last_used,
    )
