"""The stories of the reference pages, and the laws every decision obeys."""

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.decision import Deny, Factor, Need, Permit
from appliance.domain.role import RecordingMode, ResourceKind, SessionMfa
from appliance.policy.decision import (
    AccessDeny,
    AccessNeed,
    AccessPermit,
    ClusterPolicy,
    Resource,
    SessionProof,
    decide_access,
)
from appliance.policy.presets import PRESETS
from tests.support.roles import HOUR, NOW, node, person, role

DEV = role("access-dev", allow={"node_labels": {"env": "dev"}, "logins": ["jerry"]})
PROD = role(
    "access-prod",
    allow={"node_labels": {"env": "prod"}, "logins": ["jerry"]},
    deny={},
    require_session_mfa=True,
)
JERRY = person("jerry")


def touch(*, at=NOW, verification=False, factor=Factor.WEBAUTHN):
    return SessionProof(factor=factor, at=at, presence=True, verification=verification)


def test_jerry_enters_dev_without_a_check():
    decision = decide_access(JERRY, [DEV, PROD], node("dev1", env="dev"), "jerry", NOW)
    assert isinstance(decision, Permit)
    assert decision.grant.principals == ("jerry",)
    assert decision.options.mfa is SessionMfa.OFF
    assert [finding.role for finding in decision.explanation.findings] == ["access-dev"]


def test_jerry_is_asked_for_a_check_before_prod_and_enters_after_it():
    prod = node("prod3", env="prod")
    first = decide_access(JERRY, [DEV, PROD], prod, "jerry", NOW)
    assert isinstance(first, Need)
    assert Factor.WEBAUTHN in first.factors
    assert Factor.TOTP in first.factors
    assert first.explanation.findings[0].path == ("spec", "options", "require_session_mfa")
    assert decide_access(JERRY, [DEV, PROD], prod, "jerry", NOW, proofs=[touch()])


def test_olga_turning_the_check_on_for_the_cluster_reaches_dev_as_well():
    cluster = ClusterPolicy(session_mfa=SessionMfa.CHECK)
    decision = decide_access(JERRY, [DEV, PROD], node(env="dev"), "jerry", NOW, cluster=cluster)
    assert isinstance(decision, AccessNeed)
    assert "the cluster" in decision.explanation.outcome


def test_a_check_is_good_for_five_minutes_and_never_from_the_future():
    prod = node(env="prod")
    for age, good in ((0, True), (300, True), (301, False), (-1, False)):
        proof = touch(at=NOW - timedelta(seconds=age))
        decision = decide_access(JERRY, [PROD], prod, "jerry", NOW, proofs=[proof])
        assert bool(decision) is good


def test_a_password_or_a_certificate_is_no_check():
    for factor in (Factor.PASSWORD, Factor.SSH_CERTIFICATE, Factor.RECOVERY_CODE):
        proofs = [touch(factor=factor, verification=True)]
        assert not decide_access(JERRY, [PROD], node(env="prod"), "jerry", NOW, proofs=proofs)


def test_a_factor_the_cluster_does_not_allow_is_neither_asked_for_nor_taken():
    cluster = ClusterPolicy(session_factors=frozenset({Factor.WEBAUTHN}))
    ask = decide_access(JERRY, [PROD], node(env="prod"), "jerry", NOW, cluster=cluster)
    assert isinstance(ask, AccessNeed)
    assert ask.factors == {Factor.WEBAUTHN}
    code = [touch(factor=Factor.TOTP)]
    assert not decide_access(JERRY, [PROD], node(env="prod"), "jerry", NOW, cluster=cluster, proofs=code)
    none = ClusterPolicy(session_factors=frozenset())
    assert isinstance(decide_access(JERRY, [PROD], node(env="prod"), "jerry", NOW, cluster=none), AccessDeny)


@pytest.mark.parametrize(
    ("required", "proof", "good"),
    [
        ("hardware_key", SessionProof(factor=Factor.TOTP, at=NOW, presence=True), False),
        ("hardware_key", SessionProof(factor=Factor.SSH_SECURITY_KEY, at=NOW), True),
        ("hardware_key_touch", SessionProof(factor=Factor.SSH_SECURITY_KEY, at=NOW), False),
        ("hardware_key_touch", touch(), True),
        ("hardware_key_pin", touch(), False),
        ("hardware_key_pin", SessionProof(factor=Factor.WEBAUTHN, at=NOW, verification=True), True),
        ("hardware_key_touch_and_pin", touch(), False),
        ("hardware_key_touch_and_pin", touch(verification=True), True),
    ],
)
def test_the_proof_must_be_as_strong_as_the_role_asks(required, proof, good):
    strict = role(
        "strict", allow={"node_labels": {"*": "*"}, "logins": ["jerry"]}, require_session_mfa=required
    )
    assert bool(decide_access(JERRY, [strict], node(), "jerry", NOW, proofs=[proof])) is good


