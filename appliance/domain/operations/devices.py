"""A person's own second factors (mission row A7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.domain.decision import Factor
from appliance.domain.operations.operation import Caller, Nothing, Operation
from appliance.domain.operations.people import CodeProof, TotpOffer, WebauthnOffer, WebauthnProof

PERSON = frozenset({Caller.PERSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device. `model` is the AAGUID of a security key, as a UUID; empty for other kinds."""

    id: str
    name: str
    factor: Factor
    model: str
    created_at: datetime
    last_used: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceList:
    """The person's devices, oldest first."""

    devices: tuple[DeviceView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBegin:
    """Begin to add a device; asks for a proof by one the person has."""

    factor: Factor
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOffered:
    """What the new device needs to know; `id` names it in the answer."""

    id: str
    offer: TotpOffer | WebauthnOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFinish:
    """The proof that the new device works."""

    id: str
    proof: CodeProof | WebauthnProof


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNamed:
    """A device of the person's, by id."""

    id: str


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="devices.list",
        summary="List one's own second factors",
        request=Nothing,
        response=DeviceList,
        callers=PERSON,
    ),
    Operation(
        name="devices.begin",
        summary="Begin to add a second factor of one's own; asks for a proof by another",
        request=DeviceBegin,
        response=DeviceOffered,
        callers=PERSON,
    ),
    Operation(
        name="devices.finish",
        summary="Add the second factor that was begun",
        request=DeviceFinish,
        response=DeviceView,
        callers=PERSON,
    ),
    Operation(
        name="devices.remove",
        summary="Remove a second factor of one's own; asks for a proof by another",
        request=DeviceNamed,
        response=DeviceList,
        callers=PERSON,
    ),
)
