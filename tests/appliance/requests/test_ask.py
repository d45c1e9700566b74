from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.domain import codec
from appliance.policy.presets import PRESETS
from appliance.requests.ask import Wish, ask, edit, withdraw
from appliance.requests.canonical import request_digest, role_digest
from appliance.requests.errors import RequestClosed, UseDenied, WishInvalid
from appliance.requests.model import AccessRequest, RequestState
from tests.support.requests import DEVOPS, ELEVATED, KNOWN, MINUTE, asked, requester, reviewed
from tests.support.roles import HOUR, NOW, role


def test_bob_asks_for_the_role_that_devops_may_ask_for():
    request = asked(reason="disk is full")
    assert request.state is RequestState.PENDING
    assert request.user == "bob"
    assert request.role_names == ("elevated-access",)
    assert request.roles[0].digest == role_digest(ELEVATED)
    assert [one.approve for one in request.thresholds[0].sets[0]] == [2]
    assert request.expires_at == NOW + HOUR
    assert codec.loads(AccessRequest, codec.dumps(request)) == request


@pytest.mark.parametrize("wanted", ["dbreviewer", "devops", "nonexistent", "elevated", "*-access", ""])
def test_a_role_that_may_not_be_asked_for_and_one_that_does_not_exist_sound_the_same(wanted):
    with pytest.raises(WishInvalid, match="can't be requested"):
        asked(wanted)


def test_a_deny_takes_the_role_away_in_every_order():
    no = role("no", deny={"request": {"roles": ["elev*"]}})
    for held in ((DEVOPS, no), (no, DEVOPS)):
        with pytest.raises(WishInvalid):
            asked(who=requester(roles=held))


def test_roles_may_be_named_by_globs_expressions_and_claims():
    held = role(
        "held",
        allow={
            "request": {
                "roles": ["dev-*", "^ops-[0-9]$"],
                "claims_to_roles": [{"claim": "group", "value": "adm*", "roles": ["elevated-access"]}],
            }
        },
    )
    known = {name: role(name) for name in ("dev-a", "ops-1", "ops-x")} | {"elevated-access": ELEVATED}
    who = requester(roles=(held,), group=["admins"])
    assert asked("dev-a", "ops-1", "elevated-access", who=who, known=known).role_names == (
        "dev-a",
        "ops-1",
        "elevated-access",
    )
    with pytest.raises(WishInvalid):
        asked("ops-x", who=who, known=known)
    with pytest.raises(WishInvalid):
        asked("elevated-access", who=requester(roles=(held,), group=["users"]), known=known)


def test_a_star_asks_for_everything_that_can_be_requested_and_nothing_else():
    known = KNOWN | PRESETS
    both = requester(roles=(DEVOPS, PRESETS["requester"]))
    assert asked("*", who=both, known=known).role_names == ("access", "elevated-access")
    with pytest.raises(WishInvalid, match="nothing"):
        asked("*", who=requester(roles=()))


def test_each_role_that_allows_the_request_adds_a_set_and_equal_sets_count_once():
    other = role("other", allow={"request": {"roles": ["elevated-access"], "thresholds": [{"approve": 3}]}})
    plain = role("plain", allow={"request": {"roles": ["*"]}})
    sets = asked(who=requester(roles=(DEVOPS, other, plain, DEVOPS))).thresholds[0].sets
    assert [[(one.approve, one.deny) for one in one_set] for one_set in sets] == [
        [(2, 1)],
        [(3, 1)],
        [(1, 1)],
    ]


def test_reviewers_are_suggested_by_roles_only_where_the_person_names_none():
    suggesting = replace(
        DEVOPS,
        allow=replace(
            DEVOPS.allow,
            request=replace(DEVOPS.allow.request, suggested_reviewers=("alice", "ivan", "alice")),
        ),
    )
    who = requester(roles=(suggesting, suggesting))
    assert asked(who=who).suggested_reviewers == ("alice", "ivan")
    assert asked(who=who, suggested_reviewers=("eve", "eve")).suggested_reviewers == ("eve",)


@pytest.mark.parametrize(
    "needing",
    [
        role("r", allow={"request": {"roles": ["elevated-access"], "reason": {"mode": "required"}}}),
        role("r", allow={"request": {"roles": ["elevated-access"]}}, request_access="reason"),
    ],
)
def test_a_required_reason_may_not_be_blank_but_for_a_dry_run(needing):
    who = requester(roles=(DEVOPS, needing))
    for reason in ("", "  \n"):
        with pytest.raises(WishInvalid, match="reason"):
            asked(who=who, reason=reason)
    assert asked(who=who, reason="on call")
    assert asked(who=who, dry_run=True).dry_run


@pytest.mark.parametrize(
    "reason", ["x" * 4097, "ä" * 2049, "x" * 10_000_000, "a\x1b[2Jb", "a\u202eb", "a\x00b", "\x9d8;;"]
)
def test_a_reason_too_long_or_with_hidden_characters_is_refused(reason):
    with pytest.raises(WishInvalid):
        asked(reason=reason)


def test_a_reason_in_any_script_and_with_markup_is_kept_as_it_stands():
    assert asked(reason="größer <b>über</b>\nzwei").reason == "größer <b>über</b>\nzwei"


def test_waiting_takes_an_hour_cut_by_identity_and_role_and_more_is_an_error():
    assert asked(pending_life=5 * HOUR).expires_at == NOW + 5 * HOUR
    assert asked(who=requester(life=30 * MINUTE)).expires_at == NOW + 30 * MINUTE
    with pytest.raises(WishInvalid, match="at most 8h"):
        asked(pending_life=9 * HOUR)
    short = {"elevated-access": role("elevated-access", max_session_ttl="20m")}
    assert asked(known=short).expires_at == NOW + 20 * MINUTE
    with pytest.raises(WishInvalid, match="at most 20m"):
        asked(known=short, pending_life=HOUR)


