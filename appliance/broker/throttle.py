"""Waiting times kept in the store: per source, and per (user, source)."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import timedelta

from appliance.authn.throttle import Curve
from appliance.broker.ports import Clock
from appliance.broker.state import State
from appliance.domain.errors import Exists, Throttled

TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """Asks before a proof is looked at, and counts after."""

    state: State
    clock: Clock
    per_pair: Curve
    per_source: Curve

    def check(self, user: str, source: str) -> None:
        """Raise `Throttled` while this source must wait."""
        now, longest = self.clock.now(), timedelta(0)
        for key, curve in self._counters(user, source):
            found = self.state.failures.find(key)
            longest = max(longest, curve.wait(found.value if found else None, now))
        if longest:
            raise Throttled(math.ceil(longest.total_seconds()))

    def failed(self, user: str, source: str) -> None:
        """Count one failure; of two at the same time both count."""
        for key, curve in self._counters(user, source):
            self._count(key, curve)

    def succeeded(self, user: str, source: str) -> None:
        """Forget the failures of this user from this source; those of the source stay."""
        key, _ = self._counters(user, source)[0]
        if self.state.failures.find(key):
            self.state.failures.delete(key)

    def _counters(self, user: str, source: str) -> tuple[tuple[str, Curve], tuple[str, Curve]]:
        return (_key("pair", user, source), self.per_pair), (_key("source", source), self.per_source)

    def _count(self, key: str, curve: Curve) -> None:
        now = self.clock.now()
        for _ in range(TRIES):
            if self.state.failures.find(key):
                self.state.failures.modify(key, lambda old: curve.after_failure(old, key, now))
                return
            try:
                self.state.failures.create(curve.after_failure(None, key, now))
            except Exists:
                continue
            return


def _key(*parts: str) -> str:
    """Names typed by strangers become keys of one size and alphabet."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
