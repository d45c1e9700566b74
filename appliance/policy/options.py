"""From the options of several roles to the options of one session.

Two rules, so that holding one more role never loosens another one's target by accident:

- **limits** (shortest, lowest, strict, AND, "disconnect", "pin") are taken over *all* roles of the
  person: any of them may narrow;
- **permissions and target-bound demands** (agent, port and X11 forwarding, destinations, best-effort
  recording, session MFA, host binding) are taken over the roles whose `allow` *matched* this target.

What no role speaks about has the narrowest value, except copying of files, which is on until a
role says no, and the cluster's own defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, TypeVar

from appliance.domain.role import (
    MAX_SESSION_TTL,
    GraceScope,
    LockingMode,
    MfaGrace,
    RecordingMode,
    RequiredJoin,
    Role,
    RoleOptions,
    SessionMfa,
    SessionOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.policy.outcome import ClusterPolicy

T = TypeVar("T", int, timedelta)
SSH_KINDS = frozenset({"ssh", "*"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What all roles of a person together limit, whatever the target."""

    options: SessionOptions
    record_strictly: bool


def merge_options(roles: Sequence[Role], matching: Sequence[Role], cluster: ClusterPolicy) -> SessionOptions:
    """Return the options of a session that `matching` (some of `roles`) permit."""
    return with_permissions(merge_limits(roles, cluster), matching, cluster)


def merge_limits(roles: Sequence[Role], cluster: ClusterPolicy) -> Limits:
    """Return the limits of all roles; they are the same for every session of the person."""
    every = [role.options for role in roles]
    options = SessionOptions(
        max_session_ttl=session_ttl(roles, cluster),
        ssh_file_copy=all(one.ssh_file_copy is not False for one in every),
        client_idle_timeout=_least(
            [cluster.client_idle_timeout, *(one.client_idle_timeout for one in every)]
        ),
        disconnect_expired_cert=cluster.disconnect_expired_cert
        or any(one.disconnect_expired_cert for one in every),
        max_sessions=_least(one.max_sessions for one in every),
        max_connections=_least(one.max_connections for one in every),
        mfa_verification_interval=_least(one.mfa_verification_interval for one in every),
        locking=_locking(every, cluster),
        pin_source_ip=any(one.pin_source_ip for one in every),
        require_session_join=_required_joins(roles),
    )
    return Limits(options, any(_recording(one) is RecordingMode.STRICT for one in every))


def with_permissions(limits: Limits, matching: Sequence[Role], cluster: ClusterPolicy) -> SessionOptions:
    """Return the limits together with what the roles that matched the target permit and demand."""
    here = [role.options for role in matching]
    relaxed = any(_recording(one) is RecordingMode.BEST_EFFORT for one in here)
    asked = RecordingMode.BEST_EFFORT if relaxed else cluster.recording
    return replace(
        limits.options,
        forward_agent=any(one.forward_agent for one in here),
        port_forwarding=any(one.port_forwarding for one in here),
        direct_destinations=_destinations(here),
        permit_x11_forwarding=any(one.permit_x11_forwarding for one in here),
        mfa=_mfa(here, cluster),
        mfa_grace=_grace(here),
        recording=RecordingMode.STRICT if limits.record_strictly else asked,
        require_host_bound=any(one.require_host_bound for one in here),
    )


def session_ttl(roles: Sequence[Role], cluster: ClusterPolicy) -> timedelta:
    """Return the longest life of a credential of these roles: the shortest any of them allows."""
    limits = [ttl for role in roles if (ttl := role.options.max_session_ttl) is not None]
    return min([*(limits or [cluster.session_ttl]), MAX_SESSION_TTL])


def _least(values: Iterable[T | None]) -> T | None:
    return min((value for value in values if value is not None), default=None)


def _destinations(here: Sequence[RoleOptions]) -> tuple[str, ...]:
    listed = (name for one in here if one.port_forwarding for name in one.direct_destinations)
    return tuple(dict.fromkeys(listed))


def _mfa(here: Sequence[RoleOptions], cluster: ClusterPolicy) -> SessionMfa:
    return reduce(or_, (one.require_session_mfa or SessionMfa.OFF for one in here), cluster.session_mfa)


def _grace(here: Sequence[RoleOptions]) -> MfaGrace | None:
    asking = [one for one in here if one.require_session_mfa] or here
    graces = [one.mfa_grace for one in asking]
    given = [grace for grace in graces if grace is not None]
    if not given or len(given) < len(graces):
        return None
    anywhere = all(grace.scope is GraceScope.LABELS for grace in given)
    scope = GraceScope.LABELS if anywhere else GraceScope.TARGET
    return MfaGrace(duration=min(grace.duration for grace in given), scope=scope)


def _recording(options: RoleOptions) -> RecordingMode | None:
    return options.record_ssh or options.record_default


def _locking(every: Sequence[RoleOptions], cluster: ClusterPolicy) -> LockingMode:
    strict = cluster.locking is LockingMode.STRICT or any(one.lock is LockingMode.STRICT for one in every)
    return LockingMode.STRICT if strict else LockingMode.BEST_EFFORT


def _required_joins(roles: Sequence[Role]) -> tuple[tuple[RequiredJoin, ...], ...]:
    sets = (
        tuple(one for one in role.allow.require_session_join if SSH_KINDS & set(one.kinds)) for role in roles
    )
    return tuple(one for one in sets if one)
