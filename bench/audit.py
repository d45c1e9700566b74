"""Events a second in the audit log: hash-chained, on the disk before `record` returns."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.audit.log import AuditLog
from appliance.audit.verify import verify
from appliance.system import SystemClock
from bench.durable import durable_rows
from bench.frame import BenchError, value_row

if TYPE_CHECKING:
    from bench.frame import Plan, Row

BULK, QUICK_BULK = 20_000, 2_000


def event(number: int) -> dict[str, object]:
    """Return an event as a login leaves it."""
    return {
        "event": "auth",
        "code": "T3007I",
        "user": "joe",
        "login": "root",
        "sid": f"00000000-0000-4000-8000-{number:012d}",
        "server_id": "8e7f1e7c-5d0f-4b57-9d3e-0c8f6a1f2b3c",
        "addr.remote": "192.0.2.7",
        "certificate": str(number),
        "key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "host_bound": True,
    }


def rows(plan: Plan) -> dict[str, Row]:
    """Measure a log of its own, and see that its chain holds afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-audit-"))
    try:
        return _measure(folder, plan)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, plan: Plan) -> dict[str, Row]:
    with AuditLog.open(folder / "log", clock=SystemClock()) as log:
        log.record(event(0))
        line = next((folder / "log").glob("*.log")).read_bytes()
        found = durable_rows(lambda number: log.record(event(number)), line, folder, plan, "events")
        found["bulk_per_second"] = _bulk(log, plan)
        written = log.head().seq
    _check(folder / "log", written)
    return found


def _bulk(log: AuditLog, plan: Plan) -> Row:
    count, rates = plan.size(BULK, QUICK_BULK), list[float]()
    for _ in range(plan.rounds):
        began = time.monotonic()
        for start in range(0, count, 1000):
            log.record_all([event(start + number) for number in range(1000)])
        rates.append(count / (time.monotonic() - began))
    return value_row(rates, "events/s", "one thread hands over 1000 at a time")


def _check(folder: Path, written: int) -> None:
    report = verify(folder, ())
    if not report.good or report.events != written:
        raise BenchError(
            f"of {written} events {report.events} are in the log, with {len(report.faults)} faults"
        )
