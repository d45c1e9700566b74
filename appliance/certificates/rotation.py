"""The phases of a rotation, as a table (mission row K3): what may follow what. Pure.

    standby → init → update_clients → update_servers → standby
                └──────────┴───────────────┴──→ rollback → standby

A key that verifiers may still meet is trusted; a key is only ever dropped on the way into standby.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from appliance.domain.errors import Invalid
from appliance.domain.records import Authority, AuthorityKey, RotationPhase

Phase = RotationPhase
FOLLOWERS: dict[Phase, tuple[Phase, ...]] = {
    Phase.STANDBY: (Phase.INIT,),
    Phase.INIT: (Phase.UPDATE_CLIENTS, Phase.ROLLBACK),
    Phase.UPDATE_CLIENTS: (Phase.UPDATE_SERVERS, Phase.ROLLBACK),
    Phase.UPDATE_SERVERS: (Phase.STANDBY, Phase.ROLLBACK),
    Phase.ROLLBACK: (Phase.STANDBY,),
}
SHORTEST_GRACE = timedelta(minutes=1)
LONGEST_GRACE = timedelta(days=30)


def check(authority: Authority, phase: Phase) -> None:
    """Raise `Invalid` unless the phase may follow the one the authority is in."""
    if phase not in FOLLOWERS[authority.phase]:
        expected = " or ".join(FOLLOWERS[authority.phase])
        raise Invalid(f"{authority.kind} CA is in {authority.phase}: expected {expected}, not {phase}")


def generations(authority: Authority) -> tuple[AuthorityKey, ...]:
    """Return the trusted keys, oldest first."""
    return tuple(sorted(authority.trusted, key=lambda key: key.generation))


def begun(authority: Authority, new: AuthorityKey) -> Authority:
    """Return the authority in init: the new key is trusted, the old one signs."""
    return replace(authority, phase=Phase.INIT, trusted=(*authority.trusted, new))


def moved(authority: Authority, phase: Phase) -> Authority:
    """Return the authority in one of the phases after init."""
    oldest, newest = generations(authority)[0], generations(authority)[-1]
    match phase:
        case Phase.UPDATE_CLIENTS | Phase.UPDATE_SERVERS:
            return replace(authority, phase=phase, signing=newest)
        case Phase.ROLLBACK:
            return replace(authority, phase=phase, signing=oldest)
        case Phase.STANDBY:
            return replace(
                authority, phase=phase, trusted=(authority.signing,), next_phase_at=None, grace_seconds=0
            )
        case Phase.INIT:
            raise Invalid("init makes a key: it is begun, not moved to")


def on_timer(authority: Authority, grace: timedelta, now: datetime) -> Authority:
    """Return the authority with the time of its next phase set."""
    if not SHORTEST_GRACE <= grace <= LONGEST_GRACE:
        raise Invalid(f"grace of {grace}: expected 1 minute to 30 days")
    return replace(authority, next_phase_at=now + grace, grace_seconds=int(grace.total_seconds()))


def due(authority: Authority, now: datetime) -> Phase | None:
    """Return the phase a rotation on a timer goes to now, or None."""
    if authority.next_phase_at is None or now < authority.next_phase_at:
        return None
    return FOLLOWERS[authority.phase][0]
