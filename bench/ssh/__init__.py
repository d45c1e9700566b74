"""The bastion beside OpenSSH, on this machine, in one run: `bench/run ssh`.

    site        the appliance, the jump host, the node behind both, and the client's configuration
    appliance   `sallyport start` on throw-away state, and a person signed in
    sshd        OpenSSH's server
    transfer    known bytes through one of them, checked by SHA-256, counted
    bulk        rows A, B, J: CPU a GiB, throughput
    connect     rows C, J3: handshakes, time to the first byte
    idle        rows D: memory of idle connections, time to take them all in
    echo        rows E: keystrokes beside bulk streams
    delay       a client far away

A ratio above 1 means that the bastion wins. Its CPU and memory are those of *all* its processes: the signer,
the decisions, the audit log and the web pages are in it. A row that ends in `.worker` is the SSH worker's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.command import say
from bench.frame import BenchError, Plan, Row, failed_row
from bench.ssh import bulk, connect, echo, idle, site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.ssh.site import Site

ROWS: Mapping[str, Callable[[Site, Plan], dict[str, Row]]] = {
    "A1": bulk.jump_down,
    "A2": bulk.jump_up,
    "A3": bulk.chain,
    "A4": bulk.default_ciphers,
    "A5": bulk.far_upload,
    "B1": bulk.recorded,
    "B3": bulk.through,
    "B4": bulk.files,
    "C1": connect.handshakes,
    "C3": connect.added_latency,
    "C4": connect.post_quantum,
    "D1": idle.idle,
    "E1": echo.echo,
    "J1": bulk.recorded_chain,
    "J2": bulk.passed,
    "J3": connect.passed_latency,
}
"""How each row is measured."""
FIRST_LOOK = ("A1", "A2", "A3", "B1", "C1", "C3", "D1")
"""What `--quick` looks at, unless rows are named."""


def rows(plan: Plan) -> dict[str, Row]:
    """Measure the rows that are asked for."""
    asked = {identity.partition(".")[0] for identity in plan.rows}
    usual = FIRST_LOOK if plan.quick else ROWS
    chosen = [name for name in ROWS if name in (asked or usual)]
    if not chosen:
        raise BenchError(f"ssh has the rows {', '.join(ROWS)}")
    found: dict[str, Row] = {}
    with site.built() as ground:
        for name in chosen:
            found |= _measure(name, ground, plan)
    return found


def _measure(name: str, ground: Site, plan: Plan) -> dict[str, Row]:
    began = time.monotonic()
    try:
        measured = ROWS[name](ground, plan)
    except (BenchError, OSError) as error:
        measured = {name: failed_row(error)}
    for identity, row in measured.items():
        say(f"  {identity:<10} {row.document()['median']} {row.unit}  {row.note}")
    say(f"  {'':<10} ({time.monotonic() - began:.0f} s)")
    return measured
