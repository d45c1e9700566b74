"""What a person's roles say about signing in itself, before any target is named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.domain.role import RequestAccess, live_roles
from appliance.policy.options import merge_limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.domain.role import Role
    from appliance.policy.outcome import ClusterPolicy

_STRICTEST = (RequestAccess.REASON, RequestAccess.ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOptions:
    """Limits of a login of these roles; a login that needs a request is worth nothing without one."""

    longest_life: timedelta
    request_access: RequestAccess
    request_prompt: str
    pin_source_ip: bool
    disconnect_expired_cert: bool
    max_connections: int | None


def login_options(roles: Sequence[Role], now: datetime, cluster: ClusterPolicy) -> LoginOptions:
    """Return the options of a login: the shortest, lowest and strictest of all roles."""
    live = live_roles(roles, now)
    limits = merge_limits(live, cluster).options
    asked = [role.options.request_access for role in live]
    prompts = [role.options.request_prompt for role in live if role.options.request_prompt]
    ends = [role.expires - now for role in live if role.expires is not None]
    return LoginOptions(
        longest_life=min([limits.max_session_ttl, *ends]),
        request_access=next((one for one in _STRICTEST if one in asked), RequestAccess.OPTIONAL),
        request_prompt="\n".join(dict.fromkeys(prompts)),
        pin_source_ip=limits.pin_source_ip,
        disconnect_expired_cert=limits.disconnect_expired_cert,
        max_connections=limits.max_connections,
    )
