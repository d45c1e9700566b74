"""Keystrokes beside bulk streams in the same worker (row E1): how long one byte takes there and back."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import asyncssh

from bench.frame import BenchError, Plan, Row, percentile, value_row
from bench.ssh.appliance import NODE
from bench.ssh.connect import Door
from bench.ssh.transfer import MIB, text_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.ssh.site import Site

PAUSE = 0.005
SAMPLES, QUICK_SAMPLES = 400, 100
WARM = 1.0
PATIENCE = 10
MILLI = 1000
BULK = 16 * MIB


def echo(site: Site, plan: Plan) -> dict[str, Row]:
    """E1: one byte every 5 ms through a recorded session, beside one and four streams at full rate."""
    found: dict[str, Row] = {}
    for streams in (1, 4):
        rounds = [_beside(site, plan, streams) for _ in range(max(2, plan.rounds - 2))]
        name, note = ("" if streams == 1 else f"_{streams}"), f"beside {streams} recorded at full rate"
        for percent in (50, 99):
            samples = [percentile(waits, percent) for waits in rounds]
            found[f"E1.p{percent}{name}"] = value_row(samples, "ms", f"{note}, one worker")
    return found


def _beside(site: Site, plan: Plan, streams: int) -> list[float]:
    with ExitStack() as stack:
        for _ in range(streams):
            stack.enter_context(_bulk(site))
        time.sleep(WARM)
        try:
            return asyncio.run(_keystrokes(site, plan.size(SAMPLES, QUICK_SAMPLES)))
        except (asyncssh.Error, TimeoutError, asyncio.IncompleteReadError) as error:
            raise BenchError(f"a keystroke was lost: {error}") from error


@contextmanager
def _bulk(site: Site) -> Iterator[None]:
    """Stream text through a recorded session until the block ends."""
    path = text_payload(site.folder, BULK).path
    command = site.ssh("us-node", f"while cat {shlex.quote(str(path))}; do :; done")
    client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        client.terminate()
        client.wait(PATIENCE)


async def _keystrokes(site: Site, count: int) -> list[float]:
    door = Door.ours(site)
    async with await door.enter(user=f"{site.login}@{NODE}") as connection:
        process = await connection.create_process("cat", encoding=None)
        waits = [await _keystroke(process) for _ in range(count)]
        process.stdin.write_eof()
        await process.wait()
    return waits


async def _keystroke(process: asyncssh.SSHClientProcess[bytes]) -> float:
    await asyncio.sleep(PAUSE)
    began = time.monotonic()
    process.stdin.write(b"x")
    await asyncio.wait_for(process.stdout.readexactly(1), PATIENCE)
    return (time.monotonic() - began) * MILLI
