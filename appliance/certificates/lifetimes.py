"""How long a person's certificate may live (mission row U5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from appliance.domain.errors import Invalid

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(hours=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """The cluster's settings."""

    default: timedelta
    longest: timedelta
    session: timedelta
    host: timedelta
    proxy_host: timedelta

    def person(self, asked: timedelta | None, role_limit: timedelta | None) -> timedelta:
        """Return the life.

        What was asked for, cut by roles and cluster. Raises `Invalid` outside 1 min to 30 h.
        """
        if asked is not None and not SHORTEST <= asked <= LONGEST:
            raise Invalid(
                f"ttl of {asked.total_seconds():.0f} s: expected 60 s (1 minute) to 108000 s (30 hours)"
            )
        limits = [limit for limit in (role_limit, self.longest, LONGEST) if limit is not None]
        return min(asked or self.default, *limits)
