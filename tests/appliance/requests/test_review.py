import random
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.role import Threshold
from appliance.requests import review as review_module
from appliance.requests.errors import RequestClosed, ReviewDenied, WishInvalid
from appliance.requests.model import RequestState, RoleThresholds, SignedReview, Verdict
from appliance.requests.review import Opinion, add_review
from appliance.requests.tally import tally
from tests.support.requests import (
    DBREVIEWER,
    DEVOPS,
    ELEVATED,
    KNOWN,
    MINUTE,
    asked,
    requester,
    reviewed,
    reviewer,
)
from tests.support.roles import HOUR, NOW, role

APPROVE, DENY = Verdict.APPROVE, Verdict.DENY


def test_two_of_three_people_approve():
    for first, second in permutations(("alice", "ivan", "carol"), 2):
        once = reviewed(asked(), first)
        assert once.state is RequestState.PENDING
        twice = reviewed(once, second)
        assert twice.state is RequestState.APPROVED
        assert twice.resolved_at == NOW + MINUTE
        assert twice.ends_at == twice.access_expires_at


def test_one_denial_refuses_at_once_and_a_later_approval_changes_nothing():
    denied = reviewed(reviewed(asked(), "alice"), "ivan", DENY)
    assert denied.state is RequestState.DENIED
    later = reviewed(denied, "carol", now=NOW + 2 * MINUTE)
    assert later.state is RequestState.DENIED
    assert [one.counted for one in later.reviews] == [True, True, False]
    assert later.resolved_at == NOW + MINUTE


def test_a_denial_after_the_approval_is_kept_without_effect():
    approved = reviewed(reviewed(asked(), "alice"), "ivan")
    later = reviewed(approved, "carol", DENY)
    assert later.state is RequestState.APPROVED
    assert later.reviews[-1].verdict is DENY


@pytest.mark.parametrize("verdict", [APPROVE, DENY])
def test_nobody_reviews_their_own_request_or_twice(verdict):
    own = reviewer("bob")
    with pytest.raises(ReviewDenied, match="own request"):
        reviewed(asked(), own, verdict)
    once = reviewed(asked(), "alice")
    with pytest.raises(RequestClosed, match="already reviewed"):
        reviewed(once, "alice", verdict)


def test_a_second_account_with_the_same_key_is_the_same_person():
    request = asked(who=requester(keys=("SHA256:bob",)))
    with pytest.raises(ReviewDenied, match="same key"):
        reviewed(request, reviewer("bob-admin", keys=("SHA256:other", "SHA256:bob")))
    once = reviewed(request, reviewer("alice", keys=("SHA256:alice",)))
    with pytest.raises(ReviewDenied, match="same key"):
        reviewed(once, reviewer("alice2", keys=("SHA256:alice",)))


def test_a_bot_does_not_review_whatever_its_roles_say():
    with pytest.raises(ReviewDenied, match="only people"):
        reviewed(asked(), reviewer("ci", is_person=False))


def test_a_review_role_that_has_ended_allows_nothing():
    with pytest.raises(ReviewDenied):
        reviewed(asked(), reviewer("alice", roles=(replace(DBREVIEWER, expires=NOW),)))


def test_a_request_takes_only_so_many_reviews(monkeypatch):
    monkeypatch.setattr(review_module, "MAX_REVIEWS", 1)
    with pytest.raises(RequestClosed, match="already"):
        reviewed(reviewed(asked(), "alice"), "ivan")


def test_who_became_a_reviewer_after_the_request_cannot_decide_on_it():
    with pytest.raises(ReviewDenied, match="became a reviewer after"):
        reviewed(asked(), reviewer("alice", granted_at=NOW + timedelta(seconds=1)))
    assert reviewed(asked(), reviewer("alice", granted_at=NOW)).reviews


