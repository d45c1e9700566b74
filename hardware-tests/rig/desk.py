"""The virtual keys of a run, by label: shared by all virtual benches."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from authenticators.virtual.faults import FaultPlan, parse_fault
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.profile import profile_named
from authenticators.virtual.state import KeyState
from authenticators.virtual.store import MemoryStore

TOUCH_TIMEOUT = 1.0


@dataclass
class Desk:
    """Keys that lie about."""

    keys: dict[str, VirtualKey] = field(default_factory=dict)

    def make(self, label: str, model: str, faults: tuple[str, ...]) -> VirtualKey:
        """Put a fresh key there."""
        key = self._key(KeyState.fresh(profile_named(model), os.urandom))
        self.keys[label] = key
        self.misbehave(label, faults)
        return key

    def clone(self, label: str, copy: str) -> None:
        """Put a copy of a key there."""
        self.keys[copy] = self._key(self.keys[label].state)

    def misbehave(self, label: str, faults: tuple[str, ...]) -> None:
        """Give a key new faults, counted from now."""
        key = self.keys[label]
        key.faults = FaultPlan(tuple(parse_fault(text) for text in faults))
        key.operation = -1

    @staticmethod
    def _key(state: KeyState) -> VirtualKey:
        return VirtualKey(
            store=MemoryStore(state), entropy=os.urandom, clock=time.monotonic, gives_up_after=TOUCH_TIMEOUT
        )
