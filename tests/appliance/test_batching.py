import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance import batching
from appliance.batching import Batcher, BatcherBusy, BatcherClosed


@pytest.fixture
def made():
    batchers = []

    def make(work, max_batch=10):
        batchers.append(Batcher(name="test", work=work, max_batch=max_batch))
        return batchers[-1]

    yield make
    for batcher in batchers:
        batcher.close()


def test_each_caller_gets_its_own_outcome(made):
    def work(batch):
        return [ValueError(str(n)) if n % 2 else n * 10 for n in batch]

    batcher = made(work)
    futures = [batcher.submit(n) for n in range(50)]
    for n, future in enumerate(futures):
        if n % 2:
            with pytest.raises(ValueError, match=str(n)):
                future.result(5)
        else:
            assert future.result(5) == n * 10


def test_what_waits_while_one_batch_is_done_goes_together_in_order_and_not_more_than_allowed(made):
    gate, batches = threading.Event(), []

    def work(batch):
        gate.wait(10)
        batches.append(list(batch))
        return list(batch)

    batcher = made(work, max_batch=8)
    futures = [batcher.submit(n) for n in range(20)]
    gate.set()
    assert [future.result(5) for future in futures] == list(range(20))
    assert [n for batch in batches for n in batch] == list(range(20))
    assert max(map(len, batches)) == 8


def test_work_that_raises_fails_its_batch_is_logged_and_the_next_batch_is_done(made, caplog):
    def work(batch):
        if "bad" in batch:
            raise RuntimeError("broken")
        return batch

    batcher = made(work)
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="broken"):
        batcher.submit("bad").result(5)
    assert "a batch of 1 requests failed" in caplog.text
    assert batcher.submit("good").result(5) == "good"


def test_a_request_that_was_taken_back_is_not_done(made):
    gate, done = threading.Event(), []

    def work(batch):
        gate.wait(10)
        done.extend(batch)
        return batch

    batcher = made(work, max_batch=1)
    first = batcher.submit(1)
    second = batcher.submit(2)
    third = batcher.submit(3)
    assert second.cancel()
    gate.set()
    assert (first.result(5), third.result(5)) == (1, 3)
    assert done == [1, 3]


def test_closing_does_what_waits_and_refuses_what_comes_later(made):
    batcher = made(lambda batch: batch, max_batch=2)
    futures = [batcher.submit(n) for n in range(9)]
    batcher.close()
    batcher.close()
    assert [future.result(0) for future in futures] == list(range(9))
    with pytest.raises(BatcherClosed):
        batcher.submit(1)


def test_callers_are_held_back_and_then_refused_when_too_many_wait(made, monkeypatch):
    monkeypatch.setattr(batching, "MAX_WAITING", 3)
    monkeypatch.setattr(batching, "PATIENCE", 0.05)
    gate, begun = threading.Event(), threading.Event()

    def work(batch):
        begun.set()
        gate.wait(10)
        return batch

    batcher = made(work, max_batch=1)
    batcher.submit(0)
    assert begun.wait(5)
    for n in range(3):
        batcher.submit(n)
    with pytest.raises(BatcherBusy):
        batcher.submit(4)
    gate.set()


def test_many_callers_at_once_lose_nothing(made):
    batcher = made(lambda batch: batch, max_batch=64)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda n: batcher.submit(n).result(10), range(2000)))
    assert answers == list(range(2000))
