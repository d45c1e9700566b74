import pytest

from appliance.policy.impersonation import decide_impersonation
from tests.support.roles import HOUR, NOW, person, role

IMPERSONATOR = role(
    "access-plugin-impersonator",
    allow={"impersonate": {"roles": ["access-plugin"], "users": ["access-plugin"]}},
)


def decide(held, user, *roles, who=None):
    return decide_impersonation(who or person(), held, user, roles, NOW)


@pytest.mark.parametrize(
    ("user", "roles", "allowed"),
    [
        ("access-plugin", ("access-plugin",), True),
        ("", ("access-plugin",), True),
        ("access-plugin", (), True),
        ("access-plugin", ("editor",), False),
        ("access-plugin", ("access-plugin", "editor"), False),
        ("root", ("access-plugin",), False),
        ("", (), False),
    ],
)
def test_user_and_every_role_must_be_named(user, roles, allowed):
    assert bool(decide([IMPERSONATOR], user, *roles)) is allowed


def test_permissions_of_two_roles_are_not_added_together():
    user = role("user", allow={"impersonate": {"users": ["bot"]}})
    roles = role("roles", allow={"impersonate": {"roles": ["ci"]}})
    assert not decide([user, roles], "bot", "ci")


def test_a_deny_of_the_user_or_a_role_comes_first_in_every_order():
    for deny in ({"users": ["access-*"]}, {"roles": ["*"]}):
        no = role("no", deny={"impersonate": deny})
        for held in ([IMPERSONATOR, no], [no, IMPERSONATOR]):
            assert not decide(held, "access-plugin", "access-plugin")


def test_the_predicate_must_hold_for_every_role():
    some = role(
        "some",
        allow={"impersonate": {"roles": ["*"], "where": 'has_prefix(impersonate_role.metadata.name, "ci-")'}},
    )
    assert decide([some], "", "ci-a", "ci-b")
    assert not decide([some], "", "ci-a", "editor")


def test_an_ended_identity_impersonates_nobody():
    assert not decide([IMPERSONATOR], "", "access-plugin", who=person(life=-HOUR))
