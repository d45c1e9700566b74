"""Counting: from reviews and thresholds to pending, approved or denied.

A threshold counts the reviews that passed its filter. One reached deny count of any threshold
denies. A role is approved when each of its sets has a threshold with enough approvals; the request,
when every role is. Filters were looked at when the review was given, and are not looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.policy.where import REVIEW_SCHEMA, Context, parse_predicate
from appliance.requests.model import RequestState, Review, RoleThresholds, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.domain.role import Threshold


def tally(thresholds: Sequence[RoleThresholds], reviews: Sequence[Review]) -> RequestState:
    """Return where these reviews bring a request; without thresholds nothing is ever approved."""
    counted = [review for review in reviews if review.counted]
    if any(_reached(place, one, counted, Verdict.DENY) for place, one in _places(thresholds)):
        return RequestState.DENIED
    if thresholds and all(_role_approved(role, counted) for role in thresholds):
        return RequestState.APPROVED
    return RequestState.PENDING


def matched(thresholds: Sequence[RoleThresholds], context: Context) -> tuple[str, ...]:
    """Return the places of the thresholds whose filter holds for a review in this context."""
    return tuple(
        place
        for place, threshold in _places(thresholds)
        if parse_predicate(threshold.filter, REVIEW_SCHEMA)(context)
    )


def _role_approved(role: RoleThresholds, reviews: Sequence[Review]) -> bool:
    # A role without sets has nobody who could agree to it: that is a no.
    return bool(role.sets) and all(
        any(
            _reached(_place(role.role, number, index), threshold, reviews, Verdict.APPROVE)
            for index, threshold in enumerate(thresholds)
        )
        for number, thresholds in enumerate(role.sets)
    )


def _reached(place: str, threshold: Threshold, reviews: Sequence[Review], verdict: Verdict) -> bool:
    people = {review.reviewer for review in reviews if review.verdict is verdict and place in review.matched}
    needed = threshold.approve if verdict is Verdict.APPROVE else threshold.deny
    return len(people) >= max(needed, 1)


def _places(thresholds: Sequence[RoleThresholds]) -> Iterator[tuple[str, Threshold]]:
    for role in thresholds:
        for number, one_set in enumerate(role.sets):
            for index, threshold in enumerate(one_set):
                yield _place(role.role, number, index), threshold


def _place(role: str, number: int, index: int) -> str:
    return f"{role}/{number}/{index}"
