from hypothesis import given
from hypothesis import strategies as st

from appliance.front.sources import plain_address, source_group
from tests.support.web_visitor import HandClock
from webui.limits import MAX_SOURCES, RateLimit


def test_a_burst_is_let_through_and_then_the_rate():
    clock = HandClock()
    limit = RateLimit(rate=2, burst=3, clock=clock)
    assert [limit.wait("192.0.2.1") for _ in range(3)] == [0, 0, 0]
    assert limit.wait("192.0.2.1") == 1
    clock.seconds += 0.5
    assert limit.wait("192.0.2.1") == 0
    assert limit.wait("192.0.2.1") == 1


def test_one_source_does_not_use_up_what_another_may():
    limit = RateLimit(rate=1, burst=1, clock=HandClock())
    assert limit.wait("192.0.2.1") == 0
    assert limit.wait("192.0.2.1") > 0
    assert limit.wait("192.0.2.2") == 0


def test_the_addresses_of_one_v6_network_are_one_source():
    assert source_group("2001:db8:1:2::1") == source_group("2001:db8:1:2:ffff::9")
    assert source_group("2001:db8:1:2::1") != source_group("2001:db8:1:3::1")


def test_a_mapped_v4_address_is_the_v4_address():
    assert plain_address("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_group("::ffff:192.0.2.1") == source_group("192.0.2.1")


def test_a_clock_set_back_gives_no_tokens_and_takes_none():
    clock = HandClock()
    limit = RateLimit(rate=1, burst=2, clock=clock)
    assert limit.wait("192.0.2.1") == 0
    clock.seconds -= 500
    assert limit.wait("192.0.2.1") == 0
    assert limit.wait("192.0.2.1") > 0


def test_sources_are_forgotten_before_they_fill_the_memory():
    limit = RateLimit(rate=1, burst=1, clock=HandClock())
    for number in range(MAX_SOURCES + 10):
        limit.wait(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    assert len(limit._buckets) == MAX_SOURCES


@given(st.lists(st.floats(0, 5), max_size=40))
def test_never_more_than_the_burst_and_the_rate_allow(pauses):
    clock, passed = HandClock(), 0
    limit = RateLimit(rate=2, burst=5, clock=clock)
    for pause in pauses:
        clock.seconds += pause
        passed += limit.wait("192.0.2.1") == 0
    assert passed <= 5 + 2 * sum(pauses) + 1e-6
