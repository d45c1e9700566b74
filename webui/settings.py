"""What every request of one application finds: the configuration, the way to the auth service, the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    _answer: tuple[ClusterInfo | None, float] = (None, 0.0)

    def now(self) -> ClusterInfo:
        """Return the cluster's facts; raises `SallyportError` when they can't be had."""
        known, asked_at = self._answer
        if known is None or not 0 <= self.clock() - asked_at < CLUSTER_SECONDS:
            # asked without a lock: a service that hangs holds each caller once, not one after another
            known = self.api.call("cluster.ping", Nothing())
            self._answer = (known, self.clock())
        return known


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
