"""Using an approval: what it gives, to whom, until when; looked at again at each use.

An approval is not a possession. At every use the roles must be the ones that were pinned, and the
reviews that carried it must still be those of people who may review; if the tally fails without
those who were locked, removed or stripped of the role since, so does the approval (threats A03, A05).
Nothing given outlives the request or the identity that uses it (A11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from appliance.domain.role import live_roles
from appliance.requests.canonical import request_digest, review_digest, role_digest
from appliance.requests.errors import UseDenied
from appliance.requests.model import AccessRequest, RequestState, Review, SignedReview, Verdict
from appliance.requests.review import Reviewer, why_not
from appliance.requests.tally import tally

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from appliance.domain.role import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What one use of an approval gives: roles, where, and until when."""

    request_id: str
    roles: tuple[str, ...]
    resources: tuple[str, ...]
    expires_at: datetime
    approved_by: tuple[str, ...]


def assume(
    request: AccessRequest,
    user: str,
    identity_ends: datetime,
    now: datetime,
    *,
    known: Mapping[str, Role],
    reviewers: Mapping[str, Reviewer],
) -> Assumed:
    """Return what the approval gives now; raises `UseDenied` when it gives nothing.

    `known` are the cluster's roles, `reviewers` the people of the reviews as they are now (with an
    `expires` in the future, since they need not be signed in): who is missing there (deleted,
    locked) no longer counts.
    """
    carrying = _still_approved(request, user, now, reviewers)
    if request.action is not None:
        raise UseDenied("this agreement is to an action, not to roles")
    for pinned in request.roles:
        role = known.get(pinned.name)
        if role is None or not live_roles([role], now) or role_digest(role) != pinned.digest:
            raise UseDenied(f"role {pinned.name} has ended or was changed after it was asked for")
    return Assumed(
        request_id=request.id,
        roles=request.role_names,
        resources=request.resources,
        expires_at=min(request.access_expires_at, identity_ends),
        approved_by=carrying,
    )


def use_for_action(
    request: AccessRequest, user: str, action_digest: str, now: datetime, reviewers: Mapping[str, Reviewer]
) -> AccessRequest:
    """Return the request as used up by exactly this action; raises `UseDenied`. Write it before acting."""
    _still_approved(request, user, now, reviewers)
    if request.action is None or request.action.digest != action_digest:
        raise UseDenied("the agreement is to something else")
    if request.used_at is not None:
        raise UseDenied("the agreement was used already")
    return replace(request, used_at=now)


def _still_approved(
    request: AccessRequest, user: str, now: datetime, reviewers: Mapping[str, Reviewer]
) -> tuple[str, ...]:
    if request.user != user or request.dry_run:
        raise UseDenied(f"{user} has no such approval")
    if request.state is not RequestState.APPROVED or request.is_over(now):
        raise UseDenied(f"request {request.id} is {request.state} or over")
    if now < request.starts_at():
        raise UseDenied(f"the access starts at {request.starts_at():%Y-%m-%d %H:%M} UTC")
    digest = request_digest(request)
    valid = [one for one in request.reviews if _still_counts(one, request, digest, reviewers, now)]
    if tally(request.thresholds, valid) is not RequestState.APPROVED:
        raise UseDenied("people who approved may no longer review: ask again")
    return tuple(one.reviewer for one in valid if one.verdict is Verdict.APPROVE and one.counted)


def _still_counts(
    review: Review, request: AccessRequest, digest: str, reviewers: Mapping[str, Reviewer], now: datetime
) -> bool:
    if review.verdict is Verdict.DENY:
        return True  # a denial is not lifted by removing the person who gave it
    reviewer = reviewers.get(review.reviewer)
    if reviewer is None or review.request_digest != digest:
        return False
    # When they became a reviewer was looked at then; a later change of their roles is looked at by the roles.
    return not why_not(request, replace(reviewer, granted_at=None), now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToVerify:
    """One approval as the signer or an auditor checks it, with nothing but the reviewer's public key."""

    reviewer: str
    review_digest: bytes
    """What the challenge must be made of, with `signed.nonce`."""
    signed: SignedReview


def approvals_to_verify(request: AccessRequest) -> tuple[ToVerify, ...]:
    """Return the signed approvals of this revision, with the digest that each must cover (X6)."""
    digest = request_digest(request)
    return tuple(
        ToVerify(
            reviewer=one.reviewer,
            review_digest=review_digest(digest, one.reviewer, one.verdict, one.reason, one.assume_start_time),
            signed=one.signed,
        )
        for one in request.reviews
        if one.signed is not None and one.verdict is Verdict.APPROVE and one.counted
    )


def approved_by(request: AccessRequest, verified: Collection[str]) -> bool:
    """Say whether the approvals of these reviewers alone, each verified by the caller, carry the request.

    Neither the stored state nor unsigned approvals are believed; denials are.
    """
    signed = {one.reviewer for one in approvals_to_verify(request)} & set(verified)
    reviews = [one for one in request.reviews if one.verdict is Verdict.DENY or one.reviewer in signed]
    return tally(request.thresholds, reviews) is RequestState.APPROVED
