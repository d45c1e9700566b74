import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.errors import Invalid
from appliance.policy.where import NODE_SCHEMA, REVIEW_SCHEMA, RULE_SCHEMA, parse_predicate

CONTEXT = {
    "user.metadata.name": "alice",
    "user.spec.roles": ("dev", "ops"),
    "user.spec.traits": {"team": ("core", "web"), "email": ("alice@example.com",)},
    "labels": {"env": "prod", "host": "web12", "owner": "alice"},
}


def holds(source, schema=NODE_SCHEMA, context=None):
    return parse_predicate(source, schema)(CONTEXT if context is None else context)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "true",
        'labels["env"] == "prod"',
        "labels.env == 'prod'",
        'labels["owner"] == user.metadata.name',
        'equals(labels["env"], `prod`)',
        'labels["env"] != "dev"',
        'labels["missing"] == ""',
        'contains(user.spec.roles, "dev")',
        '!contains(user.spec.roles, "admin")',
        'contains(user.spec.traits["team"], "web")',
        'contains_any(user.spec.roles, set("x", "ops"))',
        'contains_all(user.spec.roles, set("dev", "ops"))',
        'is_empty(user.spec.traits["none"])',
        'regexp.match(labels["host"], "^web[0-9]+$")',
        'regexp.match(labels["host"], "web*")',
        r'regexp.match(labels["host"], "^web\d+$")',
        'regexp.match(user.spec.roles, "o*")',
        'has_prefix(labels["host"], "web")',
        'contains(email.local(user.spec.traits["email"]), "alice")',
        'contains(regexp.replace(user.spec.traits["email"], "^(.*)@.*$", "$1"), "alice")',
        'strings.upper(labels["env"]) == "PROD"',
        'false || true && !(false || labels["env"] == "dev")',
        'set("b", "a") == set("a", "b")',
    ],
)
def test_these_hold(source):
    assert holds(source)


@pytest.mark.parametrize(
    "source",
    [
        "false",
        "!true",
        "true && false",
        'labels["env"] == "Prod"',
        'contains(user.spec.roles, "de")',
        'contains_all(user.spec.roles, set("dev", "root"))',
        "contains_all(user.spec.roles, set())",
        'regexp.match(labels["host"], "^WEB")',
        'regexp.match(labels["host"], "web")',
        r'regexp.match("aXb", "^a\.b$")',
    ],
)
def test_these_do_not(source):
    assert not holds(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('lables["env"] == "x"', "did you mean labels"),
        ('contain(user.spec.roles, "x")', "known: contains"),
        ('labels["env"]', "not true or false"),
        ('labels["env"] == user.spec.roles', "can't be compared"),
        ("labels == labels", "can't be compared"),
        ('user.metadata.name["x"] == "y"', "has no entry"),
        ("contains(user.spec.roles)", "takes 2 arguments"),
        ('contains("a", "b")', "argument 1"),
        ('regexp.match(labels["a"], labels["b"])', "text in quotes"),
        ('regexp.match(labels["a"], "^($")', "regular expression"),
        ('regexp.replace(labels["a"], "(", "") == "x"', "regular expression"),
        ('!labels["env"]', "expected true or false"),
        ("set(labels) == set()", "set takes texts"),
        ("true &&", "expected a value"),
        ("true true", "'&&'"),
        ("(true", "')'"),
        ("labels[env] == 'x'", "key in quotes"),
        ("__import__('os')", "unknown function"),
        ("labels.__class__.x == 'y'", "unknown name"),
        ('"unclosed', "can't be read"),
        ("true; true", "can't be read"),
        ("!" * 40 + "true", "levels of nesting"),
        ("true" + " && true" * 600, "longer than"),
    ],
)
def test_a_mistake_is_refused_when_it_is_read(source, expected):
    with pytest.raises(Invalid) as caught:
        parse_predicate(source, NODE_SCHEMA)
    assert expected in str(caught.value)


def test_each_place_knows_its_own_names_only():
    parse_predicate('contains(session.participants, "bob")', RULE_SCHEMA)
    parse_predicate('contains(reviewer.roles, "x") && request.reason != ""', REVIEW_SCHEMA)
    with pytest.raises(Invalid):
        parse_predicate('contains(reviewer.roles, "x")', NODE_SCHEMA)


def test_what_the_context_does_not_give_is_empty():
    assert not holds('contains(session.participants, "bob")', RULE_SCHEMA, {})
    assert holds('session.login == ""', RULE_SCHEMA, {})


parts = st.sampled_from(
    ["labels", "user", ".", "[", "]", '"env"', "==", "!=", "&&", "||", "!", "(", ")", ",", "contains", "true"]
)


@settings(max_examples=200)
@given(st.lists(parts, max_size=10).map(" ".join) | st.text(max_size=20))
def test_any_text_is_read_or_refused(source):
    try:
        predicate = parse_predicate(source, NODE_SCHEMA)
    except Invalid:
        return
    assert predicate(CONTEXT) in (True, False)


truths = st.recursive(
    st.sampled_from(["true", "false"]),
    lambda inner: st.one_of(
        st.builds("!({})".format, inner),
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
    ),
    max_leaves=8,
)


@given(truths)
def test_connectives_mean_what_they_mean_elsewhere(source):
    python = source.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
    assert holds(source) == eval(python.replace("true", "True").replace("false", "False"))  # noqa: S307
