import hashlib
from dataclasses import fields, replace

import pytest

from appliance.domain.role import Threshold
from appliance.policy.presets import PRESETS
from appliance.requests.ask import Requester, ask_for_action, withdraw
from appliance.requests.canonical import (
    FIELDS,
    canonical_request,
    request_digest,
    review_digest,
    role_digest,
)
from appliance.requests.errors import ReviewDenied, UseDenied, WishInvalid
from appliance.requests.model import AccessRequest, Action, PinnedRole, RequestState, SignedReview, Verdict
from appliance.requests.use import approvals_to_verify, approved_by, assume, use_for_action
from tests.support.requests import (
    DBREVIEWER,
    ELEVATED,
    KNOWN,
    MINUTE,
    asked,
    requester,
    reviewed,
    reviewer,
)
from tests.support.roles import HOUR, NOW, person, role

LATER = NOW + 2 * MINUTE
REVIEWERS = {name: reviewer(name) for name in ("alice", "ivan", "carol")}


def approved(**wish):
    return reviewed(reviewed(asked(**wish), "alice"), "ivan")


def used(request, *, user="bob", ends=NOW + 8 * HOUR, now=LATER, known=KNOWN, reviewers=REVIEWERS):
    return assume(request, user, ends, now, known=known, reviewers=reviewers)


def test_bob_assumes_the_role_after_two_approvals_and_may_do_so_again():
    for _ in range(2):
        given = used(approved())
        assert given.roles == ("elevated-access",)
        assert given.approved_by == ("alice", "ivan")
        assert given.expires_at == NOW + 8 * HOUR


def test_what_is_given_ends_with_the_request_or_the_identity_whichever_is_first():
    assert used(approved(access_life=HOUR)).expires_at == NOW + HOUR
    assert used(approved(), ends=NOW + 3 * HOUR).expires_at == NOW + 3 * HOUR
    with pytest.raises(UseDenied, match="over"):
        used(approved(access_life=HOUR), now=NOW + HOUR)


def test_nobody_else_uses_it_and_nobody_before_it_starts():
    with pytest.raises(UseDenied):
        used(approved(), user="eve")
    waiting = approved(assume_start_time=NOW + HOUR)
    with pytest.raises(UseDenied, match="starts at"):
        used(waiting)
    assert used(waiting, now=NOW + HOUR)


@pytest.mark.parametrize("state", [RequestState.PENDING, RequestState.DENIED, RequestState.WITHDRAWN])
def test_only_an_approved_request_gives_anything(state):
    with pytest.raises(UseDenied):
        used(replace(approved(), state=state))


def test_a_state_edited_into_the_store_gives_nothing_without_the_reviews():
    with pytest.raises(UseDenied, match="ask again"):
        used(replace(asked(), state=RequestState.APPROVED))
    once = replace(reviewed(asked(), "alice"), state=RequestState.APPROVED)
    with pytest.raises(UseDenied, match="ask again"):
        used(once)


def test_a_withdrawn_approval_is_gone():
    with pytest.raises(UseDenied):
        used(withdraw(approved(), "bob", LATER))


def test_an_edited_role_needs_a_new_request():
    wider = role("elevated-access", version="v5", allow={"logins": ["root"], "node_labels": {"*": "*"}})
    with pytest.raises(UseDenied, match="changed"):
        used(approved(), known=KNOWN | {"elevated-access": wider})
    with pytest.raises(UseDenied, match="changed"):
        used(approved(), known={})
    assert role_digest(replace(ELEVATED, revision="77")) == role_digest(ELEVATED)


def test_an_approval_falls_with_a_reviewer_who_was_deleted_or_lost_the_role():
    gone = {name: one for name, one in REVIEWERS.items() if name != "ivan"}
    stripped = REVIEWERS | {"ivan": reviewer("ivan", roles=())}
    for reviewers in (gone, stripped):
        with pytest.raises(UseDenied, match="no longer review"):
            used(approved(), reviewers=reviewers)


def test_a_denial_is_not_lifted_by_removing_the_person_who_gave_it():
    denied = replace(reviewed(approved(), "carol", Verdict.DENY), state=RequestState.APPROVED)
    counted = tuple(replace(one, counted=True) for one in denied.reviews)
    without_carol = {name: one for name, one in REVIEWERS.items() if name != "carol"}
    with pytest.raises(UseDenied):
        used(replace(denied, reviews=counted), reviewers=without_carol)


def test_an_ended_role_gives_nothing_though_it_was_approved():
    ending = replace(ELEVATED, expires=NOW + HOUR)
    known = KNOWN | {"elevated-access": ending}
    request = approved(known=known)
    assert used(request, known=known)
    with pytest.raises(UseDenied, match="ended"):
        used(request, known=known, now=NOW + HOUR)


def test_an_approval_stands_when_enough_others_remain():
    third = replace(asked(), thresholds=approved().thresholds)
    three = reviewed(reviewed(third, "alice"), "ivan")
    carol = replace(three.reviews[0], reviewer="carol")
    enough = replace(three, reviews=(*three.reviews, carol))
    assert used(enough, reviewers={k: v for k, v in REVIEWERS.items() if k != "ivan"}).approved_by == (
        "alice",
        "carol",
    )


def test_a_reviewer_whose_other_roles_changed_since_still_counts():
    changed = REVIEWERS | {"ivan": reviewer("ivan", roles=(DBREVIEWER, role("new")), granted_at=LATER)}
    assert used(approved(), reviewers=changed)


