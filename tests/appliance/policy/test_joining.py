import pytest

from appliance.domain.role import OnLeave
from appliance.policy.joining import Participant, may_join, missing_joins, on_leave
from appliance.policy.options import merge_options
from appliance.policy.outcome import ClusterPolicy
from tests.support.roles import HOUR, NOW, person, role

WATCH = role(
    "watch",
    allow={"join_sessions": [{"name": "w", "roles": ["prod-*"], "kinds": ["ssh"], "modes": ["moderator"]}]},
)


@pytest.mark.parametrize(
    ("owner_roles", "kind", "mode", "allowed"),
    [
        (["prod-access"], "ssh", "moderator", True),
        (["dev", "prod-x"], "ssh", "moderator", True),
        (["dev"], "ssh", "moderator", False),
        (["prod-access"], "db", "moderator", False),
        (["prod-access"], "ssh", "peer", False),
        ([], "ssh", "moderator", False),
    ],
)
def test_joining_needs_a_policy_for_the_owners_role_the_kind_and_the_mode(owner_roles, kind, mode, allowed):
    assert may_join(person(), [WATCH], owner_roles, NOW, kind=kind, mode=mode) is allowed


def test_a_deny_of_joining_comes_first_in_every_order():
    no = role("no", deny={"join_sessions": [{"name": "n", "roles": ["*"], "kinds": ["*"], "modes": ["*"]}]})
    for held in ([WATCH, no], [no, WATCH]):
        assert not may_join(person(), held, ["prod-access"], NOW, kind="ssh", mode="moderator")
    assert not may_join(person(life=-HOUR), [WATCH], ["prod-access"], NOW, kind="ssh", mode="moderator")


def required(name, count=1, **changes):
    given = {"name": name, "kinds": ["ssh"], "modes": ["moderator"], "count": count}
    return given | {"filter": f'contains(user.spec.roles, "{name}")'} | changes


def session(*roles):
    return merge_options(roles, roles, ClusterPolicy())


def participant(name, *roles, mode="moderator"):
    return Participant(subject=person(name), roles=[role(one) for one in roles], mode=mode)


def test_alternatives_of_one_role_and_all_of_two_roles_must_be_met():
    either = role("either", allow={"require_session_join": [required("sec"), required("lead", count=2)]})
    also = role("also", allow={"require_session_join": [required("dba")]})
    options = session(either, also)
    sec, dba = participant("s", "sec"), participant("d", "dba")
    assert len(missing_joins(options, "owner", [])) == 2
    assert len(missing_joins(options, "owner", [sec])) == 1
    assert missing_joins(options, "owner", [sec, dba]) == ()
    one, two = participant("l", "lead"), participant("m", "lead")
    assert len(missing_joins(options, "owner", [one, dba])) == 1
    assert missing_joins(options, "owner", [one, two, dba]) == ()


def test_the_owner_one_person_twice_or_a_mere_observer_do_not_count():
    options = session(role("r", allow={"require_session_join": [required("sec", count=2)]}))
    sec = participant("s", "sec")
    for present in (
        [sec, sec],
        [sec, participant("owner", "sec")],
        [sec, participant("o", "sec", mode="observer")],
    ):
        assert missing_joins(options, "owner", present)


def test_ending_is_stricter_than_pausing_when_someone_leaves():
    pause = role("p", allow={"require_session_join": [required("a", on_leave="pause")]})
    end = role("e", allow={"require_session_join": [required("a", on_leave="terminate")]})
    assert on_leave(session(pause)) is OnLeave.PAUSE
    assert on_leave(session(pause, end)) is OnLeave.TERMINATE
