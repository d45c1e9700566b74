from itertools import permutations

import pytest

from appliance.policy.decision import RuleDeny, RulePermit, decide_rule
from appliance.policy.presets import PRESETS
from appliance.policy.rules import decided_by
from tests.support.roles import HOUR, NOW, person, role

PLUGIN = role(
    "access-plugin",
    allow={
        "rules": [
            {"resources": ["access_request"], "verbs": ["list", "read"]},
            {"resources": ["access_plugin_data"], "verbs": ["update"]},
        ]
    },
)


def decide(held, resource, verb, *, who=None, **context):
    return decide_rule(who or person(), held, resource, verb, NOW, context=context)


@pytest.mark.parametrize(
    ("resource", "verb", "allowed"),
    [
        ("access_request", "list", True),
        ("access_request", "read", True),
        ("access_request", "readnosecrets", True),
        ("access_request", "update", False),
        ("access_plugin_data", "update", True),
        ("role", "read", False),
    ],
)
def test_a_plugin_may_do_what_its_rules_say_and_nothing_else(resource, verb, allowed):
    assert bool(decide([PLUGIN], resource, verb)) is allowed


@pytest.mark.parametrize(
    ("preset", "resource", "verb", "allowed"),
    [
        ("editor", "user", "create", True),
        ("editor", "role", "update", True),
        ("editor", "cert_authority", "rotate", True),
        ("editor", "event", "read", True),
        ("editor", "event", "delete", False),
        ("auditor", "event", "list", True),
        ("auditor", "session", "read", True),
        ("auditor", "user", "update", False),
        ("access", "user", "list", False),
        ("requester", "role", "read", False),
        ("reviewer", "access_request", "update", False),
    ],
)
def test_presets_administer_read_or_neither(preset, resource, verb, allowed):
    assert bool(decide([PRESETS[preset]], resource, verb)) is allowed


def test_a_denied_verb_stays_denied_in_every_order():
    no = role("no", deny={"rules": [{"resources": ["*"], "verbs": ["delete"]}]})
    every = role("every", allow={"rules": [{"resources": ["*"], "verbs": ["*"]}]})
    for order in permutations([no, every, PRESETS["editor"]]):
        refusal = decide(order, "user", "delete")
        assert isinstance(refusal, RuleDeny)
        assert decided_by(refusal) == "role no, spec.deny.rules[0]"
        permit = decide(order, "user", "list")
        assert isinstance(permit, RulePermit)


def test_denying_to_read_without_secrets_denies_to_read_with_them():
    everything = role("all", allow={"rules": [{"resources": ["*"], "verbs": ["*"]}]})
    no_public = role("no", deny={"rules": [{"resources": ["user"], "verbs": ["readnosecrets"]}]})
    no_secret = role("no", deny={"rules": [{"resources": ["user"], "verbs": ["read"]}]})
    assert not decide([everything, no_public], "user", "read")
    assert not decide([everything, no_secret], "user", "read")
    assert decide([everything, no_secret], "user", "readnosecrets")


def test_people_read_the_sessions_they_took_part_in():
    mine = {"session.participants": ("alice", "bob")}
    assert decide([PRESETS["access"]], "session", "read", **mine)
    assert not decide([PRESETS["access"]], "session", "read", who=person("eve"), **mine)
    assert not decide([PRESETS["access"]], "session", "read")


def test_a_rule_may_look_at_the_resource():
    own = role(
        "own",
        allow={
            "rules": [
                {
                    "resources": ["node"],
                    "verbs": ["update"],
                    "where": 'resource.metadata.labels["owner"] == user.metadata.name',
                }
            ]
        },
    )
    assert decide([own], "node", "update", **{"resource.metadata.labels": {"owner": "alice"}})
    assert not decide([own], "node", "update", **{"resource.metadata.labels": {"owner": "bob"}})


def test_nothing_is_allowed_without_roles_or_after_the_end():
    assert not decide([], "user", "list")
    assert not decide([PRESETS["editor"]], "user", "list", who=person(life=-HOUR))
