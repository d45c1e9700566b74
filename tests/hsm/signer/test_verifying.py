"""Checks beside the token."""

from __future__ import annotations

import threading

from hsm.signer.verifying import Beside


def test_what_is_put_comes_out_in_order_with_its_verdict():
    beside = Beside[int](lambda number: number % 3 != 0)
    for number in range(50):
        beside.put(number)
    assert list(beside.take()) == [(number, number % 3 != 0) for number in range(50)]
    assert list(beside.take()) == []
    beside.close()


def test_it_waits_until_no_more_than_so_many_are_under_way():
    go = threading.Semaphore(0)
    beside = Beside[int](lambda _: go.acquire(timeout=10))
    for number in range(5):
        beside.put(number)
    assert list(beside.take(leave=5)) == []
    go.release(3)
    assert [number for number, _ in beside.take(leave=2)] == [0, 1, 2]
    assert beside.under_way == 2
    go.release(2)
    assert [number for number, _ in beside.take()] == [3, 4]
    beside.close()


def test_a_check_that_breaks_is_one_that_failed_and_the_next_ones_go_on(caplog):
    def check(number):
        return 1 / number > 0

    beside = Beside[int](check)
    for number in (1, 0, 2):
        beside.put(number)
    assert list(beside.take()) == [(1, True), (0, False), (2, True)]
    assert "could not be checked" in caplog.text
    beside.close()


def test_its_thread_ends_with_it():
    beside = Beside[int](bool)
    beside.close()
    beside.put(1)
    beside.close()
    assert "verify" not in {thread.name for thread in threading.enumerate()}
