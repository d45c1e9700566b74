"""What every request of one application finds: the configuration, the way to the auth service, the limits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import current_app

from appliance.client import Api
from appliance.domain.operations.operation import Nothing
from appliance.domain.operations.people import ClusterInfo
from webui.config import WebConfig
from webui.limits import RateLimit

KEY = "sallyport"
CLUSTER_SECONDS = 5.0


@dataclass(slots=True)
class ClusterFacts:
    """What the cluster says of itself, asked again after five seconds. Thread-safe."""

    api: Api
    clock: Callable[[], float]
    _known: ClusterInfo | None = None
    _asked_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> ClusterInfo:
        """Return the cluster's facts; raises `SallyportError` when they can't be had."""
        with self._lock:
            if self._known is None or not 0 <= self.clock() - self._asked_at < CLUSTER_SECONDS:
                self._known = self.api.call("cluster.ping", Nothing())
                self._asked_at = self.clock()
            return self._known


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the views share."""

    config: WebConfig
    api: Api
    cluster: ClusterFacts
    calls: RateLimit


def settings() -> Settings:
    """Return the running application's settings."""
    found: Settings = current_app.extensions[KEY]
    return found
