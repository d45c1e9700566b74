"""A clock that went back is found at start: credentials would live longer, and events be of the past."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.domain.errors import Unavailable
from appliance.domain.operations.journal import EventsQuery

if TYPE_CHECKING:
    from appliance.broker.ports import Trail
    from appliance.domain.clock import Clock

TOLERANCE = timedelta(minutes=5)
"""What time synchronisation may take back at once."""
SHOWN = "%Y-%m-%d %H:%M:%S UTC"


def check_clock(trail: Trail, clock: Clock) -> None:
    """Raise `Unavailable` when the newest event was written later than now."""
    newest = trail.query(EventsQuery(limit=1))
    if not newest:
        return
    now, last = clock.now(), datetime.fromisoformat(newest[0]["time"])
    if now < last - TOLERANCE:
        raise Unavailable(
            f"the clock says {now:{SHOWN}}, but the last event is of {last:{SHOWN}}: set the clock, "
            "or start once with --accept-clock if the earlier time was the wrong one"
        )
