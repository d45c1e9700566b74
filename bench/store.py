"""Transactions a second in the store: SQLite with full sync, on the disk before `transact` returns."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.store.backend import Put
from appliance.store.sqlite import SqliteBackend
from appliance.system import SystemClock
from bench.durable import THREADS, by_threads, durable_rows
from bench.frame import BenchError, value_row

if TYPE_CHECKING:
    from appliance.store.backend import Item
    from bench.frame import Plan, Row

READ_SECONDS = 0.3
VALUE = b"v" * 400
"""As large as a session or a certificate's entry in the register."""
KEYS = 160 * THREADS
"""A multiple of the threads: each key is written by one thread only, so its last revision is known."""


def rows(plan: Plan) -> dict[str, Row]:
    """Measure a store of its own, and see that all of it is there when it is opened again."""
    folder = Path(tempfile.mkdtemp(prefix="bench-store-"))
    try:
        return _measure(folder, plan)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, plan: Plan) -> dict[str, Row]:
    path, last = folder / "state.sqlite", dict[str, int]()
    with SqliteBackend.open(path, clock=SystemClock()) as backend:

        def put(number: int) -> None:
            key = f"bench/{number % KEYS:06d}"
            last[key] = max(backend.transact([Put(key=key, value=VALUE)]), last.get(key, 0))

        found = durable_rows(put, VALUE, folder, plan, "transactions")
        found["read_us"] = _reads(backend, sorted(last), plan)
    _check(path, last)
    return found


def _reads(backend: SqliteBackend, keys: list[str], plan: Plan) -> Row:
    def get(number: int) -> Item:
        return backend.get(keys[number % len(keys)])

    rounds = [by_threads(get, 1, READ_SECONDS) for _ in range(plan.rounds)]
    return value_row([1e6 / one.per_second for one in rounds], "us", "one key, one thread")


def _check(path: Path, last: dict[str, int]) -> None:
    with SqliteBackend.open(path, clock=SystemClock()) as backend:
        found = {item.key: item.revision for item in backend.items("bench/")}
    if found != last:
        raise BenchError("the store has lost an acknowledged transaction")
