from hypothesis import given
from hypothesis import strategies as st

from appliance.proxy.config import Limits, Penalties, Startups
from appliance.proxy.limits import Arrivals, Blame, Door, Offence, Turned, refusal_percent, source_of

MANY = 10**6


def arrive(door, address="192.0.2.1", *, now=0.0, chance=0.99, most=MANY):
    return door.arrive(address, now=now, chance=chance, max_connections=most)


def test_the_refusal_curve_is_that_of_max_startups_10_30_100():
    curve = [refusal_percent(Startups(), waiting) for waiting in (0, 9, 10, 55, 99, 100, 5000)]
    assert curve == [0, 0, 30, 65, 99, 100, 100]


@given(st.integers(0, 300))
def test_the_curve_never_falls(waiting):
    assert refusal_percent(Startups(), waiting) <= refusal_percent(Startups(), waiting + 1)


def test_one_source_has_at_most_ten_unfinished_logins_and_others_still_come_in():
    door = Door(Limits(arrivals_burst=100))
    assert [arrive(door) for _ in range(11)] == [None] * 10 + [Turned.SOURCE_FULL]
    assert arrive(door, "192.0.2.2") is None


def test_a_finished_login_makes_room_for_the_next_of_its_source():
    door = Door(Limits(arrivals_burst=100))
    for _ in range(10):
        arrive(door)
    door.enter("192.0.2.1")
    assert arrive(door) is None
    assert (door.waiting, door.inside) == (10, 1)


def test_arrivals_are_ten_a_second_with_a_burst():
    arrivals = Arrivals(rate=10, burst=20, sources=100)
    at_once = sum(arrivals.take("a", 0.0) for _ in range(100))
    later = sum(arrivals.take("a", 1.0) for _ in range(100))
    assert (at_once, later) == (20, 10)
    assert arrivals.take("b", 1.0)


def test_a_v6_source_is_its_64_and_a_mapped_v4_its_v4():
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:2") != source_of("2001:db8:0:1::1")
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1")
    assert source_of("fe80::1%eth0") == source_of("fe80::2")


def test_penalties_are_enforced_from_fifteen_seconds_on_and_run_out():
    blame = Blame(Penalties())
    for _ in range(2):
        blame.add("a", Offence.REFUSED, 0.0)
    assert not blame.refuses("a", 0.0)
    blame.add("a", Offence.REFUSED, 0.0)
    assert blame.refuses("a", 14.9)
    assert not blame.refuses("a", 15.1)


def test_breaking_the_protocol_once_costs_ninety_seconds_and_nothing_more_than_ten_minutes():
    blame = Blame(Penalties())
    blame.add("a", Offence.MISBEHAVED, 0.0)
    assert blame.refuses("a", 89.0)
    for _ in range(50):
        blame.add("a", Offence.MISBEHAVED, 0.0)
    assert blame.refuses("a", 599.0)
    assert not blame.refuses("a", 601.0)


def test_the_table_of_sources_does_not_grow_without_end():
    door = Door(Limits(penalties=Penalties(sources=50)))
    for index in range(200):
        address = f"10.0.{index // 250}.{index % 250}"
        door.penalise(address, Offence.MISBEHAVED, 0.0)
    assert len(door._blame._until) <= 50


def test_a_source_with_nobody_waiting_is_let_in_until_all_places_are_taken():
    door = Door(Limits(arrivals_burst=1000, startups_per_source=1000))
    for _ in range(99):
        arrive(door, "192.0.2.1")
    assert arrive(door, "192.0.2.1", chance=0.5) is Turned.BUSY
    assert arrive(door, "192.0.2.2", chance=0.0) is None
    assert arrive(door, "192.0.2.3") is Turned.BUSY


def test_the_limit_of_connections_counts_those_inside_and_those_waiting():
    door = Door(Limits())
    assert arrive(door, "192.0.2.1", most=2) is None
    door.enter("192.0.2.1")
    assert arrive(door, "192.0.2.2", most=2) is None
    assert arrive(door, "192.0.2.3", most=2) is Turned.CONNECTIONS
    door.leave()
    assert arrive(door, "192.0.2.3", most=2) is None