def test_a_reviewer_must_be_allowed_for_all_requested_roles():
    other = role("other")
    asking = role("asking", allow={"request": {"roles": ["other", "elevated-access"]}})
    both = asked("other", "elevated-access", who=requester(roles=(asking,)), known=KNOWN | {"other": other})
    with pytest.raises(ReviewDenied, match="for other"):
        reviewed(both, "alice")
    wider = role("wider", allow={"review_requests": {"roles": ["other"]}})
    assert reviewed(both, reviewer("alice", roles=(DBREVIEWER, wider))).state is RequestState.APPROVED


def test_a_reviewers_deny_rule_comes_first_in_every_order():
    no = role("no", deny={"review_requests": {"roles": ["*"]}})
    for held in ((DBREVIEWER, no), (no, DBREVIEWER)):
        with pytest.raises(ReviewDenied, match="may not review"):
            reviewed(asked(), reviewer("alice", roles=held))
    with pytest.raises(ReviewDenied):
        reviewed(asked(), reviewer("eve", roles=()))


def test_the_where_predicate_of_a_reviewer_is_applied():
    same_team = role(
        "same-team",
        allow={
            "review_requests": {
                "roles": ["*"],
                "where": 'contains(reviewer.traits["team"], "db") && request.reason != "" '
                "&& !equals(request.user, reviewer.name)",
            }
        },
    )
    request = asked(reason="disk")
    assert reviewed(request, reviewer("alice", roles=(same_team,), team=["db"])).reviews
    for who, wanted in (
        (reviewer("alice", roles=(same_team,), team=["web"]), request),
        (reviewer("alice", roles=(same_team,), team=["db"]), asked()),
    ):
        with pytest.raises(ReviewDenied):
            reviewed(wanted, who)


def thresholds_request(*thresholds):
    asking = role("asking", allow={"request": {"roles": ["elevated-access"], "thresholds": list(thresholds)}})
    return asked(who=requester(roles=(asking,)))


def test_a_threshold_counts_only_reviews_that_pass_its_filter():
    senior = {"name": "senior", "approve": 1, "filter": 'contains(reviewer.roles, "senior")'}
    request = thresholds_request({"name": "crowd", "approve": 3}, senior)
    twice = reviewed(reviewed(request, "alice"), "ivan")
    assert twice.state is RequestState.PENDING
    chief = reviewer("carol", roles=(DBREVIEWER, role("senior")))
    assert reviewed(twice, chief).state is RequestState.APPROVED
    assert reviewed(request, chief).state is RequestState.APPROVED
    assert reviewed(request, chief).reviews[0].matched == ("elevated-access/0/0", "elevated-access/0/1")


def test_a_denial_that_passes_no_filter_does_not_refuse():
    request = thresholds_request({"approve": 1, "deny": 1, "filter": 'review.reason == "seen"'})
    ignored = reviewed(request, "alice", DENY)
    assert ignored.state is RequestState.PENDING
    assert reviewed(ignored, "ivan", DENY, reason="seen").state is RequestState.DENIED


def test_thresholds_of_one_role_are_alternatives_and_those_of_two_must_both_be_reached():
    other = role(
        "other",
        allow={
            "request": {
                "roles": ["elevated-access"],
                "thresholds": [{"approve": 1, "filter": 'contains(reviewer.traits["team"], "sec")'}],
            }
        },
    )
    request = asked(who=requester(roles=(DEVOPS, other)))
    twice = reviewed(reviewed(request, "alice"), "ivan")
    assert twice.state is RequestState.PENDING
    assert reviewed(twice, reviewer("carol", team=["sec"])).state is RequestState.APPROVED


def test_a_review_after_the_waiting_or_for_a_withdrawn_or_dry_request_is_refused():
    with pytest.raises(RequestClosed):
        reviewed(asked(), "alice", now=NOW + HOUR)
    with pytest.raises(RequestClosed):
        reviewed(replace(asked(), state=RequestState.WITHDRAWN), "alice")
    with pytest.raises(RequestClosed, match="dry run"):
        reviewed(asked(dry_run=True), "alice")
    approved = reviewed(reviewed(asked(access_life=2 * HOUR), "alice"), "ivan")
    with pytest.raises(RequestClosed):
        reviewed(approved, "carol", now=NOW + 2 * HOUR)


