"""The compiled policy must say exactly what the plain definition says, whatever happened before."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.domain.role import SessionMfa
from appliance.policy import compiled as compiled_module
from appliance.policy import labels as labels_module
from appliance.policy import nodes as nodes_module
from appliance.policy import plan as plan_module
from appliance.policy.compiled import CompiledPolicy
from appliance.policy.decision import AccessNeed, ClusterPolicy, Resource, decide_access
from appliance.policy.labels import labels_match
from appliance.policy.nodes import NodeIndex
from appliance.policy.pattern import parse_pattern
from appliance.policy.where import NODE_SCHEMA, parse_predicate
from tests.support.roles import HOUR, NOW, node, person, role

KEYS, VALUES = ["env", "os", "host"], ["dev", "prod", "prod-eu", "x1", "x2", ""]
PATTERNS = ["dev", "prod", "prod*", "^x[0-9]$", "*", "{{external.team}}"]
EXPRESSIONS = [
    "",
    'labels["env"] == "dev"',
    'labels["env"] != "dev" && !is_empty(labels["os"])',
    'labels["env"] == labels["os"]',
    'contains(user.spec.traits["team"], labels["env"]) || regexp.match(labels["host"], "^x[0-9]$")',
]
ALICE = person(team=["dev", "x1"], logins=["alice"])

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
patterns = st.dictionaries(
    st.sampled_from(KEYS), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2), max_size=2
)
sides = st.fixed_dictionaries(
    {},
    optional={
        "logins": st.lists(st.sampled_from(["root", "alice", "{{internal.logins}}"]), max_size=2),
        "node_labels": patterns,
        "node_labels_expression": st.sampled_from(EXPRESSIONS),
    },
)


def plainly(held, target, login):
    """The definition, word by word: no masks, no indexes, no memory."""
    traits = {"team": ("dev", "x1"), "logins": ("alice",)}
    context = {
        "user.metadata.name": "alice",
        "user.spec.traits": traits,
        "user.spec.roles": tuple(one.name for one in held),
        "labels": target.labels,
    }

    def texts(values):
        known = {"{{external.team}}": traits["team"], "{{internal.logins}}": traits["logins"]}
        return [text for value in values for text in known.get(value, (value,))]

    def by_labels(side):
        return labels_match(tuple((key, tuple(texts(v))) for key, v in side.node_labels), target.labels)

    def by_expression(side):
        return parse_predicate(side.node_labels_expression, NODE_SCHEMA)(context)

    for one in held:
        if any(parse_pattern(name)(login) for name in texts(one.deny.logins)) or by_labels(one.deny):
            return False
        if one.deny.node_labels_expression and by_expression(one.deny):
            return False
    return any(
        login in texts(one.allow.logins)
        and (one.allow.node_labels or one.allow.node_labels_expression)
        and (by_labels(one.allow) or not one.allow.node_labels)
        and by_expression(one.allow)
        for one in held
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(sides, st.just({}) | sides), min_size=1, max_size=4),
    st.lists(labels, min_size=1, max_size=5),
)
def test_decisions_and_lists_agree_with_the_plain_definition(drawn, every):
    held = [role(f"role-{i}", allow=allow, deny=deny) for i, (allow, deny) in enumerate(drawn)]
    policy, names = CompiledPolicy(held), tuple(one.name for one in held)
    targets = [Resource(name=f"node-{i}", labels=one) for i, one in enumerate(every)]
    policy.nodes.put_many((one.name, one.labels) for one in targets)
    expected = []
    for target in targets:
        allowed = [login for login in ("alice", "root", "ops") if plainly(held, target, login)]
        for login in ("alice", "root", "ops"):
            assert bool(policy.decide(ALICE, names, target, login, NOW)) is (login in allowed)
            assert bool(decide_access(ALICE, held, target, login, NOW)) is (login in allowed)
        assert list(policy.plan(ALICE, names, NOW).logins_on(target.labels)) == allowed
        expected += [target.name] if allowed else []
    assert policy.permitted_nodes(ALICE, names, NOW) == expected


class IndexOfChangingNodes(RuleBasedStateMachine):
    """Nodes come, change and go in any order; the kept bit sets stay true."""

    def __init__(self):
        super().__init__()
        self.index = NodeIndex()
        self.model = {}
        self.conditions = [(("env", ("dev",)),), (("env", ("prod*",)), ("os", ("*",))), (("*", ("*",)),)]

    @rule(name=st.sampled_from("abcdef"), given=labels)
    def put(self, name, given):
        self.index.put(name, given)
        self.model[name] = given

    @rule(name=st.sampled_from("abcdef"))
    def remove(self, name):
        self.index.remove(name)
        self.model.pop(name, None)

    @rule(given=st.lists(st.tuples(st.sampled_from("ghijkl"), labels), max_size=4))
    def put_many(self, given):
        self.index.put_many(given)
        self.model.update(given)

    @invariant()
    def every_condition_finds_exactly_its_nodes(self):
        assert len(self.index) == len(self.model)
        for condition in self.conditions:
            expected = {name for name, one in self.model.items() if labels_match(condition, one)}
            assert set(self.index.names(self.index.matching(condition))) == expected
        anew = self.index._bits_having("env", parse_pattern("prod*"))
        assert anew == self.index.having("env", ("prod*",), parse_pattern("prod*"))


class IndexOfCommonValues(IndexOfChangingNodes):
    """The same, with a bit set of its own for every value."""

    def __init__(self):
        super().__init__()
        self.index.dense_from = 1


TestIndexOfCommonValues = IndexOfCommonValues.TestCase
TestIndexOfCommonValues.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestIndexOfChangingNodes = IndexOfChangingNodes.TestCase
TestIndexOfChangingNodes.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def policy_with(*roles):
    policy = CompiledPolicy(roles)
    policy.nodes.put_many([("dev1", {"env": "dev"}), ("prod1", {"env": "prod"})])
    return policy


DEV = role("dev", allow={"logins": ["root"], "node_labels": {"env": "dev"}})
ALL = role("all", allow={"logins": ["root"], "node_labels": {"*": "*"}}, require_session_mfa=True)


def test_a_changed_role_counts_at_the_next_question():
    policy = policy_with(DEV)
    assert policy.permitted_nodes(ALICE, ("dev",), NOW) == ["dev1"]
    policy.put_role(role("dev", allow={"logins": ["root"], "node_labels": {"env": "prod"}}))
    assert policy.permitted_nodes(ALICE, ("dev",), NOW) == ["prod1"]
    assert not policy.decide(ALICE, ("dev",), node(env="dev"), "root", NOW)


def test_a_role_that_does_not_exist_denies_everything_because_it_may_have_denied():
    policy = policy_with(DEV)
    refusal = policy.decide(ALICE, ("dev", "gone"), node(env="dev"), "root", NOW)
    assert not refusal
    assert "role gone of alice does not exist" in refusal.reason
    assert policy.permitted_nodes(ALICE, ("dev", "gone"), NOW) == []
    policy.put_role(role("gone"))
    assert policy.decide(ALICE, ("dev", "gone"), node(env="dev"), "root", NOW)
    policy.remove_role("gone")
    assert not policy.decide(ALICE, ("dev", "gone"), node(env="dev"), "root", NOW)


def test_changed_traits_or_a_new_identity_are_not_answered_from_the_old_plan():
    policy = policy_with(role("own", allow={"logins": ["{{internal.logins}}"], "node_labels": {"*": "*"}}))
    assert policy.decide(person(logins=["root"]), ("own",), node(), "root", NOW)
    assert not policy.decide(person(logins=["ops"]), ("own",), node(), "root", NOW)
    shorter = policy.decide(person(logins=["root"], life=HOUR), ("own",), node(), "root", NOW)
    assert shorter.grant.lifetime == HOUR
    assert not policy.decide(person(logins=["root"], life=-HOUR), ("own",), node(), "root", NOW)


def test_a_role_that_ends_stops_counting_at_that_moment():
    policy = policy_with(replace(DEV, expires=NOW + HOUR))
    just_before, then = NOW + HOUR - timedelta(seconds=1), NOW + HOUR
    assert policy.decide(ALICE, ("dev",), node(env="dev"), "root", just_before)
    assert policy.permitted_nodes(ALICE, ("dev",), just_before) == ["dev1"]
    assert not policy.decide(ALICE, ("dev",), node(env="dev"), "root", then)
    assert policy.permitted_nodes(ALICE, ("dev",), then) == []


def test_lists_show_nodes_that_will_ask_for_a_check_first():
    policy = policy_with(ALL)
    assert isinstance(policy.decide(ALICE, ("all",), node(env="dev"), "root", NOW), AccessNeed)
    assert policy.permitted_nodes(ALICE, ("all",), NOW) == ["dev1", "prod1"]


def test_labels_that_change_and_nodes_that_go_change_the_list():
    policy = policy_with(DEV)
    policy.nodes.put("prod1", {"env": "dev"})
    assert policy.permitted_nodes(ALICE, ("dev",), NOW) == ["dev1", "prod1"]
    policy.nodes.remove("dev1")
    policy.nodes.put("new", {"env": "dev"})
    assert sorted(policy.permitted_nodes(ALICE, ("dev",), NOW)) == ["new", "prod1"]


def test_the_cluster_turning_a_check_on_counts_at_the_next_question():
    policy = policy_with(DEV)
    assert policy.decide(ALICE, ("dev",), node(env="dev"), "root", NOW)
    policy.set_cluster(ClusterPolicy(session_mfa=SessionMfa.CHECK))
    assert isinstance(policy.decide(ALICE, ("dev",), node(env="dev"), "root", NOW), AccessNeed)


def test_an_expression_without_labels_holds_for_every_node_or_none():
    mine = role("mine", allow={"logins": ["root"], "node_labels_expression": 'user.metadata.name == "alice"'})
    policy = policy_with(mine)
    assert policy.permitted_nodes(ALICE, ("mine",), NOW) == ["dev1", "prod1"]
    assert policy.permitted_nodes(person("bob"), ("mine",), NOW) == []


def test_what_is_kept_is_bounded_and_forgetting_changes_no_answer(monkeypatch):
    for module, name in (
        (labels_module, "MAX_KEPT"),
        (plan_module, "MAX_KEPT"),
        (nodes_module, "MAX_CONDITIONS"),
    ):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(compiled_module, "MAX_PEOPLE", 2)
    some = role("some", allow={"logins": ["root", "a", "b"], "node_labels": {"env": "^[a-f]$", "os": "x*"}})
    policy = CompiledPolicy([some])
    every = [Resource(name=f"n{env}", labels={"env": env, "os": "x1"}) for env in "abcdefgh"]
    policy.nodes.put_many((one.name, one.labels) for one in every)
    for _ in range(2):
        for who in ("alice", "bob", "carol"):
            for target in every:
                for login in ("root", "a", "b", "no"):
                    expected = login != "no" and target.labels["env"] in "abcdef"
                    assert bool(policy.decide(person(who), ("some",), target, login, NOW)) is expected
            assert policy.permitted_nodes(person(who), ("some",), NOW) == [f"n{env}" for env in "abcdef"]


def test_threads_that_change_nodes_do_not_disturb_those_that_ask():
    policy, done, wrong = policy_with(ALL, DEV), threading.Event(), []

    def change():
        for round_number in range(300):
            policy.nodes.put_many((f"n{i}", {"env": "dev", "x": str(round_number + i)}) for i in range(5))
            policy.nodes.remove(f"n{round_number % 5}")
        done.set()

    def question():
        while not done.is_set():
            names = policy.permitted_nodes(ALICE, ("dev",), NOW)
            wrong.extend(name for name in names if name == "prod1" or not name)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(question), pool.submit(question), pool.submit(change)]
        for one in waiting:
            one.result(timeout=60)
    assert wrong == []
    assert "dev1" in policy.nodes
    assert policy.nodes.labels("dev1") == {"env": "dev"}


def test_a_role_changed_while_a_plan_is_compiled_is_not_answered_from_that_plan(monkeypatch):
    policy, closed = policy_with(DEV), role("dev", deny={"logins": ["*"]})
    compiled = compiled_module.compile_plan

    def meanwhile(*args, **given):
        monkeypatch.setattr(compiled_module, "compile_plan", compiled)
        plan = compiled(*args, **given)
        policy.put_role(closed)
        return plan

    monkeypatch.setattr(compiled_module, "compile_plan", meanwhile)
    policy.decide(ALICE, ("dev",), node(env="dev"), "root", NOW)
    assert not policy.decide(ALICE, ("dev",), node(env="dev"), "root", NOW)


@pytest.mark.parametrize("count", [1, 64, 65, 1000])
def test_a_list_is_complete_at_every_size(count):
    policy = CompiledPolicy([ALL])
    policy.nodes.put_many((f"n{i}", {"env": str(i % 3)}) for i in range(count))
    assert policy.permitted_nodes(ALICE, ("all",), NOW) == [f"n{i}" for i in range(count)]
