"""Waiting times kept in the store: per source, and per (user, source).

A try is counted before it is looked at, and taken back when it was no failure: of many tries made at the same
time no more pass than would one after the other.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.authn.throttle import Curve, Failures, source_group
from appliance.broker.ports import Clock
from appliance.broker.state import State
from appliance.domain.errors import Conflict, Exists, NotFound, Throttled, Unavailable

if TYPE_CHECKING:
    from datetime import datetime

TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One counter as it was before a try, and after."""

    before: Failures | None
    after: Failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """Admits a try, or says how long to wait."""

    state: State
    clock: Clock
    per_pair: Curve
    per_source: Curve

    def admit(self, user: str, source: str) -> tuple[Counted, ...]:
        """Count a try as a failure; raises `Throttled`, and counts nothing, while this source must wait."""
        now, counted = self.clock.now(), list[Counted]()
        counters = self._counters(user, source)
        try:
            for key, curve in counters:
                counted.append(self._count(key, curve, now))
        except Throttled:
            self.forgive(tuple(counted))
            raise
        return tuple(counted)

    def forgive(self, counted: tuple[Counted, ...]) -> None:
        """Take a try back that was no failure."""
        for one in counted:
            self._take_back(one)

    def succeeded(self, user: str, source: str) -> None:
        """Forget the failures of this user from this source; those of the source stay."""
        key, _ = self._counters(user, source)[0]
        try:
            self.state.failures.delete(key)
        except NotFound:
            return

    def _counters(self, user: str, source: str) -> tuple[tuple[str, Curve], tuple[str, Curve]]:
        group = source_group(source)
        return (_key("pair", user, group), self.per_pair), (_key("source", group), self.per_source)

    def _count(self, key: str, curve: Curve, now: datetime) -> Counted:
        for _ in range(TRIES):
            found = self.state.failures.find(key)
            before = found.value if found else None
            if wait := curve.wait(before, now):
                raise Throttled(math.ceil(wait.total_seconds()))
            after = curve.after_failure(before, key, now)
            try:
                if found:
                    self.state.failures.update(after, found.revision)
                else:
                    self.state.failures.create(after)
            except (Conflict, Exists, NotFound):
                continue
            return Counted(before=before, after=after)
        raise Unavailable("too many sign-ins at the same time: try again")

    def _take_back(self, counted: Counted) -> None:
        for _ in range(TRIES):
            found = self.state.failures.find(counted.after.key)
            if found is None:
                return
            try:
                if found.value == counted.after and counted.before is None:
                    self.state.failures.delete(found.value.key, found.revision)
                else:
                    self.state.failures.update(_without(found.value, counted), found.revision)
            except (Conflict, NotFound):
                continue
            return


def _without(current: Failures, counted: Counted) -> Failures:
    """Return the counter as if the try had not been; others may have counted since."""
    if current == counted.after and counted.before is not None:
        return counted.before
    return replace(current, count=max(0, current.count - 1))


def _key(*parts: str) -> str:
    """Names typed by strangers become keys of one size and alphabet."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