def test_a_reviewer_whose_identity_ended_is_refused():
    with pytest.raises(ReviewDenied, match="ended"):
        reviewed(asked(), reviewer("alice", life=timedelta(seconds=30)))


def test_the_latest_reviewers_start_wins_and_must_make_sense():
    request = asked(assume_start_time=NOW + HOUR)
    assert request.starts_at() == NOW + HOUR
    once = reviewed(request, "alice", assume_start_time=NOW + 2 * HOUR)
    twice = reviewed(once, "ivan", assume_start_time=NOW + 3 * HOUR)
    assert twice.starts_at() == NOW + 3 * HOUR
    for start in (NOW, NOW + 9 * HOUR):
        with pytest.raises(WishInvalid):
            reviewed(request, "alice", assume_start_time=start)


def test_a_role_with_signed_approval_takes_no_unsigned_review():
    known = KNOWN | {"elevated-access": role("elevated-access", approval="signed")}
    request = asked(known=known)
    assert request.signed_reviews
    with pytest.raises(ReviewDenied, match="signed"):
        reviewed(request, "alice")
    signed = SignedReview(
        nonce=b"n" * 16, credential_id=b"c", authenticator_data=b"a", client_data_json=b"{}", signature=b"s"
    )
    assert reviewed(request, "alice", signed=signed).reviews[0].signed == signed


def test_a_hundred_reviews_at_once_end_in_exactly_one_resolution():
    draw = random.Random(7)
    for _ in range(20):
        stored, version, resolutions = asked(), 0, 0
        waiting = [(f"person-{n}", draw.choice([APPROVE, DENY])) for n in range(100)]
        read = {name: (stored, version) for name, _ in waiting}
        while waiting:
            name, verdict = waiting.pop(draw.randrange(len(waiting)))
            seen, seen_version = read[name]
            after = reviewed(seen, name, verdict)
            if seen_version != version:  # somebody wrote in between: read again
                read[name] = (stored, version)
                waiting.append((name, verdict))
                continue
            resolutions += stored.state is RequestState.PENDING and after.state is not RequestState.PENDING
            stored, version = after, version + 1
        assert resolutions == 1
        assert len(stored.reviews) == 100
        assert len({one.reviewer for one in stored.reviews}) == 100
        assert tally(stored.thresholds, stored.reviews) is stored.state


def test_without_thresholds_or_sets_nothing_is_ever_approved():
    yes = reviewed(reviewed(asked(), "alice"), "ivan").reviews
    assert tally((), yes) is RequestState.PENDING
    assert tally((RoleThresholds(role="x", sets=()),), yes) is RequestState.PENDING
    zero = (RoleThresholds(role="x", sets=((Threshold(approve=0, deny=0),),)),)
    assert tally(zero, ()) is RequestState.PENDING


verdicts = st.lists(st.sampled_from(Verdict), max_size=6)


@settings(max_examples=60, deadline=None)
@given(verdicts, st.integers(1, 3), st.integers(1, 3))
def test_the_resolution_is_the_first_threshold_reached_and_never_changes(said, approve, deny):
    request = thresholds_request({"approve": approve, "deny": deny})
    expected, yes, no = RequestState.PENDING, 0, 0
    for number, verdict in enumerate(said):
        request = reviewed(request, f"person-{number}", verdict)
        yes, no = yes + (verdict is APPROVE), no + (verdict is DENY)
        if expected is RequestState.PENDING:
            expected = (
                RequestState.DENIED if no >= deny else RequestState.APPROVED if yes >= approve else expected
            )
        assert request.state is expected


def test_an_opinion_needs_the_digest_of_what_was_shown():
    opinion = Opinion(verdict=APPROVE, request_digest="0" * 64)
    with pytest.raises(RequestClosed, match="look at it again"):
        add_review(asked(), reviewer("alice"), opinion, NOW)
    assert ELEVATED.name == "elevated-access"