def test_access_lasts_thirty_hours_at_most_cut_by_identity_and_role():
    assert asked(who=requester(life=100 * HOUR)).access_expires_at == NOW + 30 * HOUR
    assert asked().access_expires_at == NOW + 8 * HOUR
    assert asked(access_life=HOUR).access_expires_at == NOW + HOUR
    for life in (9 * HOUR, timedelta(), -HOUR):
        with pytest.raises(WishInvalid):
            asked(access_life=life)


def test_a_longer_duration_needs_a_role_that_allows_it_and_ends_at_fourteen_days():
    with pytest.raises(WishInvalid, match="duration"):
        asked(max_duration=48 * HOUR)
    days = role("days", allow={"request": {"roles": ["elevated-access"], "max_duration": "14d"}})
    who = requester(roles=(DEVOPS, days))
    assert asked(who=who, max_duration=48 * HOUR).access_expires_at == NOW + 48 * HOUR
    with pytest.raises(WishInvalid, match="at most 336h"):
        asked(who=who, max_duration=timedelta(days=15))


def test_the_duration_of_several_roles_is_that_of_the_shortest():
    held = [
        role("a", allow={"request": {"roles": ["one"], "max_duration": "10d"}}),
        role("b", allow={"request": {"roles": ["two"], "max_duration": "2d"}}),
        role("c", allow={"request": {"roles": ["two"], "max_duration": "3d"}}),
    ]
    known = {"one": role("one"), "two": role("two")}
    with pytest.raises(WishInvalid, match="at most 72h"):
        asked("one", "two", who=requester(roles=held), known=known, max_duration=timedelta(days=4))


@pytest.mark.parametrize("start", [-MINUTE, timedelta(days=8), 8 * HOUR])
def test_a_start_in_the_past_too_far_ahead_or_after_the_end_is_refused(start):
    with pytest.raises(WishInvalid):
        asked(assume_start_time=NOW + start)


def test_an_ended_identity_asks_for_nothing():
    with pytest.raises(WishInvalid, match="ended"):
        asked(who=requester(life=-HOUR))


def test_a_request_for_nodes_takes_the_roles_to_search_as_literally():
    finder = role("finder", allow={"request": {"search_as_roles": ["elevated-access", "gone"]}})
    request = asked(who=requester(roles=(finder,)), resources=("db-1", "db-1"))
    assert request.resources == ("db-1",)
    with pytest.raises(WishInvalid):
        asked(who=requester(roles=(finder,)))
    with pytest.raises(WishInvalid):
        asked("elevated-*", who=requester(roles=(finder,)), resources=("db-1",))


def test_a_request_for_nodes_without_roles_takes_all_that_can_be_searched_as():
    held = role("finder", allow={"request": {"search_as_roles": ["elevated-access", "gone", "denied"]}})
    no = role("no", deny={"request": {"search_as_roles": ["denied"]}})
    wish = Wish(resources=("db-1",))
    known = KNOWN | {"denied": role("denied")}
    request = ask(wish, requester(roles=(held, no)), known, NOW, request_id="r", cluster="c")
    assert request.role_names == ("elevated-access",)


def test_a_role_that_has_ended_neither_asks_nor_is_asked_for():
    ended = replace(DEVOPS, expires=NOW)
    with pytest.raises(WishInvalid):
        asked(who=requester(roles=(ended,)))
    with pytest.raises(WishInvalid):
        asked(known=KNOWN | {"elevated-access": replace(ELEVATED, expires=NOW)})


def test_annotations_come_from_matching_roles_without_denied_values():
    noting = role(
        "noting",
        allow={"request": {"roles": ["*"], "annotations": {"team": ["{{external.team}}", "x"], "p": ["1"]}}},
    )
    deny = role("deny", deny={"request": {"annotations": {"team": ["x"], "p": ["1"]}}})
    request = asked(who=requester(roles=(DEVOPS, noting, deny), team=["core"]))
    assert request.system_annotations == (("team", ("core",)),)


def test_an_edit_is_a_new_revision_and_voids_what_was_said():
    first = asked(reason="one")
    once = reviewed(first, "alice")
    wished = asked(reason="two", now=NOW + 5 * MINUTE)
    second = edit(once, wished, "bob", NOW + 5 * MINUTE)
    assert (second.revision, second.reason, second.reviews) == (2, "two", ())
    assert second.voided == once.reviews
    assert second.created_at == NOW
    assert second.expires_at == first.expires_at
    assert request_digest(second) != request_digest(first)
    with pytest.raises(RequestClosed, match="was changed"):
        reviewed(second, "ivan", digest=request_digest(first))
    again = reviewed(reviewed(second, "alice", now=NOW + 6 * MINUTE), "ivan", now=NOW + 6 * MINUTE)
    assert again.state is RequestState.APPROVED


def test_only_the_person_who_asked_edits_or_withdraws_and_only_while_it_waits():
    request = asked()
    for step in (lambda: edit(request, request, "eve", NOW), lambda: withdraw(request, "eve", NOW)):
        with pytest.raises(UseDenied):
            step()
    denied = replace(request, state=RequestState.DENIED)
    with pytest.raises(RequestClosed):
        edit(denied, request, "bob", NOW)
    with pytest.raises(RequestClosed):
        withdraw(denied, "bob", NOW)
    with pytest.raises(RequestClosed):
        edit(request, request, "bob", NOW + HOUR)
