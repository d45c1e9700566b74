"""One worker process of the proxy: everything named, started, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh

from appliance.domain.errors import SallyportError, Unavailable
from appliance.proxy.algorithms import cpu_has_aes, node_suite, suite
from appliance.proxy.authority import Authority
from appliance.proxy.edge import Edge, Recorders
from appliance.proxy.errors import ProxyError
from appliance.proxy.fast import version
from appliance.proxy.hosts import Hosts
from appliance.proxy.limits import Door
from appliance.proxy.listener import Listener, listen
from appliance.proxy.outbound import Nodes
from appliance.proxy.pulse import Pulse
from appliance.proxy.reporter import Reporter
from appliance.proxy.spool import Spool
from appliance.recording.lane import Lanes
from appliance.recording.sinks import FileSink
from appliance.recording.writer import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from appliance.domain.operations.ssh import ProxyTrust
    from appliance.proxy.authority import Caller, Clock
    from appliance.proxy.config import WorkerConfig
    from appliance.recording.errors import RecorderFailed
    from appliance.recording.frames import SessionFacts
    from appliance.recording.ticks import Ticks

log = logging.getLogger(__name__)
REGISTER_PATIENCE = 60.0
"""Seconds that auth has to come up, at the start."""
REGISTER_EVERY = 60.0
"""Seconds between two looks whether authorities, names or limits have changed."""
RECORDING_LANES = 2
SETTLE = 10.0
"""Seconds at the end for what auth has not taken yet; the rest stays in the spool, and in our own log."""
RESTARTING = "the bastion is being restarted"


def load_host_key(path: Path) -> asyncssh.SSHKey:
    """Return the host key; raises `ProxyError` where it can't be read, or others could read it."""
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ProxyError(f"the host key {path} must have mode 0600")
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError) as error:
        raise ProxyError(f"the host key {path} can't be read: {error}") from error


def make_host_key(path: Path) -> None:
    """Make an Ed25519 host key where there is none; raises `OSError`."""
    data = asyncssh.generate_private_key("ssh-ed25519").export_private_key()
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another worker was quicker: its key is the key
            os.link(temporary, path)
    finally:
        temporary.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that runs. `address` is where it listens."""

    edge: Edge
    listener: Listener
    address: tuple[str, int]


@contextlib.asynccontextmanager
async def running(config: WorkerConfig, api: Caller, *, clock: Clock, ticks: Ticks) -> AsyncIterator[Worker]:
    """Serve while the context lasts; leaving it drains and stops. Raises `SallyportError` or `OSError`."""
    version.check()
    key = load_host_key(config.host_key)
    sock = listen(config.listen)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(sock.close)
        authority = await stack.enter_async_context(Authority(api, proxy_id=config.proxy_id))
        trust = await _register(authority, key.public_data)
        lanes = stack.enter_context(Lanes(RECORDING_LANES))
        sink = FileSink(config.spool)
        spool = Spool(sink, authority)
        recorders = _recorders(sink, lanes, ticks)
        edge = _compose(
            config,
            key=key,
            authority=authority,
            trust=trust,
            clock=clock,
            spool=spool,
            recorders=recorders,
        )
        listener = Listener(edge, await edge.hosts.bastion(trust.bastion_certificate))
        edge.spool.recover()
        background = [
            edge.tasks.start(work)
            for work in (edge.reporter.run(), edge.spool.run(), Pulse(edge).run(), _refresh(edge, listener))
        ]
        stack.push_async_callback(_stop, edge, listener, background, config.limits.drain)
        await listener.start(sock)
        yield Worker(edge=edge, listener=listener, address=sock.getsockname()[:2])


def _compose(
    config: WorkerConfig,
    *,
    key: asyncssh.SSHKey,
    authority: Authority,
    trust: ProxyTrust,
    clock: Clock,
    spool: Spool,
    recorders: Recorders,
) -> Edge:
    aes, limits = cpu_has_aes(), config.limits

    def now() -> float:
        return clock.now().timestamp()

    hosts = Hosts(key=key, suite=suite(config.profile, aes=aes), limits=limits, authority=authority, now=now)
    return Edge(
        trust=trust,
        limits=limits,
        clock=clock,
        authority=authority,
        reporter=Reporter(authority),
        spool=spool,
        recorders=recorders,
        hosts=hosts,
        nodes=Nodes(suite=node_suite(aes=aes), limits=limits, now=now),
        door=Door(limits),
        workers=config.workers,
    )


def _recorders(sink: FileSink, lanes: Lanes, ticks: Ticks) -> Recorders:
    def make(
        facts: SessionFacts,
        *,
        on_failure: Callable[[RecorderFailed], None],
        on_drained: Callable[[], None],
    ) -> Recorder:
        return Recorder(
            facts=facts,
            sink=sink,
            lanes=lanes,
            ticks=ticks,
            on_failure=on_failure,
            on_drained=on_drained,
            guard_echo=bool(facts.terminal),
        )

    return make


async def _register(authority: Authority, host_key: bytes) -> ProxyTrust:
    loop = asyncio.get_running_loop()
    until = loop.time() + REGISTER_PATIENCE
    while True:
        try:
            return await authority.register(host_key)
        except Unavailable as error:
            if loop.time() >= until:
                raise
            log.info("auth is not there yet: %s", error)
            await asyncio.sleep(0.5)


async def _refresh(edge: Edge, listener: Listener) -> None:
    while True:
        await asyncio.sleep(REGISTER_EVERY)
        try:
            trust = await edge.authority.register(edge.hosts.public_key)
        except SallyportError as error:
            log.warning("what this proxy trusts can't be looked up again: %s", error)
            continue
        if trust.host_authorities != edge.trust.host_authorities:
            edge.hosts.forget()
        if trust.bastion_certificate != edge.trust.bastion_certificate:
            listener.bastion = await edge.hosts.bastion(trust.bastion_certificate)
        edge.trust = trust


async def _stop(edge: Edge, listener: Listener, background: list[asyncio.Task[None]], drain: float) -> None:
    """Let what runs end by itself for a while, then end it, then send what is left."""
    edge.draining = True
    listener.close()
    await _within(drain, listener.connections.gone())
    for running_one in (*edge.sessions, *edge.streams):
        running_one.end(RESTARTING)
    for person in listener.connections:
        person.part(RESTARTING)
    await _within(SETTLE, _settled(edge))
    for task in background:
        task.cancel()
    await edge.tasks.finished()


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def _settled(edge: Edge) -> None:
    await edge.sessions.gone()
    await edge.streams.gone()
    await edge.reporter.flushed()
    await edge.spool.flushed()


async def run_worker(
    config: WorkerConfig,
    api: Caller,
    *,
    clock: Clock,
    ticks: Ticks,
    stop: asyncio.Event,
    ready: Callable[[Worker], None] | None = None,
) -> None:
    """Serve until `stop` is set (the composition root sets it on SIGTERM), then drain and return.

    `ready` is called once the port is open. Raises `SallyportError` or `OSError` where it can't begin.
    """
    async with running(config, api, clock=clock, ticks=ticks) as worker:
        log.info("ssh on %s:%s, %s", *worker.address, config.profile)
        if ready is not None:
            ready(worker)
        await stop.wait()
