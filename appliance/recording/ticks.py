"""The two clocks of a recording, handed in so that a test can hold them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MICROSECOND = 1_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """A clock that never goes back, for what lies between two frames, and the wall clock as anchor."""

    monotonic_ns: Callable[[], int]
    wall_ns: Callable[[], int]
    """Nanoseconds since 1970-01-01 UTC; it may jump, which is why it is stored beside the other."""


SYSTEM_TICKS = Ticks(monotonic_ns=time.monotonic_ns, wall_ns=time.time_ns)
"""The machine's clocks, for composition roots to hand in."""
