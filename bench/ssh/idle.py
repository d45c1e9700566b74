"""Connections that do nothing: their memory (row D1), and the time to take them all in (row D2)."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncssh

from bench.frame import BenchError, Better, Plan, Row, quarters, ratio_row
from bench.ssh.appliance import NODE
from bench.ssh.connect import Door

if TYPE_CHECKING:
    from bench.meter import Meter
    from bench.ssh.site import Site

CONNECTIONS, QUICK = 2000, 60
CONCURRENT = 40
SPARE_FILES = 500
KIB = 1024
SETTLE = 2.0
END_PATIENCE = 60.0


@dataclass(slots=True)
class Grown:
    """At each quarter: KiB a connection so far, and the seconds that this quarter took to come in."""

    kib: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Crowd:
    """Logged-in connections, each with a stream open to a port behind the server."""

    def __init__(self, door: Door, host: str, port: int) -> None:
        self._door, self._host, self._port = door, host, port
        self._places = asyncio.Semaphore(CONCURRENT)
        self._inside: list[tuple[asyncssh.SSHClientConnection, asyncssh.SSHWriter[bytes]]] = []

    async def come(self, count: int) -> float:
        """Let more come in; return the seconds it took."""
        began = time.monotonic()
        await asyncio.gather(*(self._one() for _ in range(count)))
        return time.monotonic() - began

    async def _one(self) -> None:
        async with self._places:
            connection = await self._door.enter()
            _, writer = await connection.open_connection(self._host, self._port)
            self._inside.append((connection, writer))

    def alive(self) -> int:
        """Return how many are still there."""
        return sum(not one.is_closed() and not writer.is_closing() for one, writer in self._inside)

    async def go(self) -> None:
        """Let all go."""
        for connection, _ in self._inside:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection, _ in self._inside))


async def _grow(door: Door, host: str, meter: Meter, total: int) -> Grown:
    grown, before, count = Grown(), meter.memory(), 0
    # Stands behind the server, and keeps each stream open until the other side ends it
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=CONCURRENT * 2)
    crowd = Crowd(door, host, server.sockets[0].getsockname()[1])
    try:
        for more in quarters(total):
            grown.seconds.append(await crowd.come(more))
            count += more
            await asyncio.sleep(SETTLE)
            if (left := crowd.alive()) != count:
                raise BenchError(f"{count - left} of {count} idle connections were closed by the server")
            grown.kib.append((meter.memory() - before) / KIB / count)
    finally:
        await crowd.go()
        server.close()
    return grown


def _measure(door: Door, host: str, meter: Meter, total: int) -> Grown:
    processes = len(meter.pids())
    try:
        grown = asyncio.run(_grow(door, host, meter, total))
    except (asyncssh.Error, TimeoutError) as error:
        raise BenchError(f"an idle connection was refused: {error}") from error
    until = time.monotonic() + END_PATIENCE
    while len(meter.pids()) > processes and time.monotonic() < until:
        time.sleep(0.1)
    return grown


def _possible(wanted: int) -> int:
    """Return how many connections our own limit of open files allows; each takes two here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, (max(soft, hard) - SPARE_FILES) // 2)


def idle(site: Site, plan: Plan) -> dict[str, Row]:
    """D1, D2: connections logged in, each with an open stream, that do nothing."""
    wanted = plan.size(CONNECTIONS, QUICK)
    total = _possible(wanted)
    ours = _measure(Door.ours(site), NODE, site.appliance.meter, total)
    peer = _measure(Door.peer(site), "127.0.0.1", site.jump.meter, total)
    limited = "" if total == wanted else f"; {wanted} were wanted, the limit of open files allows no more"
    note = f"a connection, at each quarter of {total}; user of the jump: {site.jump_user}{limited}"
    memory = list(zip(ours.kib, peer.kib, strict=True))
    times = list(zip(ours.seconds, peer.seconds, strict=True))
    coming = f"s for {total // 4}"
    return {
        "D1": ratio_row(memory, better=Better.LESS, unit="KiB PSS", note=note),
        "D2": ratio_row(times, better=Better.LESS, unit=coming, note="the load client is Python"),
    }