CHANGES = {
    "id": "r-2",
    "cluster": "elsewhere",
    "user": "eve",
    "roles": (PinnedRole(name="root", digest="0"),),
    "action": Action(name="a", words="b", digest="c"),
    "resources": ("db-2",),
    "reason": "another",
    "suggested_reviewers": ("eve",),
    "system_annotations": (("a", ("b",)),),
    "thresholds": (),
    "signed_reviews": True,
    "created_at": NOW - HOUR,
    "expires_at": NOW + 2 * HOUR,
    "access_expires_at": NOW + 20 * HOUR,
    "assume_start_time": NOW + HOUR,
    "revision": 2,
}


@pytest.mark.parametrize("name", FIELDS)
def test_changing_anything_that_was_agreed_to_voids_the_approval(name):
    request = approved()
    changed = replace(request, **{name: CHANGES[name]})
    assert request_digest(changed) != request_digest(request)
    with pytest.raises(UseDenied):
        used(changed, user=changed.user)


def test_every_field_is_either_agreed_to_or_only_the_course_of_the_request():
    course = {"state", "resolved_at", "reviews", "voided", "used_at", "dry_run", "requester_keys"}
    assert {field.name for field in fields(AccessRequest)} == set(FIELDS) | course


def test_the_canonical_request_is_fixed_and_the_digest_its_sha256():
    request = asked(reason="disk")
    text = canonical_request(request)
    assert text.startswith(b"sallyport access request v1\n{")
    assert b'"created_at":"2026-01-01T12:00:00Z"' in text
    assert request_digest(request) == hashlib.sha256(text).hexdigest()
    assert request_digest(approved(reason="disk")) == request_digest(request)


def test_a_review_digest_covers_the_request_the_reviewer_the_verdict_the_reason_and_the_start():
    digest = request_digest(asked())
    digests = {
        review_digest(digest, "alice", Verdict.APPROVE),
        review_digest(digest, "alice", Verdict.DENY),
        review_digest(digest, "ivan", Verdict.APPROVE),
        review_digest(digest, "alice", Verdict.APPROVE, "fine"),
        review_digest(digest, "alice", Verdict.APPROVE, "", NOW),
        review_digest("0" * 64, "alice", Verdict.APPROVE),
    }
    assert len(digests) == 6
    assert {len(one) for one in digests} == {32}


def signed(name):
    return SignedReview(
        nonce=b"n" * 16,
        credential_id=name.encode(),
        authenticator_data=b"a",
        client_data_json=b"{}",
        signature=b"s",
    )


def test_the_signer_believes_only_approvals_it_verified():
    known = KNOWN | {"elevated-access": role("elevated-access", approval="signed")}
    request = asked(known=known)
    for name in ("alice", "ivan"):
        request = reviewed(request, name, signed=signed(name))
    to_verify = approvals_to_verify(request)
    assert [one.reviewer for one in to_verify] == ["alice", "ivan"]
    assert to_verify[0].review_digest == review_digest(request_digest(request), "alice", Verdict.APPROVE)
    assert approved_by(request, {"alice", "ivan"})
    assert not approved_by(request, {"alice"})
    assert not approved_by(request, {"alice", "carol"})
    assert not approved_by(request, set())
    forged = replace(request, reviews=(request.reviews[0], replace(request.reviews[1], signed=None)))
    assert not approved_by(forged, {"alice", "ivan"})


ACTION = Action(name="rotate", words="rotate the user authority", digest="ab" * 32)
EDITOR = (PRESETS["editor"],)


def action_request(**given):
    who = Requester(subject=person("root-admin"), roles=EDITOR)
    return ask_for_action(ACTION, who, [Threshold(approve=1)], NOW, request_id="a-1", cluster="here", **given)


def test_an_action_is_agreed_to_by_another_administrator_and_done_once():
    request = action_request()
    with pytest.raises(ReviewDenied, match="own request"):
        reviewed(request, reviewer("root-admin", roles=EDITOR), signed=signed("x"))
    with pytest.raises(ReviewDenied, match="signed"):
        reviewed(request, reviewer("second", roles=EDITOR))
    agreed = reviewed(request, reviewer("second", roles=EDITOR), signed=signed("second"))
    assert agreed.state is RequestState.APPROVED
    others = {"second": reviewer("second", roles=EDITOR)}
    with pytest.raises(UseDenied, match="something else"):
        use_for_action(agreed, "root-admin", "cd" * 32, LATER, others)
    done = use_for_action(agreed, "root-admin", ACTION.digest, LATER, others)
    assert done.used_at == LATER
    with pytest.raises(UseDenied, match="used already"):
        use_for_action(done, "root-admin", ACTION.digest, LATER, others)
    with pytest.raises(UseDenied):
        use_for_action(agreed, "root-admin", ACTION.digest, NOW + HOUR, others)
    with pytest.raises(UseDenied, match="not to roles"):
        assume(agreed, "root-admin", NOW + HOUR, LATER, known={}, reviewers=others)


def test_a_pattern_over_roles_does_not_reach_actions():
    everything = role("everything", allow={"review_requests": {"roles": ["*", "^.*$"]}})
    with pytest.raises(ReviewDenied, match="rotate"):
        reviewed(action_request(), reviewer("eve", roles=(everything,)), signed=signed("e"))
    never = role("never", deny={"review_requests": {"roles": ["*"]}})
    with pytest.raises(ReviewDenied):
        reviewed(action_request(), reviewer("eve", roles=(*EDITOR, never)), signed=signed("e"))


def test_dual_control_without_an_approval_is_not_a_setting():
    who = Requester(subject=person("root-admin"), roles=EDITOR)
    for thresholds in ([], [Threshold(approve=0)]):
        with pytest.raises(WishInvalid):
            ask_for_action(ACTION, who, thresholds, NOW, request_id="a", cluster="c")


def test_a_role_request_is_no_agreement_to_an_action():
    with pytest.raises(UseDenied):
        use_for_action(approved(), "bob", ACTION.digest, LATER, REVIEWERS)
    assert requester().subject.name == "bob"
