"""How long a person's certificate may live: what was asked for, never more than anybody allows."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.certificates.lifetimes import LONGEST, SHORTEST, Lifetimes
from appliance.domain.errors import Invalid

HOUR = timedelta(hours=1)
SETTINGS = Lifetimes(default=23 * HOUR, longest=30 * HOUR, session=HOUR, host=HOUR, proxy_host=HOUR)
LIVES = st.timedeltas(SHORTEST, LONGEST)


def test_without_a_wish_it_is_the_clusters_default():
    assert SETTINGS.person(None, None) == 23 * HOUR


@pytest.mark.parametrize(
    "asked", [timedelta(0), timedelta(seconds=59), timedelta(seconds=-1), 30 * HOUR + timedelta(1)]
)
def test_outside_a_minute_to_thirty_hours_is_a_mistake_and_says_so(asked):
    with pytest.raises(Invalid, match=r"expected 60 s \(1 minute\) to 108000 s"):
        SETTINGS.person(asked, None)


@given(asked=st.none() | LIVES, role=st.none() | LIVES)
def test_it_is_never_longer_than_anybody_allows(asked, role):
    found = SETTINGS.person(asked, role)
    assert found <= LONGEST
    assert found <= (asked or SETTINGS.default)
    assert role is None or found <= role
    assert found in {asked, role, SETTINGS.default, SETTINGS.longest}
