import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.store.errors import Unusable
from appliance.store.keys import check_key, key, names, prefix_end

short_names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10), min_size=1, max_size=3
)


@settings(deadline=None)
@given(parts=short_names)
def test_any_names_become_a_key_and_come_back(parts):
    made = key(*parts)
    assert names(made) == tuple(parts)
    assert made.count("/") == len(parts) - 1
    assert check_key(made) == made


@settings(deadline=None)
@given(one=short_names, other=short_names)
def test_different_names_have_different_keys(one, other):
    assert (key(*one) == key(*other)) == (one == other)


@pytest.mark.parametrize("name", ["a/b", "../x", "a%2Fb", "x\ny", "\u202e", "a\x00"])
def test_a_name_stays_in_its_segment_and_is_printable(name):
    made = key("users", name)
    assert made.count("/") == 1
    assert made.isprintable()


@pytest.mark.parametrize("parts", [(), ("",), ("a", ""), ("é" * 200,)])
def test_names_that_make_no_key_are_refused(parts):
    with pytest.raises(Unusable):
        key(*parts)


@settings(deadline=None)
@given(prefix=st.text(max_size=5), rest=short_names)
def test_a_prefix_ends_after_all_its_keys(prefix, rest):
    assert prefix <= prefix + key(*rest) < prefix_end(prefix)
