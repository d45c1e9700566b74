"""Asking: from a wish to a pending request, with everything about it fixed that must not move later.

Roles are pinned by the digest of their documents, thresholds are copied, and both ends of time are
absolute. A wish for more than is allowed is an error, never quietly less; only a default is cut. A
dry run is checked in the same way and comes back marked; it can't be reviewed or used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.domain.document import duration_text
from appliance.domain.role import Approval, Role, Threshold, live_roles
from appliance.policy.outcome import Subject
from appliance.requests.canonical import role_digest
from appliance.requests.errors import RequestClosed, UseDenied, WishInvalid
from appliance.requests.model import (
    ACCESS_LIFE,
    MAX_DURATION,
    MAX_REASON,
    MAX_ROLES,
    MAX_START_AHEAD,
    PENDING_LIFE,
    AccessRequest,
    Action,
    PinnedRole,
    RequestState,
    RoleThresholds,
)
from appliance.requests.requestable import Requestable

if TYPE_CHECKING:
    from collections.abc import Mapping


EVERYTHING = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for. None means: whatever is usual."""

    roles: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    reason: str = ""
    suggested_reviewers: tuple[str, ...] = ()
    pending_life: timedelta | None = None
    access_life: timedelta | None = None
    max_duration: timedelta | None = None
    assume_start_time: datetime | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks: the identity, the roles held now, and fingerprints of their own keys."""

    subject: Subject
    roles: Sequence[Role]
    keys: tuple[str, ...] = ()


def ask(
    wish: Wish,
    requester: Requester,
    known: Mapping[str, Role],
    now: datetime,
    *,
    request_id: str,
    cluster: str,
) -> AccessRequest:
    """Return the pending request; `known` are all roles of the cluster by name.

    Raises `WishInvalid` with the reason, in words for the person.
    """
    requestable = Requestable(live_roles(requester.roles, now), requester.subject.traits)
    living = {role.name: role for role in live_roles(known.values(), now)}
    roles = _roles(wish, requestable, living)
    _check_text(wish, roles, requestable)
    access_ends = _access_end(wish, roles, requester, requestable, now)
    _check_start(wish.assume_start_time, now, access_ends)
    by_search = bool(wish.resources)
    return AccessRequest(
        id=request_id,
        cluster=cluster,
        user=requester.subject.name,
        roles=tuple(PinnedRole(name=role.name, digest=role_digest(role)) for role in roles),
        resources=tuple(dict.fromkeys(wish.resources)),
        reason=wish.reason,
        suggested_reviewers=_unique(wish.suggested_reviewers) or requestable.suggested_reviewers(),
        system_annotations=requestable.annotations([one.name for one in roles], for_resources=by_search),
        thresholds=tuple(requestable.thresholds(role.name, for_resources=by_search) for role in roles),
        signed_reviews=any(role.options.approval is Approval.SIGNED for role in roles),
        requester_keys=tuple(sorted(requester.keys)),
        created_at=now,
        expires_at=_pending_end(wish, roles, requester, now),
        access_expires_at=access_ends,
        assume_start_time=wish.assume_start_time,
        dry_run=wish.dry_run,
    )


def ask_for_action(
    action: Action,
    requester: Requester,
    thresholds: Sequence[Threshold],
    now: datetime,
    *,
    request_id: str,
    cluster: str,
    life: timedelta = PENDING_LIFE,
) -> AccessRequest:
    """Return the pending request for an administrative action under dual control (X7).

    Thresholds come from the cluster's setting; the reviews must be signed; the agreement is used once
    and within the same hour.
    """
    if not thresholds or any(one.approve < 1 for one in thresholds):
        raise WishInvalid("an action under dual control needs a threshold of at least one approval")
    ends = min(now + life, requester.subject.expires)
    return AccessRequest(
        id=request_id,
        cluster=cluster,
        user=requester.subject.name,
        roles=(),
        action=action,
        thresholds=(RoleThresholds(role=action.name, sets=(tuple(thresholds),)),),
        signed_reviews=True,
        requester_keys=tuple(sorted(requester.keys)),
        created_at=now,
        expires_at=ends,
        access_expires_at=ends,
    )


def edit(request: AccessRequest, wished: AccessRequest, user: str, now: datetime) -> AccessRequest:
    """Return the next revision of a pending request; what was said about the last one is void (A06).

    `wished` is what `ask` made of the new wish. Identity, creation and waiting time stay.
    """
    _own(request, user)
    if request.state is not RequestState.PENDING or request.is_over(now):
        raise RequestClosed(f"request {request.id} is {request.state} or over: make a new one")
    return replace(
        wished,
        id=request.id,
        cluster=request.cluster,
        user=request.user,
        created_at=request.created_at,
        expires_at=min(request.expires_at, wished.expires_at),
        revision=request.revision + 1,
        reviews=(),
        voided=(*request.voided, *request.reviews),
    )


def withdraw(request: AccessRequest, user: str, now: datetime) -> AccessRequest:
    """Return the request as taken back by the person who made it: also an approved one, for good."""
    _own(request, user)
    if request.state not in {RequestState.PENDING, RequestState.APPROVED}:
        raise RequestClosed(f"request {request.id} is {request.state} already")
    return replace(request, state=RequestState.WITHDRAWN, resolved_at=now)


def _own(request: AccessRequest, user: str) -> None:
    if request.user != user:
        raise UseDenied(f"request {request.id} is not one of {user}")


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _roles(wish: Wish, requestable: Requestable, known: Mapping[str, Role]) -> tuple[Role, ...]:
    by_search = bool(wish.resources)
    names = _expanded(wish, requestable, known)
    for name in names:
        # One answer for "no such role" and "not for you": names of roles are not given away.
        if name not in known or not requestable.may_request(name, for_resources=by_search):
            raise WishInvalid(f"the role {name[:64]!r} can't be requested")
    if not names or len(names) > MAX_ROLES:
        raise WishInvalid("nothing can be requested" if not names else f"more than {MAX_ROLES} roles")
    return tuple(known[name] for name in names)


def _expanded(wish: Wish, requestable: Requestable, known: Mapping[str, Role]) -> tuple[str, ...]:
    if wish.resources and not wish.roles:
        return tuple(name for name in requestable.searchable() if name in known)
    if wish.roles == (EVERYTHING,):
        return tuple(name for name in sorted(known) if requestable.may_request(name))
    return _unique(wish.roles)


def _check_text(wish: Wish, roles: Sequence[Role], requestable: Requestable) -> None:
    check_reason(wish.reason)
    by_search = bool(wish.resources)
    asked = any(requestable.needs_reason(role.name, for_resources=by_search) for role in roles)
    if asked and not wish.reason.strip() and not wish.dry_run:
        raise WishInvalid("a reason is required")


def check_reason(reason: str) -> None:
    """Raise `WishInvalid` for a reason of over 4096 bytes, or with control or direction characters (A15)."""
    if len(reason) > MAX_REASON or len(reason.encode("utf-8", "surrogatepass")) > MAX_REASON:
        raise WishInvalid(f"the reason is longer than {MAX_REASON} bytes")
    if any(not (char.isprintable() or char in "\n\t") for char in reason):
        raise WishInvalid("the reason holds characters that are not printable")


def _pending_end(wish: Wish, roles: Sequence[Role], requester: Requester, now: datetime) -> datetime:
    most = min([requester.subject.expires - now, *_session_ttls(roles)])
    return now + _life("waiting time", wish.pending_life, min(PENDING_LIFE, most), most)


def _access_end(
    wish: Wish, roles: Sequence[Role], requester: Requester, requestable: Requestable, now: datetime
) -> datetime:
    if wish.max_duration is not None:
        by_search = bool(wish.resources)
        limits = [requestable.max_duration(role.name, for_resources=by_search) for role in roles]
        most = min([MAX_DURATION, *(limit or timedelta() for limit in limits)])
        return now + _life("duration", wish.max_duration, most, most)
    most = min([ACCESS_LIFE, requester.subject.expires - now, *_session_ttls(roles)])
    return now + _life("access time", wish.access_life, most, most)


def _session_ttls(roles: Sequence[Role]) -> list[timedelta]:
    return [ttl for role in roles if (ttl := role.options.max_session_ttl) is not None]


def _life(what: str, asked: timedelta | None, usual: timedelta, most: timedelta) -> timedelta:
    if most <= timedelta():
        raise WishInvalid(f"no {what} may be asked for with these roles, or the identity has ended")
    if asked is None:
        return usual
    if not timedelta() < asked <= most:
        raise WishInvalid(f"the {what} may be at most {duration_text(most)}")
    return asked


def _check_start(start: datetime | None, now: datetime, access_ends: datetime) -> None:
    if start is not None:
        check_start(start, now, access_ends)


def check_start(start: datetime, now: datetime, access_ends: datetime) -> None:
    """Raise `WishInvalid` for a start that is past, over seven days ahead, or after the access ends."""
    if not now <= start <= now + MAX_START_AHEAD:
        raise WishInvalid(f"the access can start from now to {MAX_START_AHEAD.days} days ahead")
    if start >= access_ends:
        raise WishInvalid("the access would end before it starts")
