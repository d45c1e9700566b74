"""How long a source must wait after failures (mission row X15): pure arithmetic over counted failures.

Two counters: one for (user, source), one for the source alone. Neither is keyed by the user alone, so nobody
can lock another person out by guessing at their name from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failures counted for one key. A success of that key clears it."""

    key: str
    count: int
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """So many failures are free; after that each doubles the wait, up to the longest."""

    free: int
    first: timedelta
    longest: timedelta
    window: timedelta

    def wait(self, failures: Failures | None, now: datetime) -> timedelta:
        """Return how much longer this key must wait; zero when it need not."""
        if failures is None or failures.count < self.free:
            return timedelta(0)
        doublings = min(failures.count - self.free, 32)
        until = failures.last + min(self.first * (1 << doublings), self.longest)
        # A clock set back must not turn a wait of minutes into one of years.
        return min(max(until - now, timedelta(0)), self.longest)

    def after_failure(self, failures: Failures | None, key: str, now: datetime) -> Failures:
        """Return the counter after one more failure; old ones are forgotten after the window."""
        if failures is None or now - failures.last > self.window:
            return Failures(key=key, count=1, last=now)
        return replace(failures, count=failures.count + 1, last=now)
