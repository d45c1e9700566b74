from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.errors import Invalid
from appliance.policy.pattern import parse_pattern


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_globs_agree_with_the_shell(source, text):
    assert bool(parse_pattern(source)(text)) == fnmatchcase(text, source)


@given(st.text(max_size=10), st.text(max_size=10))
def test_a_text_without_a_star_matches_itself_alone(source, text):
    if "*" not in source and not (source.startswith("^") and source.endswith("$")):
        assert bool(parse_pattern(source)(text)) == (source == text)


def test_an_anchored_text_is_a_regular_expression():
    assert parse_pattern("^web[0-9]+$")("web12")
    assert not parse_pattern("^web[0-9]+$")("web12x")
    assert parse_pattern("web[0-9]+")("web[0-9]+")


def test_only_the_star_is_special_in_a_glob():
    assert parse_pattern("a.?*")("a.?x")
    assert not parse_pattern("a.?*")("abcx")


def test_a_broken_expression_is_refused_when_it_is_read():
    with pytest.raises(Invalid):
        parse_pattern("^(unclosed$")
