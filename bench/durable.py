"""Work that must be on the disk before it is acknowledged, done by many threads at once.

The peer is the plainest thing that is just as durable: append the same bytes, `fdatasync`, one after the
other. It says what the disk of this machine takes, without which events a second mean nothing.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.frame import BenchError, Better, Plan, Row, interleaved, percentile, ratio_row, value_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

THREADS = 64
SECONDS, QUICK_SECONDS = 1.5, 0.4
MILLI = 1000
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Done:
    """How many a second were done, and the milliseconds each caller waited."""

    per_second: float
    waits: list[float]


def by_threads(act: Callable[[int], object], threads: int, seconds: float) -> Done:
    """Have some threads do the same for so long; `act` gets a number of its own each time."""
    waits, problems = [list[float]() for _ in range(threads)], list[Exception]()
    until = time.monotonic() + seconds

    def work(own: int) -> None:
        number = own
        try:
            while (began := time.monotonic()) < until:
                act(number)
                waits[own].append((time.monotonic() - began) * MILLI)
                number += threads
        except Exception as error:  # noqa: BLE001 - the border of a thread: raised again below
            problems.append(error)

    began = time.monotonic()
    workers = [threading.Thread(target=work, args=(own,)) for own in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    if problems:
        raise BenchError(f"a thread failed: {problems[0]}") from problems[0]
    every = [wait for own in waits for wait in own]
    return Done(len(every) / (time.monotonic() - began), every)


def bare(path: Path, data: bytes, seconds: float) -> float:
    """Append and sync one after the other for so long; return how many a second."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        count, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            os.write(descriptor, data)
            os.fdatasync(descriptor)
            count += 1
        return count / (time.monotonic() - began)
    finally:
        os.close(descriptor)


def durable_rows(
    act: Callable[[int], object], data: bytes, folder: Path, plan: Plan, what: str
) -> dict[str, Row]:
    """Return the rows of one durable writer; `data` is what one of its writes comes to."""
    seconds = QUICK_SECONDS if plan.quick else SECONDS
    rounds: list[Done] = []

    def ours() -> float:
        rounds.append(by_threads(act, THREADS, seconds))
        return rounds[-1].per_second

    pairs = interleaved(plan.rounds, ours, lambda: bare(folder / "bare", data, seconds))
    alone = [by_threads(act, 1, seconds) for _ in range(plan.rounds)]
    crowd = f"{THREADS} threads, each waits until its own is durable"
    return {
        "per_second": value_row([one.per_second for one in rounds], f"{what}/s", crowd),
        "p99_ms": value_row([percentile(one.waits, 99) for one in rounds], "ms", crowd),
        "alone_per_second": value_row([one.per_second for one in alone], f"{what}/s", "one thread"),
        "alone_p99_ms": value_row([percentile(one.waits, 99) for one in alone], "ms", "one thread"),
        "ratio_sync": ratio_row(
            pairs, better=Better.MORE, unit="1/s", note="against append and fdatasync, one by one"
        ),
    }
