"""How long a source must wait after failures (mission row X15): pure arithmetic over counted failures.

Two counters: one for (user, source), one for the source alone. Neither is keyed by the user alone, so nobody
can lock another person out by guessing at their name from elsewhere. A source is an IPv4 address, or the /64
of an IPv6 address: whoever has one of those has all 2^64 (RFC 4291 section 2.5.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

JITTER = timedelta(seconds=60)
"""A last failure further in the future than this was counted by a clock that has been set back since."""
NETWORK_BITS = 64


def source_group(source: str) -> str:
    """Return what counts as one source; a text that is no address stands for itself."""
    try:
        address = ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if not isinstance(address, IPv6Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ip_network((address, NETWORK_BITS), strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failures counted for one key. A success of that key clears it."""

    key: str
    count: int
    last: datetime
    expires_at: datetime | None = None
    """When it counts no more, whatever the curve: names typed by strangers must not fill the store."""


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
        if failures.last - now > JITTER:
            # A clock that was set back can't turn a wait of minutes into one of years; the next failure
            # counts from the new time.
            return timedelta(0)
        doublings = min(failures.count - self.free, 32)
        delay = min(self.first * (1 << doublings), self.longest)
        return max(delay - max(now - failures.last, timedelta(0)), timedelta(0))

    def after_failure(self, failures: Failures | None, key: str, now: datetime) -> Failures:
        """Return the counter after one more failure; old ones are forgotten after the window."""
        forgotten = failures is None or now - failures.last > self.window
        count = 1 if failures is None or forgotten else failures.count + 1
        return Failures(key=key, count=count, last=now, expires_at=now + self.window + self.longest)
