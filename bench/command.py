"""`bench/run`: choose a benchmark, run it, print its rows or one JSON object, keep them when asked."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from bench import machine
from bench.frame import QUICK_ROUNDS, ROUNDS, BenchError, Plan, Report, Row
from bench.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BENCHMARKS = {
    "ssh": "The bastion beside OpenSSH: throughput, CPU, handshakes, latency, memory (rows A to E, J)",
    "signer": "Certificates a second through the signer, beside the bare token and ssh-keygen -s",
    "policy": "A decision and a list of nodes over 100 000 nodes, beside a naive evaluation",
    "audit": "Events a second in the audit log, durable before they are acknowledged",
    "store": "Transactions a second in the store, durable before they are acknowledged",
}
"""Each is a module of this folder that has `rows(plan)`."""
TERMINATED = 128 + signal.SIGTERM
README = Path(__file__).with_name("README.md")


class Benchmark(Protocol):
    """What a module of this folder offers."""

    def rows(self, plan: Plan) -> Mapping[str, Row]:
        """Measure, and return the rows by their identities."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status: 1 where a row could not be measured."""
    options = _parser().parse_args(arguments)
    if options.list or options.name is None:
        _list()
        return 0
    # Told to end, leave by the same way as ever: what was started is stopped, what was made is removed
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        return _report(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(options: argparse.Namespace) -> int:
    try:
        report = run(options.name, _plan(options))
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    print(json.dumps(report.document(), indent=1) if options.json else _table(report))
    if options.record:
        record(README, report)
    return 1 if any(row.failed for row in report.rows.values()) else 0


def run(name: str, plan: Plan) -> Report:
    """Run one benchmark; raises `BenchError`."""
    load, began = machine.load(), time.monotonic()
    benchmark = cast("Benchmark", importlib.import_module(f"bench.{name}"))
    rows = {identity: row for identity, row in benchmark.rows(plan).items() if plan.wants(identity)}
    if not rows:
        raise BenchError(f"{name} has no row {' or '.join(plan.rows)}")
    say(f"{name}: {len(rows)} rows in {time.monotonic() - began:.0f} s")
    return Report(name=name, machine=machine.describe(load), rows=rows)


def say(text: str) -> None:
    """Tell whoever waits how it goes; the report alone goes to stdout."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="name all benchmarks")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    parser.add_argument("--rounds", type=_rounds, help=f"rounds of each comparison (default {ROUNDS})")
    parser.add_argument("--rows", type=_names, default=(), help="only these rows: A1,B1,C3")
    parser.add_argument("--quick", action="store_true", help="a look of at most a minute; judge by the whole")
    parser.add_argument("--record", action="store_true", help="keep the result in bench/README.md")
    return parser


def _rounds(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100:
        raise argparse.ArgumentTypeError("expected a number from 1 to 100")
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _plan(options: argparse.Namespace) -> Plan:
    usual = QUICK_ROUNDS if options.quick else ROUNDS
    return Plan(rounds=options.rounds or usual, quick=options.quick, rows=options.rows)


def _list() -> None:
    for name, summary in BENCHMARKS.items():
        print(f"{name:<8} {summary}")


def _table(report: Report) -> str:
    lines = [_line(identity, row) for identity, row in report.rows.items()]
    facts = report.machine.facts
    head = f"{report.name} on {facts['cores']} x {facts['cpu']}, load {facts['load_before']} before"
    return "\n".join([head, *lines])


def _line(identity: str, row: Row) -> str:
    shown = row.document()
    spread = f"{shown['median']} {row.unit} ({shown['min']} to {shown['max']})"
    return f"{identity:<36} {spread:<38} {row.note}"
