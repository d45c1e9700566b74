"""Getting in: what a handshake costs (rows C1, C4), and how long a person waits (rows C3, J3)."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from bench.frame import BenchError, Better, Plan, Row, interleaved, percentile, ratio_row, value_row
from bench.ssh.appliance import PERSON
from bench.ssh.site import fresh_source
from bench.ssh.transfer import wait_until_quiet

if TYPE_CHECKING:
    from bench.meter import Meter
    from bench.ssh.site import Site

CURVE, POST_QUANTUM = "curve25519-sha256", "mlkem768x25519-sha256"
CONCURRENT = 4
PATIENCE = 30
MILLI = 1000
LEAST_ADDED = 0.005
"""Seconds: less than this is lost in what the start of a client takes, and counts as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a load client goes in, and as whom."""

    port: int
    user: str
    key: Path
    certificate: Path

    @classmethod
    def ours(cls, site: Site) -> Door:
        """The bastion."""
        paper = site.identity
        return cls(port=site.appliance.port, user=PERSON, key=paper.key, certificate=paper.certificate)

    @classmethod
    def peer(cls, site: Site) -> Door:
        """The jump host."""
        return cls(port=site.jump.port, user=site.jump_user, key=site.key, certificate=site.jump_certificate)

    async def enter(self, *, user: str = "", **options: Any) -> asyncssh.SSHClientConnection:
        """Log in from an address nobody used yet."""
        return await asyncio.wait_for(
            asyncssh.connect(
                "127.0.0.1",
                self.port,
                username=user or self.user,
                client_keys=[(str(self.key), str(self.certificate))],
                local_addr=(fresh_source(), 0),
                known_hosts=None,
                config=None,
                agent_path=None,
                compression_algs=None,
                encryption_algs=["aes128-gcm@openssh.com"],
                **options,
            ),
            PATIENCE,
        )


async def _handshakes(door: Door, count: int, kex: str) -> None:
    places = asyncio.Semaphore(CONCURRENT)

    async def one() -> None:
        async with places:
            connection = await door.enter(kex_algs=[kex])
            connection.close()
            await connection.wait_closed()

    await asyncio.gather(*(one() for _ in range(count)))


def _milliseconds(door: Door, meters: tuple[Meter, ...], count: int, kex: str) -> list[float]:
    """Return the CPU milliseconds a handshake took, by each of the meters."""
    before = [meter.cpu_seconds() for meter in meters]
    try:
        asyncio.run(_handshakes(door, count, kex))
    except (asyncssh.Error, TimeoutError) as error:
        raise BenchError(f"a handshake failed: {error}") from error
    wait_until_quiet(meters[0])
    return [(meter.cpu_seconds() - was) * MILLI / count for meter, was in zip(meters, before, strict=True)]


def handshakes(site: Site, plan: Plan) -> dict[str, Row]:
    """C1: CPU of connection, key exchange and login by a certificate."""
    ours, peer, unit = Door.ours(site), Door.peer(site), "CPU ms"
    meters = (site.appliance.meter, site.appliance.edge)
    _milliseconds(ours, meters, 10, CURVE)
    pairs = interleaved(
        plan.rounds,
        lambda: _milliseconds(ours, meters, plan.size(100, 30), CURVE),
        lambda: _milliseconds(peer, (site.jump.meter,), plan.size(30, 10), CURVE),
    )
    whole = [(one[0], other[0]) for one, other in pairs]
    worker = [(one[1], other[0]) for one, other in pairs]
    note = f"{CURVE}, Ed25519 certificate"
    return {
        "C1": ratio_row(whole, better=Better.LESS, unit=unit, note=f"{note}; with decision and audit log"),
        "C1.worker": ratio_row(worker, better=Better.LESS, unit=unit, note=f"{note}; the SSH worker alone"),
    }


def post_quantum(site: Site, plan: Plan) -> dict[str, Row]:
    """C4: what a post-quantum key exchange costs more."""
    door, meters, count = Door.ours(site), (site.appliance.edge,), plan.size(100, 30)
    pairs = interleaved(
        plan.rounds,
        lambda: _milliseconds(door, meters, count, POST_QUANTUM)[0],
        lambda: _milliseconds(door, meters, count, CURVE)[0],
    )
    middles = [statistics.median(side) for side in zip(*pairs, strict=True)]
    note = f"{POST_QUANTUM} {middles[0]:.2f}, {CURVE} {middles[1]:.2f} CPU ms of the worker"
    return {"C4": value_row([one / other for one, other in pairs], "x", note)}


def _first_byte(site: Site, host: str) -> float:
    """Return the seconds until the first byte of a command's output is here."""
    began = time.monotonic()
    command = site.ssh(host, "echo")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        found = client.stdout.read(1) if client.stdout else b""
        took = time.monotonic() - began
        client.wait(PATIENCE)
    if not found:
        raise BenchError(f"`ssh {host} echo` printed nothing")
    return took


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds by each way, in turn."""

    direct: list[float]
    ours: list[float]
    peer: list[float]

    def added(self) -> tuple[float, float]:
        """Return what the bastion and the jump add to the way without either."""
        base = statistics.median(self.direct)
        ours, peer = statistics.median(self.ours) - base, statistics.median(self.peer) - base
        return max(ours, LEAST_ADDED), max(peer, LEAST_ADDED)


def _waits(site: Site, samples: int) -> Waits:
    found = Waits([], [], [])
    for _ in range(samples):
        found.direct.append(_first_byte(site, "direct"))
        found.ours.append(_first_byte(site, "us-chain"))
        found.peer.append(_first_byte(site, "peer-chain"))
    return found


def added_latency(site: Site, plan: Plan) -> dict[str, Row]:
    """C3: how much longer `ssh -J` takes to the first byte than `ssh`."""
    waits = [_waits(site, plan.size(6, 3)) for _ in range(plan.rounds)]
    pairs = [(ours * MILLI, peer * MILLI) for ours, peer in (one.added() for one in waits)]
    base = statistics.median([wait for one in waits for wait in one.direct])
    late = percentile([wait for one in waits for wait in one.ours], 95)
    note = (
        f"added to {base * MILLI:.0f} ms direct; ours decides, records, and opens the node itself; "
        f"p95 added {(late - base) * MILLI:.0f} ms; less than {LEAST_ADDED * MILLI:.0f} ms counts as that"
    )
    return {"C3": ratio_row(pairs, better=Better.LESS, unit="ms added", note=note)}


def passed_latency(site: Site, plan: Plan) -> dict[str, Row]:
    """J3: the first byte by one connection that names the node first, against `ssh -J`."""

    def middle(host: str) -> float:
        return statistics.median(_first_byte(site, host) for _ in range(plan.size(5, 3))) * MILLI

    pairs = interleaved(plan.rounds, lambda: middle("us-passed"), lambda: middle("peer-chain"))
    note = "the node named before the banner, with Python's start in it; ours recorded"
    return {"J3": ratio_row(pairs, better=Better.LESS, unit="ms", note=note)}
