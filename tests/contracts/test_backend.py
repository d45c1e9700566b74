"""What every store promises. One suite; each adapter is a parameter."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.store.backend import (
    MAX_OPERATIONS,
    MAX_VALUE,
    Create,
    Delete,
    Item,
    Put,
    Removed,
    Require,
    RequireAbsent,
    Swap,
)
from appliance.store.errors import AlreadyExists, Closed, Compacted, Conflict, NotFound, Unusable
from appliance.store.memory import MemoryBackend
from appliance.store.sqlite import SqliteBackend
from tests.support.hand_clock import HandClock


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture(params=["memory", "sqlite"])
def backend(request, tmp_path, clock):
    match request.param:
        case "memory":
            opened = MemoryBackend(clock=clock)
        case "sqlite":
            opened = SqliteBackend.open(tmp_path / "state.db", clock=clock)
    with opened:
        yield opened


def keys(page):
    return [item.key for item in page.items]


def test_what_was_put_is_found_with_its_revision(backend):
    revision = backend.put("users/joe", b"\x00joe")
    assert backend.get("users/joe") == Item(key="users/joe", value=b"\x00joe", revision=revision)
    assert backend.revision() == revision


def test_an_absent_key_is_none_to_find_and_an_error_to_get(backend):
    assert backend.find("users/joe") is None
    with pytest.raises(NotFound) as caught:
        backend.get("users/joe")
    assert caught.value.key == "users/joe"


def test_create_fails_if_the_key_is_there_and_changes_nothing(backend):
    first = backend.create("a", b"1")
    with pytest.raises(AlreadyExists):
        backend.create("a", b"2")
    assert backend.get("a") == Item(key="a", value=b"1", revision=first)


def test_revisions_only_grow_also_over_deletes_of_the_same_key(backend):
    seen = [backend.put("a", b"1"), backend.delete("a"), backend.create("a", b"1"), backend.put("a", b"1")]
    assert seen == sorted(set(seen))


def test_a_swap_takes_the_revision_that_was_read(backend):
    revision = backend.create("a", b"1")
    swapped = backend.compare_and_swap("a", revision, b"2")
    with pytest.raises(Conflict) as caught:
        backend.compare_and_swap("a", revision, b"3")
    assert (caught.value.expected, caught.value.actual) == (revision, swapped)
    assert backend.get("a").value == b"2"


def test_a_swap_of_an_absent_key_is_not_found(backend):
    with pytest.raises(NotFound):
        backend.compare_and_swap("a", 1, b"2")


def test_a_deleted_key_is_gone_and_can_be_made_again_but_not_swapped_from_before(backend):
    old = backend.create("a", b"1")
    backend.delete("a", revision=old)
    assert backend.find("a") is None
    with pytest.raises(NotFound):
        backend.delete("a")
    backend.create("a", b"2")
    with pytest.raises(Conflict):
        backend.compare_and_swap("a", old, b"3")


def test_delete_with_another_revision_is_refused(backend):
    revision = backend.create("a", b"1")
    with pytest.raises(Conflict):
        backend.delete("a", revision=revision + 1)
    assert backend.get("a").value == b"1"


def test_a_range_has_only_its_prefix_in_order_and_pages_go_on_where_the_last_ended(backend):
    for name in ("users/é", "users/a", "users/b/x", "users/~", "users", "userszz/a", "nodes/a"):
        backend.put(name, b"")
    assert keys(backend.range("users/")) == ["users/a", "users/b/x", "users/~", "users/é"]
    first = backend.range("users/", limit=3)
    assert first.next == "users/é"
    rest = backend.range("users/", start=first.next, limit=3)
    assert (keys(rest), rest.next) == (["users/é"], None)
    assert [item.key for item in backend.items("users/")] == keys(first) + keys(rest)


def test_a_start_before_the_prefix_does_not_leave_the_prefix(backend):
    backend.put("a/1", b"")
    backend.put("b/1", b"")
    assert keys(backend.range("b/", start="a/1")) == ["b/1"]


def test_items_go_on_over_many_pages(backend):
    for first in range(0, 1056, MAX_OPERATIONS):
        backend.transact([Put(key=f"n/{i:05}", value=b"") for i in range(first, first + MAX_OPERATIONS)])
    assert len(list(backend.items("n/"))) == 1056


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a\n", "a\x00b", "\u202e", "x" * 513, "\ud800"])
def test_a_string_that_is_no_key_is_refused(backend, key):
    with pytest.raises(Unusable):
        backend.put(key, b"")
    with pytest.raises(Unusable):
        backend.find(key)


def test_a_value_has_a_limit_that_is_itself_allowed(backend):
    backend.put("a", bytes(MAX_VALUE))
    with pytest.raises(Unusable):
        backend.put("a", bytes(MAX_VALUE + 1))


def test_an_expired_item_is_nowhere_although_it_was_not_purged(backend, clock):
    backend.create("t/1", b"x", expires_at=clock.now() + timedelta(minutes=1))
    backend.create("t/2", b"y")
    clock.forward(minutes=1)
    assert backend.find("t/1") is None
    assert keys(backend.range("t/")) == ["t/2"]
    with pytest.raises(NotFound):
        backend.delete("t/1")
    with pytest.raises(NotFound):
        backend.compare_and_swap("t/1", 1, b"z")
    with backend.watch("t/", after=0) as watch:
        assert [change.key for change in watch.poll(1)] == ["t/2"]


def test_an_item_lives_up_to_the_microsecond_before_its_time(backend, clock):
    expires = clock.now() + timedelta(microseconds=2)
    backend.create("t", b"x", expires_at=expires)
    clock.forward(microseconds=1)
    assert backend.get("t").expires_at == expires
    clock.forward(microseconds=1)
    assert backend.find("t") is None


def test_an_expired_key_can_be_created_again(backend, clock):
    backend.create("t", b"x", expires_at=clock.now() + timedelta(seconds=1))
    clock.forward(seconds=2)
    backend.create("t", b"y")
    assert backend.get("t").value == b"y"


def test_a_write_without_expiry_makes_a_key_lasting(backend, clock):
    backend.create("t", b"x", expires_at=clock.now() + timedelta(seconds=1))
    backend.put("t", b"y")
    clock.forward(days=1)
    assert backend.get("t").expires_at is None


def test_an_expiry_without_time_zone_is_refused(backend):
    with pytest.raises(Unusable):
        backend.put("t", b"", expires_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the case


def test_purge_removes_what_has_expired_for_good_and_tells_the_watchers(backend, clock):
    for i in range(5):
        backend.put(f"t/{i}", b"", expires_at=clock.now() + timedelta(minutes=i))
    with backend.watch("t/") as watch:
        clock.forward(minutes=2)
        assert backend.purge() == 3
        assert backend.purge() == 0
        assert {change.key for change in watch.poll(1)} == {"t/0", "t/1", "t/2"}
    clock.forward(minutes=-2)
    assert keys(backend.range("t/")) == ["t/3", "t/4"]


def test_a_transaction_is_one_revision(backend):
    kept = backend.create("kept", b"k")
    gone = backend.create("gone", b"g")
    swapped = backend.create("swapped", b"s")
    revision = backend.transact(
        [
            Require(key="kept", revision=kept),
            RequireAbsent(key="absent"),
            Create(key="new", value=b"n"),
            Put(key="put", value=b"p"),
            Swap(key="swapped", revision=swapped, value=b"S"),
            Delete(key="gone", revision=gone),
        ]
    )
    assert {item.key: item.value for item in backend.items("")} == {
        "kept": b"k",
        "new": b"n",
        "put": b"p",
        "swapped": b"S",
    }
    assert {backend.get(key).revision for key in ("new", "put", "swapped")} == {revision}
    assert backend.get("kept").revision == kept


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (Create(key="there", value=b""), AlreadyExists),
        (RequireAbsent(key="there"), AlreadyExists),
        (Swap(key="there", revision=999, value=b""), Conflict),
        (Swap(key="absent", revision=1, value=b""), NotFound),
        (Delete(key="there", revision=999), Conflict),
        (Delete(key="absent"), NotFound),
        (Require(key="there", revision=999), Conflict),
        (Require(key="absent", revision=1), NotFound),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_transaction_rolls_back_whole_wherever_it_fails(backend, failing, error, position):
    backend.create("there", b"old")
    before = backend.revision()
    operations = [Put(key="a", value=b""), Create(key="b", value=b"")]
    operations.insert(position, failing)
    with pytest.raises(error):
        backend.transact(operations)
    assert [(item.key, item.value) for item in backend.items("")] == [("there", b"old")]
    assert backend.revision() == before


def test_requirements_alone_change_no_revision(backend):
    revision = backend.create("a", b"1")
    assert backend.transact([Require(key="a", revision=revision)]) == revision


def test_empty_repeated_and_endless_transactions_are_refused(backend):
    for operations in (
        [],
        [Put(key="a", value=b"1"), Delete(key="a")],
        [Put(key=f"k{i}", value=b"") for i in range(MAX_OPERATIONS + 1)],
    ):
        with pytest.raises(Unusable):
            backend.transact(operations)
    assert backend.range("").items == ()


def test_of_a_hundred_swaps_at_once_exactly_one_wins(backend):
    revision = backend.create("a", b"")
    barrier = threading.Barrier(100)

    def swap(number):
        barrier.wait()
        try:
            backend.compare_and_swap("a", revision, str(number).encode())
        except Conflict:
            return None
        return number

    with ThreadPoolExecutor(100) as pool:
        winners = [number for number in pool.map(swap, range(100)) if number is not None]
    assert [str(number).encode() for number in winners] == [backend.get("a").value]


def test_of_a_hundred_creations_at_once_exactly_one_wins(backend):
    def create(number):
        try:
            backend.create("token/used", str(number).encode())
        except AlreadyExists:
            return 0
        return 1

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(create, range(100))) == 1


def test_no_increment_is_lost_between_threads_that_swap(backend):
    backend.create("n", b"0")

    def increment(_):
        while True:
            item = backend.get("n")
            try:
                backend.compare_and_swap("n", item.revision, str(int(item.value) + 1).encode())
            except Conflict:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(80)))
    assert backend.get("n").value == b"80"


def test_readers_never_see_half_of_a_transaction(backend):
    backend.transact([Put(key="p/a", value=b"0"), Put(key="p/b", value=b"0")])
    done = threading.Event()
    torn = []

    def read():
        while not done.is_set():
            values = {item.value for item in backend.range("p/").items}
            if len(values) != 1:
                torn.append(values)

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for i in range(150):
            backend.transact([Put(key="p/a", value=str(i).encode()), Put(key="p/b", value=str(i).encode())])
        done.set()
        for reader in readers:
            reader.result()
    assert torn == []


def test_a_watch_tells_what_happens_after_it_began_under_its_prefix_only(backend):
    backend.put("a/0", b"before")
    with backend.watch("a/") as watch:
        first = backend.put("a/1", b"x")
        backend.put("b/1", b"other")
        second = backend.delete("a/0")
        assert watch.poll(5) == (
            Item(key="a/1", value=b"x", revision=first),
            Removed(key="a/0", revision=second),
        )
        assert watch.poll(0) == ()


def test_a_watch_resumes_from_the_revision_where_another_ended(backend):
    with backend.watch("") as watch:
        backend.put("a", b"1")
        watch.poll(5)
        seen = watch.revision
    backend.put("b", b"2")
    backend.delete("a")
    with backend.watch("", after=seen) as again:
        assert [change.key for change in again.poll(5)] == ["b", "a"]


def test_list_then_watch_leaves_no_gap(backend):
    stop = threading.Event()

    def write():
        for i in range(200):
            backend.put(f"k/{i:03}", b"")
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    revision = backend.revision()
    seen = {item.key for item in backend.items("k/")}
    with backend.watch("k/", after=revision) as watch:
        while changes := watch.poll(0 if stop.is_set() else 5):
            seen |= {change.key for change in changes}
    writer.join()
    assert len(seen) == 200


def test_a_watch_wakes_a_waiting_thread(backend):
    with backend.watch("a") as watch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.poll, 30)
        backend.put("a", b"1")
        assert [change.key for change in waiting.result(10)] == ["a"]


def test_closing_a_watch_frees_the_thread_that_waits_in_it(backend):
    watch = backend.watch("a")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.poll, 30)
        watch.close()
        assert waiting.result(10) == ()


def test_a_watch_can_be_iterated_until_it_is_closed(backend):
    watch, seen, enough = backend.watch("a/"), [], threading.Event()

    def read():
        for change in watch:
            seen.append(change.key)
            if len(seen) == 3:
                enough.set()

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(3):
        backend.put(f"a/{i}", b"")
    assert enough.wait(10)
    watch.close()
    reader.join(10)
    assert seen == ["a/0", "a/1", "a/2"]


def test_a_key_that_changed_often_ends_in_its_last_state(backend):
    with backend.watch("") as watch:
        for i in range(10):
            last = backend.put("a", str(i).encode())
        backend.put("b", b"")
        backend.delete("b")
        seen = {}
        while changes := watch.poll(0):
            seen.update({change.key: change for change in changes})
    assert seen["a"] == Item(key="a", value=b"9", revision=last)
    assert isinstance(seen["b"], Removed)


def test_a_watch_over_more_than_a_batch_tells_everything_in_order(backend):
    for first in range(0, 1500, 60):
        backend.transact([Put(key=f"k/{i:05}", value=b"") for i in range(first, first + 60)])
    changes = []
    with backend.watch("k/", after=0) as watch:
        while found := watch.poll(0):
            changes += found
    assert [change.key for change in changes] == [f"k/{i:05}" for i in range(1500)]


def test_a_watch_that_slept_through_too_many_removals_is_told(backend, monkeypatch):
    module = type(backend).__module__
    monkeypatch.setattr(f"{module}.FEW_REMOVALS", 10)
    for i in range(300):
        backend.put(f"k{i}", b"")
        backend.delete(f"k{i}")
    with backend.watch("k", after=1) as watch, pytest.raises(Compacted) as caught:
        watch.poll(0)
    with backend.watch("k", after=caught.value.oldest) as watch:
        assert watch.poll(0)


def test_a_closed_store_says_so(backend):
    watch = backend.watch("a")
    backend.close()
    backend.close()
    for call in (
        lambda: backend.get("a"),
        lambda: backend.put("a", b""),
        lambda: backend.range("a"),
        backend.revision,
        lambda: watch.poll(0),
    ):
        with pytest.raises(Closed):
            call()


small_keys = st.sampled_from(["a", "b", "c/d"])
steps = st.lists(
    st.one_of(
        st.builds(Put, key=small_keys, value=st.binary(max_size=3)),
        st.builds(Create, key=small_keys, value=st.binary(max_size=3)),
        st.builds(Delete, key=small_keys),
        st.builds(Swap, key=small_keys, revision=st.integers(1, 12), value=st.binary(max_size=3)),
    ),
    max_size=12,
)


@given(steps=steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_adapter_gives_the_same_answers_as_a_dictionary(backend, steps):
    for item in backend.items(""):
        backend.delete(item.key)
    model, base = {}, backend.revision()
    for step in [_shifted(step, base) for step in steps]:
        if expected := _expected(model, step):
            with pytest.raises(expected):
                backend.transact([step])
        else:
            _play(model, step, backend.transact([step]))
    assert {item.key: (item.value, item.revision) for item in backend.items("")} == model


def _shifted(step, base):
    if not isinstance(step, Swap):
        return step
    return Swap(key=step.key, revision=step.revision + base, value=step.value)


def _expected(model, step):
    match step:
        case Create() if step.key in model:
            return AlreadyExists
        case Delete() | Swap() if step.key not in model:
            return NotFound
        case Swap() if model[step.key][1] != step.revision:
            return Conflict
    return None


def _play(model, step, revision):
    if isinstance(step, Delete):
        del model[step.key]
    else:
        model[step.key] = (step.value, revision)
