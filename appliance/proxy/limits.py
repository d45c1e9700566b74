"""Who may come in: startups, arrivals and penalties, by source. No IO; time and chance are handed in.

A stranger costs work before anybody knows them, so there are few of them at a time, fewer of each
source, and sources that misbehaved wait. The curve and the penalties are OpenSSH's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.proxy.config import Limits, Penalties, Startups

V6_PREFIX = 64
HUNDRED = 100


class Offence(Enum):
    """What a source can be penalised for."""

    REFUSED = auto()
    NO_LOGIN = auto()
    GRACE_EXCEEDED = auto()
    MISBEHAVED = auto()


class Turned(Enum):
    """Why somebody is turned away, in the words the peer gets to see."""

    PENALISED = "too many failures from your address, try again later"
    RATE = "too many connections from your address, try again later"
    SOURCE_FULL = "too many unfinished logins from your address, try again later"
    BUSY = "too many unfinished logins, try again later"
    CONNECTIONS = "the limit of connections is reached, try again later"
    USERS = "the limit of people is reached, try again later"
    DRAINING = "this bastion is being restarted, try again"


def source_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        return str(mapped)
    if parsed.version == 4:  # noqa: PLR2004 - IPv4
        return str(parsed)
    return str(ip_network((parsed, V6_PREFIX), strict=False))


def refusal_percent(startups: Startups, waiting: int) -> int:
    """Return how many of a hundred are refused while so many wait."""
    if waiting < startups.start:
        return 0
    if waiting >= startups.full:
        return HUNDRED
    span = startups.full - startups.start
    return startups.rate + (HUNDRED - startups.rate) * (waiting - startups.start) // span


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Arrivals:
    """A token bucket a source; sources that were quiet longest are forgotten first."""

    def __init__(self, *, rate: float, burst: int, sources: int) -> None:
        self._rate, self._burst, self._sources = rate, burst, sources
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, source: str, now: float) -> bool:
        """Whether one more may come from there now."""
        bucket = self._buckets.pop(source, None) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        allowed = bucket.tokens >= 1
        if allowed:
            bucket.tokens -= 1
        self._buckets[source] = bucket
        if len(self._buckets) > self._sources:
            self._buckets.popitem(last=False)
        return allowed


class Blame:
    """Until when which source is refused."""

    def __init__(self, penalties: Penalties) -> None:
        self._penalties = penalties
        self._until: dict[str, float] = {}
        self._enforced: dict[str, bool] = {}

    def add(self, source: str, offence: Offence, now: float) -> None:
        """Add up one more penalty."""
        until = max(self._until.get(source, now), now) + self._seconds(offence)
        self._until[source] = min(until, now + self._penalties.longest)
        worth = self._until[source] - now >= self._penalties.threshold
        self._enforced[source] = worth or (self._enforced.get(source, False) and until > now)
        if len(self._until) > self._penalties.sources:
            self._forget(min(self._until, key=lambda one: self._until[one]))

    def _seconds(self, offence: Offence) -> float:
        table = {
            Offence.REFUSED: self._penalties.refused,
            Offence.NO_LOGIN: self._penalties.no_login,
            Offence.GRACE_EXCEEDED: self._penalties.grace_exceeded,
            Offence.MISBEHAVED: self._penalties.misbehaved,
        }
        return table[offence]

    def _forget(self, source: str) -> None:
        self._until.pop(source, None)
        self._enforced.pop(source, None)

    def refuses(self, source: str, now: float) -> bool:
        """Whether that source has to wait."""
        if self._until.get(source, now) <= now:
            self._forget(source)
            return False
        return self._enforced.get(source, False)


class Door:
    """Everything a worker counts about strangers, and how many people are in."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._blame = Blame(limits.penalties)
        self._arrivals = Arrivals(
            rate=limits.arrivals_per_second, burst=limits.arrivals_burst, sources=limits.penalties.sources
        )
        self._waiting: dict[str, int] = {}
        self.waiting = 0
        self.inside = 0

    def arrive(self, address: str, *, now: float, chance: float, max_connections: int) -> Turned | None:
        """Let somebody wait for their login, or say why not. `chance` is from [0, 1)."""
        source = source_of(address)
        turned = self._judge(source, now, chance, max_connections)
        if turned is None:
            self.waiting += 1
            self._waiting[source] = self._waiting.get(source, 0) + 1
        return turned

    def _judge(self, source: str, now: float, chance: float, max_connections: int) -> Turned | None:
        if self._blame.refuses(source, now):
            return Turned.PENALISED
        if not self._arrivals.take(source, now):
            return Turned.RATE
        if self._waiting.get(source, 0) >= self._limits.startups_per_source:
            return Turned.SOURCE_FULL
        if self._crowded_out(source, chance):
            return Turned.BUSY
        if self.inside + self.waiting >= max_connections:
            return Turned.CONNECTIONS
        return None

    def _crowded_out(self, source: str, chance: float) -> bool:
        # OpenSSH draws lots among all who come. Here those who have nobody waiting yet are let in as
        # long as there is room at all: one source that fills its places must not cost another anything.
        percent = refusal_percent(self._limits.startups, self.waiting)
        return percent == HUNDRED or (bool(self._waiting.get(source)) and chance * HUNDRED < percent)

    def enter(self, address: str) -> None:
        """Somebody who waited is logged in."""
        self._less(source_of(address))
        self.inside += 1

    def give_up(self, address: str) -> None:
        """Somebody who waited is gone."""
        self._less(source_of(address))

    def leave(self) -> None:
        """Somebody who was in is gone."""
        self.inside -= 1

    def _less(self, source: str) -> None:
        self.waiting -= 1
        left = self._waiting[source] - 1
        if left:
            self._waiting[source] = left
        else:
            del self._waiting[source]

    def penalise(self, address: str, offence: Offence, now: float) -> None:
        """Remember what a source did."""
        self._blame.add(source_of(address), offence, now)
