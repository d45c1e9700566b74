"""Virtual keys for tests: a settable clock, real or repeatable randomness, and python-fido2's own client."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from typing import Any

from fido2.client import DefaultClientDataCollector, Fido2Client, UserInteraction

from authenticators.virtual.faults import FaultPlan
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.profile import profile_named
from authenticators.virtual.state import KeyState
from authenticators.virtual.store import MemoryStore

RP_ID = "bastion.example"
ORIGIN = f"https://{RP_ID}"


@dataclass
class ManualClock:
    """Seconds that pass only when told."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def seeded(seed: int):
    """Return an entropy source that repeats itself."""
    return random.Random(seed).randbytes


def make_key(
    model: str = "modern", *, clock=None, entropy=os.urandom, faults=None, **changes: Any
) -> VirtualKey:
    """Return a fresh key of that model, with changes to its profile."""
    profile = replace(profile_named(model), **changes)
    store = MemoryStore(KeyState.fresh(profile, entropy))
    return VirtualKey(
        store=store, entropy=entropy, clock=clock or ManualClock(), faults=faults or FaultPlan()
    )


class Person(UserInteraction):
    """Knows one PIN and counts how often they were asked for what."""

    def __init__(self, pin: str | None = None, *, allow_uv: bool = True):
        self.pin = pin
        self.allow_uv = allow_uv
        self.pins_asked = 0
        self.touches_asked = 0

    def prompt_up(self):
        self.touches_asked += 1

    def request_pin(self, permissions, rp_id):
        self.pins_asked += 1
        return self.pin

    def request_uv(self, permissions, rp_id):
        return self.allow_uv


def client_for(device, person: Person | None = None, origin: str = ORIGIN, **kwargs) -> Fido2Client:
    """Return python-fido2's client on that device."""
    return Fido2Client(
        device,
        client_data_collector=DefaultClientDataCollector(origin),
        user_interaction=person or Person(),
        **kwargs,
    )
