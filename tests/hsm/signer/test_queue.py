"""Taking turns."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.signer.protocol import Code, SignerError
from hsm.signer.queue import FairQueue


def _fill(queue, jobs):
    for number, (caller, lane) in enumerate(jobs):
        queue.put(caller, lane, (caller, lane, number), 100)


def test_callers_take_turns_and_inside_of_a_caller_its_lanes():
    queue = FairQueue(100)
    _fill(queue, [("auth", "bot")] * 4 + [("auth", "joe")] * 2 + [("console", "")])
    taken = [(caller, lane) for caller, lane, _ in queue.take(10)]
    assert taken[:4] == [("auth", "bot"), ("console", ""), ("auth", "joe"), ("auth", "bot")]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=40))
def test_everything_comes_out_once_and_in_order_within_its_lane(jobs):
    queue = FairQueue(100)
    _fill(queue, jobs)
    taken = [job for _ in range(len(jobs)) for job in queue.take(1)]
    assert sorted(number for *_, number in taken) == list(range(len(jobs)))
    for lane in {job[:2] for job in taken}:
        numbers = [number for caller, name, number in taken if (caller, name) == lane]
        assert numbers == sorted(numbers)


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_newcomer_waits_for_at_most_one_job_of_each_other_lane(others, each):
    queue = FairQueue(1000)
    _fill(queue, [("auth", str(lane)) for lane in range(others) for _ in range(each)])
    queue.put("auth", "newcomer", ("auth", "newcomer", -1), 100)
    order = [lane for _, lane, _ in queue.take(1000)]
    assert order.index("newcomer") <= others


def test_too_many_of_one_caller_are_refused_and_the_other_still_gets_in():
    queue = FairQueue(2)
    _fill(queue, [("auth", ""), ("auth", "")])
    with pytest.raises(SignerError) as refused:
        queue.put("auth", "", "job", 1)
    assert refused.value.code is Code.BUSY
    queue.put("console", "", "job", 1)
    assert len(queue) == 3


def test_what_waited_too_long_is_taken_out():
    queue = FairQueue(10)
    queue.put("auth", "a", "early", 1)
    queue.put("auth", "a", "late", 3)
    queue.put("auth", "b", "early too", 2)
    assert queue.expire(2) == ["early", "early too"]
    assert queue.take(5) == ["late"]
    assert len(queue) == 0


def test_closing_wakes_who_waits_and_lets_nobody_in():
    queue = FairQueue(10)
    got = []
    waiter = threading.Thread(target=lambda: got.append(queue.take(1)))
    waiter.start()
    queue.close()
    waiter.join(5)
    assert got == [[]]
    with pytest.raises(SignerError):
        queue.put("auth", "", "job", 1)
