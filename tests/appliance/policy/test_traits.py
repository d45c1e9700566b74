import pytest

from appliance.domain.errors import Invalid
from appliance.policy.traits import expand, parse_template, valid_logins, with_own_login

TRAITS = {
    "logins": ("joe", "root"),
    "email": ("joe@example.com", "not-an-address", "a@b@c"),
    "team name": ("core",),
    "empty": (),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root", ("root",)),
        ("{{internal.logins}}", ("joe", "root")),
        ("{{ external.logins }}", ("joe", "root")),
        ("ops-{{internal.logins}}-x", ("ops-joe-x", "ops-root-x")),
        ('{{external["team name"]}}', ("core",)),
        ("{{email.local(external.email)}}", ("joe",)),
        ('{{regexp.replace(external.email, "^(.*)@example.com$", "$1")}}', ("joe",)),
        ('{{regexp.replace(external.email, "^([a-z]{3})@.*$", "x-$1")}}', ("x-joe",)),
        ("{{strings.upper(internal.logins)}}", ("JOE", "ROOT")),
        ('{{strings.lower("FIXED")}}', ("fixed",)),
        ("{{external.missing}}", ()),
        ("{{external.empty}}", ()),
    ],
)
def test_a_template_becomes_the_values_of_the_trait(text, expected):
    assert expand((text,), TRAITS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "}}",
        "{{}}",
        "{{internal.a}}{{internal.b}}",
        "{{user.name}}",
        "{{internal.a",
        "{{internal}}",
        '{{contains(internal.a, "b")}}',
        "{{email.local()}}",
    ],
)
def test_a_broken_template_is_an_error(text):
    with pytest.raises(Invalid):
        parse_template(text)


def test_each_value_comes_once_in_order():
    assert expand(("root", "{{internal.logins}}", "joe"), TRAITS) == ("root", "joe")


@pytest.mark.parametrize(
    "value", ["alice,root", "*", "", "-root", "Root", "a b", "root\n", "\uff41lice", "x" * 33]
)
def test_a_value_of_a_trait_cannot_smuggle_in_another_login(value):
    assert valid_logins((value,)) == ()


@pytest.mark.parametrize(
    ("name", "traits", "logins"),
    [
        ("ross", {}, ("ross",)),
        ("ross", {"logins": ()}, ("ross",)),
        ("joe", {"logins": ("joe", "root")}, ("joe", "root")),
        ("joe@example.com", {}, None),
    ],
)
def test_a_user_without_listed_logins_gets_their_own_name(name, traits, logins):
    assert with_own_login(name, traits).get("logins") == logins
