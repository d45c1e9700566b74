"""Waiting times: they double, they end, and no clock makes them longer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.authn.throttle import JITTER, Curve, Failures, source_group

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CURVE = Curve(free=5, first=SECOND, longest=1200 * SECOND, window=1800 * SECOND)


def failures(count, ago=timedelta(0)):
    return Failures(key="k", count=count, last=NOW - ago)


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (15, 1024), (16, 1200), (10**9, 1200)]
)
def test_the_wait_doubles_up_to_the_longest(count, seconds):
    assert CURVE.wait(failures(count), NOW) == seconds * SECOND


def test_nobody_waits_who_never_failed():
    assert CURVE.wait(None, NOW) == timedelta(0)


@given(count=st.integers(0, 100), ago=st.timedeltas(timedelta(0), timedelta(days=2)))
def test_the_wait_shortens_as_time_passes_and_ends(count, ago):
    full = CURVE.wait(failures(count), NOW)
    assert CURVE.wait(failures(count, ago), NOW) == max(full - ago, timedelta(0))


@given(count=st.integers(0, 100), back=st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_a_clock_set_back_never_makes_a_wait_longer_than_it_was_but_for_jitter(count, back):
    """And it ends by the new clock, not when the old time comes again."""
    was = CURVE.wait(failures(count), NOW)
    then = NOW - back
    assert CURVE.wait(failures(count), then) <= was
    later = then + CURVE.longest + JITTER
    assert CURVE.wait(failures(count), later) == timedelta(0)


@given(moments=st.lists(st.timedeltas(timedelta(0), timedelta(hours=1)), max_size=30))
def test_failures_add_up_within_the_window_and_only_there(moments):
    found, now, last, count = None, NOW, None, 0
    for step in moments:
        now += step
        count = 1 if last is None or now - last > CURVE.window else count + 1
        last = now
        found = CURVE.after_failure(found, "k", now)
        assert (found.count, found.last) == (count, now)
        assert found.expires_at == now + CURVE.window + CURVE.longest


def test_a_failure_after_the_clock_was_set_back_counts_from_the_new_time():
    found = CURVE.after_failure(failures(9), "k", NOW - timedelta(days=1))
    assert (found.count, found.last) == (10, NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:DB8::1", "2001:db8:0::1", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("", "", True),
        ("unix", "other", False),
    ],
)
def test_what_counts_as_one_source(one, other, same):
    assert (source_group(one) == source_group(other)) is same
