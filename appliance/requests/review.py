"""Reviewing: one person's verdict joins a request, and perhaps resolves it.

`add_review` is one step of a compare-and-swap: read the request, add, write if nobody wrote in
between, else read again. Whatever the order in which a hundred reviews arrive, one of them resolves
the request, and the later ones are kept without effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from appliance.domain.role import Role, live_roles
from appliance.policy.outcome import Subject
from appliance.policy.traits import with_own_login
from appliance.policy.where import REVIEW_SCHEMA, Context, parse_predicate
from appliance.requests.ask import check_reason, check_start
from appliance.requests.canonical import request_digest
from appliance.requests.errors import RequestClosed, ReviewDenied
from appliance.requests.model import (
    MAX_REVIEWS,
    AccessRequest,
    RequestState,
    Review,
    SignedReview,
    Verdict,
)
from appliance.requests.requestable import names_role
from appliance.requests.tally import matched, tally

if TYPE_CHECKING:
    from appliance.domain.role import ReviewConditions


ACTION = "action:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """Who reviews: identity, roles held now, fingerprints of their own keys.

    `granted_at` is when their roles, or the roles' permissions to review, were last changed; who
    came to be a reviewer after the request was made can't decide on it (threat A05). `is_person` is
    false for bots and plugins, whatever their roles say.
    """

    subject: Subject
    roles: Sequence[Role]
    keys: tuple[str, ...] = ()
    granted_at: datetime | None = None
    is_person: bool = True

    @property
    def name(self) -> str:
        """The reviewer's name."""
        return self.subject.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a reviewer says, about the request whose digest they were shown."""

    verdict: Verdict
    request_digest: str
    reason: str = ""
    annotations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    assume_start_time: datetime | None = None
    signed: SignedReview | None = None


def add_review(request: AccessRequest, reviewer: Reviewer, opinion: Opinion, now: datetime) -> AccessRequest:
    """Return the request with the review, resolved if that was enough.

    The caller has verified `opinion.signed` against the reviewer's credential and
    `canonical.review_digest`. Raises `ReviewDenied`, `RequestClosed` or `WishInvalid` (a reason or
    start that can't be).
    """
    _check_open(request, opinion, now)
    _check_reviewer(request, reviewer, now)
    _check_opinion(request, opinion, now)
    review = _review(request, reviewer, opinion, now)
    after = replace(request, reviews=(*request.reviews, review))
    return _resolved(after, now) if review.counted else after


def _check_open(request: AccessRequest, opinion: Opinion, now: datetime) -> None:
    if request.dry_run:
        raise RequestClosed("a dry run is not reviewed")
    if request.state is RequestState.WITHDRAWN or request.is_over(now):
        raise RequestClosed(f"request {request.id} is over")
    if opinion.request_digest != request_digest(request):
        raise RequestClosed(f"request {request.id} was changed: look at it again")
    if len(request.reviews) >= MAX_REVIEWS:
        raise RequestClosed(f"request {request.id} has {MAX_REVIEWS} reviews already")


def _check_reviewer(request: AccessRequest, reviewer: Reviewer, now: datetime) -> None:
    if any(one.reviewer == reviewer.name for one in request.reviews):
        raise RequestClosed(f"{reviewer.name} has already reviewed this request")
    others = [request.requester_keys, *(one.keys for one in request.reviews)]
    if any(set(reviewer.keys) & set(keys) for keys in others):
        raise ReviewDenied("the same key belongs to another person of this request")
    if refusal := why_not(request, reviewer, now):
        raise ReviewDenied(refusal)


def why_not(request: AccessRequest, reviewer: Reviewer, now: datetime) -> str:
    """Return why this person may not review this request, or an empty text if they may."""
    if reviewer.name == request.user:
        return "nobody reviews their own request"
    if not reviewer.is_person:
        return "only people review"
    if now >= reviewer.subject.expires:
        return f"the identity of {reviewer.name} has ended"
    if reviewer.granted_at is not None and reviewer.granted_at > request.created_at:
        return f"{reviewer.name} became a reviewer after the request was made"
    names = request.role_names or (request.action.name if request.action else "",)
    reviewer = replace(reviewer, roles=live_roles(reviewer.roles, now))
    context = _context(request, reviewer)
    for name in names:
        if not may_review_role(reviewer, name, context, is_action=request.action is not None):
            return f"{reviewer.name} may not review requests for {name}"
    return ""


def may_review_role(reviewer: Reviewer, role: str, context: Context, *, is_action: bool = False) -> bool:
    """Say whether the reviewer's roles allow to review requests for a role; deny comes first.

    An action is allowed only by patterns that begin with `action:`, so that `*` over roles does not
    reach it unmeant; a denied `*` does.
    """
    name = f"{ACTION}{role}" if is_action else role
    if any(_names(one.deny.review_requests, name, reviewer, context) for one in reviewer.roles):
        return False
    allows = [one.allow.review_requests for one in reviewer.roles]
    if is_action:
        allows = [replace(one, roles=_over_actions(one.roles), claims_to_roles=()) for one in allows]
    return any(_names(one, name, reviewer, context) for one in allows)


def _over_actions(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in patterns if one.removeprefix("^").startswith(ACTION))


def _names(review: ReviewConditions, name: str, reviewer: Reviewer, context: Context) -> bool:
    named = names_role(review.roles, review.claims_to_roles, name, reviewer.subject.traits)
    return named and parse_predicate(review.where, REVIEW_SCHEMA)(context)


def _context(request: AccessRequest, reviewer: Reviewer, opinion: Opinion | None = None) -> Context:
    subject = reviewer.subject
    traits = with_own_login(subject.name, subject.traits)
    roles = tuple(role.name for role in reviewer.roles)
    return {
        "user.metadata.name": subject.name,
        "user.spec.roles": roles,
        "user.spec.traits": traits,
        "reviewer.name": subject.name,
        "reviewer.roles": roles,
        "reviewer.traits": traits,
        "review.reason": opinion.reason if opinion else "",
        "review.annotations": dict(opinion.annotations) if opinion else {},
        "request.user": request.user,
        "request.roles": request.role_names,
        "request.reason": request.reason,
        "request.system_annotations": dict(request.system_annotations),
    }


def _check_opinion(request: AccessRequest, opinion: Opinion, now: datetime) -> None:
    check_reason(opinion.reason)
    if request.signed_reviews and opinion.signed is None:
        raise ReviewDenied("this request takes signed reviews only")
    if opinion.assume_start_time is not None:
        check_start(opinion.assume_start_time, now, request.access_expires_at)


def _review(request: AccessRequest, reviewer: Reviewer, opinion: Opinion, now: datetime) -> Review:
    living = replace(reviewer, roles=live_roles(reviewer.roles, now))
    return Review(
        reviewer=reviewer.name,
        verdict=opinion.verdict,
        at=now,
        request_digest=opinion.request_digest,
        reason=opinion.reason,
        annotations=opinion.annotations,
        assume_start_time=opinion.assume_start_time,
        keys=tuple(sorted(reviewer.keys)),
        matched=matched(request.thresholds, _context(request, living, opinion)),
        counted=request.state is RequestState.PENDING,
        signed=opinion.signed,
    )


def _resolved(request: AccessRequest, now: datetime) -> AccessRequest:
    state = tally(request.thresholds, request.reviews)
    if state is RequestState.PENDING:
        return request
    return replace(request, state=state, resolved_at=now)