def test_touch_in_one_role_and_pin_in_another_make_touch_and_pin():
    assert (
        SessionMfa.HARDWARE_KEY_TOUCH | SessionMfa.HARDWARE_KEY_PIN is SessionMfa.HARDWARE_KEY_TOUCH_AND_PIN
    )
    assert SessionMfa.OFF | SessionMfa.CHECK is SessionMfa.CHECK
    assert not SessionMfa.OFF


@given(st.sampled_from(SessionMfa), st.sampled_from(SessionMfa), st.sampled_from(SessionMfa))
def test_requirements_add_up_in_any_order(one, two, three):
    assert one | two is two | one
    assert (one | two) | three is one | (two | three)
    assert (one | two).demands(one)


USERS = {
    "joe": {"logins": ["root", "joe"]},
    "tara": {"logins": ["tara"]},
    "teleport": {"logins": ["teleport"]},
    "sandra": {"logins": ["ops"]},
    "juliet": {"logins": ["juliet"]},
    "ross": {},
}


@pytest.mark.parametrize(
    ("user", "login", "allowed"),
    [
        ("joe", "root", True),
        ("joe", "joe", True),
        ("joe", "ops", False),
        ("tara", "tara", True),
        ("tara", "root", False),
        ("sandra", "ops", True),
        ("sandra", "sandra", False),
        ("juliet", "juliet", True),
        ("juliet", "nginx", False),
        ("ross", "ross", True),
        ("ross", "root", False),
    ],
)
def test_people_enter_under_the_logins_of_their_mapping(user, login, allowed):
    decision = decide_access(person(user, **USERS[user]), [PRESETS["access"]], node("grav-00"), login, NOW)
    assert bool(decision) is allowed
    if not allowed:
        assert "labels match, but not the login" in str(decision.explanation)


def test_only_the_role_elevated_access_opens_the_production_databases():
    elevated = role(
        "elevated-access",
        version="v5",
        allow={"logins": ["root"], "node_labels": {"env": "prod", "type": "db"}},
    )
    devops = role("devops", version="v5", allow={"request": {"roles": ["elevated-access"]}})
    bob, database = person("bob"), node("db-1", env="prod", type="db")
    assert not decide_access(bob, [devops], database, "root", NOW)
    assert decide_access(bob, [devops, elevated], database, "root", NOW)
    assert not decide_access(bob, [devops, elevated], node("web-1", env="prod", type="web"), "root", NOW)


def test_nothing_matching_and_an_empty_policy_are_denied():
    for held in ([], [role("empty")], [role("logins", allow={"logins": ["jerry"]})], [DEV]):
        decision = decide_access(JERRY, held, node(env="qa"), "jerry", NOW)
        assert isinstance(decision, Deny)
        assert "no role of jerry allows it" in decision.reason


def test_a_role_with_labels_and_without_logins_grants_nothing():
    assert not decide_access(JERRY, [role("x", allow={"node_labels": {"*": "*"}})], node(), "jerry", NOW)


@pytest.mark.parametrize(
    "deny",
    [
        {"logins": ["jerry"]},
        {"logins": ["*"]},
        {"logins": ["^j.*$"]},
        {"logins": ["{{internal.logins}}"]},
        {"node_labels": {"env": "dev"}},
        {"node_labels": {"*": "*"}},
        {"node_labels": {"env": ["prod", "d*"]}},
        {"node_labels_expression": 'labels["env"] == "dev"'},
        {"node_labels": {"env": "prod"}, "node_labels_expression": 'labels["env"] == "dev"'},
    ],
)
def test_each_part_of_a_deny_side_denies_alone(deny):
    refusal = decide_access(JERRY, [DEV, role("no", deny=deny)], node(env="dev"), "jerry", NOW)
    assert isinstance(refusal, AccessDeny)
    assert refusal.reason == "denied to jerry by role no"
    assert refusal.explanation.findings[0].path[:2] == ("spec", "deny")


def test_labels_and_expression_of_an_allow_side_must_both_match():
    both = role(
        "both",
        allow={
            "logins": ["jerry"],
            "node_labels": {"env": "dev"},
            "node_labels_expression": 'labels["os"] == "x"',
        },
    )
    assert decide_access(JERRY, [both], node(env="dev", os="x"), "jerry", NOW)
    assert not decide_access(JERRY, [both], node(env="dev"), "jerry", NOW)
    assert not decide_access(JERRY, [both], node(os="x"), "jerry", NOW)


def test_an_expression_may_compare_the_person_with_the_node():
    own = role(
        "own", allow={"logins": ["jerry"], "node_labels_expression": "labels.owner == user.metadata.name"}
    )
    assert decide_access(JERRY, [own], node(owner="jerry"), "jerry", NOW)
    assert not decide_access(JERRY, [own], node(owner="olga"), "jerry", NOW)
    assert not decide_access(JERRY, [own], node(), "jerry", NOW)


