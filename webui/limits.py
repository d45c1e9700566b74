"""A token bucket a source, so that one peer can't use up what all need.

This slows floods only; guesses are slowed by the auth service, which also counts them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.front.sources import source_group

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SOURCES = 65536


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """Buckets of `burst` tokens that fill at `rate` a second. Thread-safe."""

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def wait(self, source: str) -> int:
        """Take a token of the source's bucket; returns 0, or the whole seconds until there is one."""
        now, key = self._clock(), source_group(source)
        with self._lock:
            bucket = self._buckets.pop(key, None) or self._fresh(now)
            self._buckets[key] = bucket  # the last used stands last
            bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.filled_at) * self._rate)
            bucket.filled_at = now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0
            return max(1, round((1 - bucket.tokens) / self._rate + 0.5))

    def _fresh(self, now: float) -> _Bucket:
        if len(self._buckets) >= MAX_SOURCES:
            del self._buckets[next(iter(self._buckets))]
        return _Bucket(float(self._burst), now)
