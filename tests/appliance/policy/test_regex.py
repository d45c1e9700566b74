import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.errors import Invalid
from appliance.policy import regex as regex_module
from appliance.policy.regex import parse_regex

atoms = st.sampled_from(["a", "b", "1", ".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\w", r"\.", "^", "$"])
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("({}|{})".format, inner, inner),
        st.builds(
            "(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "*?", "+?", "{1,2}", "{2}", "{0,}"])
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(expressions, st.text("ab1.c", max_size=8))
def test_search_agrees_with_the_standard_library(source, text):
    assert parse_regex(source).search(text) == (re.search(source, text) is not None)


@settings(max_examples=300)
@given(expressions, st.text("ab1.c", max_size=8))
def test_captures_are_found_exactly_where_search_succeeds_and_start_leftmost(source, text):
    found = re.search(source, text)
    places = parse_regex(source).captures(text)
    assert (places is None) == (found is None)
    if found is not None:
        assert places[0] == found.start()


@pytest.mark.parametrize(
    ("source", "replacement", "text", "expected"),
    [
        ("^(.*)@example[.]com$", "$1", "joe@example.com", "joe"),
        ("^([a-z]+)[.]([a-z]+)$", "${2}_$1", "ann.lee", "lee_ann"),
        ("a", "<$0>", "banana", "b<a>n<a>n<a>"),
        ("x*", "-", "abc", "-a-b-c-"),
        ("(a)|(b)", "[$1$2$3$$]", "ab", "[a$][b$]"),
        ("(?i)EXAMPLE", "org", "an Example", "an org"),
    ],
)
def test_matches_are_replaced_with_groups(source, replacement, text, expected):
    assert parse_regex(source).replace(text, replacement) == expected


@pytest.mark.parametrize(
    "source", ["^(a*)*$", "^(a|aa)+$", "^(a|a)*$", "^(a*)*(a*)*(a*)*b$", "^(.*a){20}$", "^(a?){50}a{50}$"]
)
def test_expressions_that_stall_other_engines_take_linear_time(source):
    regex, text = parse_regex(source), "a" * 4000 + "!"
    started = time.perf_counter()
    assert not regex.search(text)
    assert time.perf_counter() - started < 2


def test_the_automaton_is_bounded_and_forgetting_changes_no_answer(monkeypatch):
    monkeypatch.setattr(regex_module, "MAX_STATES", 2)
    regex = parse_regex("^(ab|cd)*$")
    for _ in range(3):
        assert regex.search("abcdab")
        assert not regex.search("abcda")


def test_a_text_over_the_limit_never_matches():
    assert parse_regex("^a*$").search("a" * 4096)
    assert not parse_regex("^a*$").search("a" * 4097)


@pytest.mark.parametrize(
    "source",
    [
        "(",
        ")",
        "a)",
        "[",
        "[]",
        "[b-a]",
        "*",
        "a**",
        "a{2,1}",
        "a{101}",
        "a{",
        r"\b",
        r"(a)\1",
        "(?=a)",
        "(?P<n>a)",
        "a" * 513,
        "(((a{100}){100}){100})",
        "(" * 25 + ")" * 25,
        "\\",
        r"[\D]",
    ],
)
def test_what_is_not_understood_or_too_large_is_an_error(source):
    with pytest.raises(Invalid):
        parse_regex(source)


@settings(max_examples=200)
@given(st.text("ab()[]{}|*+?^$\\.-,1:d", max_size=12), st.text("ab", max_size=5))
def test_any_source_is_read_or_refused(source, text):
    try:
        regex = parse_regex(source)
    except Invalid:
        return
    assert regex.search(text) == (regex.captures(text) is not None)