def test_labels_may_come_from_traits_and_a_missing_trait_matches_nothing():
    mine = role("mine", allow={"logins": ["jerry"], "node_labels": {"team": "{{external.team}}"}})
    assert decide_access(person("jerry", team=["core"]), [mine], node(team="core"), "jerry", NOW)
    assert not decide_access(person("jerry"), [mine], node(team="core"), "jerry", NOW)
    assert not decide_access(person("jerry"), [mine], node(team=""), "jerry", NOW)


def test_a_label_key_must_be_there_even_for_a_star():
    star = role("star", allow={"logins": ["jerry"], "node_labels": {"env": "*"}})
    assert decide_access(JERRY, [star], node(env=""), "jerry", NOW)
    assert not decide_access(JERRY, [star], node(), "jerry", NOW)


def test_an_ended_identity_or_role_grants_nothing_and_a_short_one_only_what_is_left():
    dev = node(env="dev")
    assert not decide_access(person("jerry", life=timedelta()), [DEV], dev, "jerry", NOW)
    assert not decide_access(person("jerry", life=-HOUR), [DEV], dev, "jerry", NOW)
    short = decide_access(person("jerry", life=HOUR), [DEV], dev, "jerry", NOW)
    assert isinstance(short, AccessPermit)
    assert short.grant.lifetime == HOUR


def test_the_shortest_session_of_all_roles_counts_and_thirty_hours_at_most():
    long = role("long", allow={"logins": ["jerry"], "node_labels": {"*": "*"}}, max_session_ttl="30h")
    short = role("short", max_session_ttl="15m")
    forever = person("jerry", life=1000 * HOUR)
    assert decide_access(forever, [long], node(), "jerry", NOW).grant.lifetime == 30 * HOUR
    assert decide_access(forever, [long, short], node(), "jerry", NOW).grant.lifetime == timedelta(minutes=15)


def test_other_kinds_of_resources_have_their_own_labels_and_names():
    reader = role(
        "db", allow={"db_labels": {"env": "prod"}, "db_users": ["reader"]}, require_session_mfa=True
    )
    database = Resource(name="mysql", labels={"env": "prod"}, kind=ResourceKind.DATABASE)
    ask = decide_access(JERRY, [reader], database, "reader", NOW, kind=ResourceKind.DATABASE)
    assert isinstance(ask, AccessNeed)
    assert not decide_access(JERRY, [reader], database, "reader", NOW)
    app = role("app", allow={"app_labels": {"*": "*"}})
    assert decide_access(JERRY, [app], Resource(name="wiki"), "", NOW, kind=ResourceKind.APP)


def test_only_a_permit_is_truthy_and_the_recorder_is_strict_by_default():
    permit = decide_access(JERRY, [DEV], node(env="dev"), "jerry", NOW)
    assert permit
    assert permit.options.recording is RecordingMode.STRICT
    assert not decide_access(JERRY, [PROD], node(env="prod"), "jerry", NOW)
    assert not decide_access(JERRY, [PROD], node(env="dev"), "jerry", NOW)


envs, logins = st.sampled_from(["dev", "prod", "*", "^p.*$"]), st.sampled_from(["root", "alice", "ops"])
sides = st.fixed_dictionaries(
    {},
    optional={
        "logins": st.lists(logins, max_size=2),
        "node_labels": st.dictionaries(st.sampled_from(["env", "os"]), envs, max_size=2),
    },
)


@st.composite
def held_roles(draw):
    sides_drawn = draw(st.lists(st.tuples(sides, st.just({}) | sides), min_size=1, max_size=4))
    return [role(f"role-{i}", allow=allow, deny=deny) for i, (allow, deny) in enumerate(sides_drawn)]


@settings(max_examples=100)
@given(held_roles(), st.sampled_from(["dev", "prod"]), logins)
def test_a_deny_beats_every_allow_in_every_order_of_the_roles(held, env, login):
    target = node(env=env, os="dev")
    outcomes = {type(decide_access(person(), order, target, login, NOW)) for order in permutations(held)}
    assert len(outcomes) == 1
    denied = role("denies", deny={"node_labels": {"env": env}})
    for order in permutations([*held, denied]):
        assert isinstance(decide_access(person(), order, target, login, NOW), AccessDeny)


@settings(max_examples=100)
@given(held_roles(), st.sampled_from(["dev", "prod"]), logins)
def test_taking_away_a_deny_never_closes_and_taking_away_an_allow_never_opens(held, env, login):
    target, everyone = node(env=env), person()
    before = bool(decide_access(everyone, held, target, login, NOW))
    for place in range(len(held)):
        fewer = [*held[:place], *held[place + 1 :]]
        after = bool(decide_access(everyone, fewer, target, login, NOW))
        if after and not before:
            assert held[place].deny.logins or held[place].deny.node_labels
