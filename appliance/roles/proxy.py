"""One SSH worker of the proxy. Several share the port; each is a process of its own."""

from __future__ import annotations

import asyncio
import signal
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import appliance.roles.tokenless  # noqa: F401 - before anything that imports asyncssh
from appliance.client import Api, UnixTransport
from appliance.domain import names
from appliance.domain.errors import Sealed
from appliance.proxy.algorithms import Profile
from appliance.proxy.config import WorkerConfig
from appliance.proxy.worker import make_host_key, running
from appliance.recording.ticks import SYSTEM_TICKS
from appliance.roles import notify
from appliance.roles.layout import Layout, closed
from appliance.roles.process import main
from appliance.system import SystemClock

if TYPE_CHECKING:
    import argparse

    from appliance.config import Config

SEALED_SECONDS = 2.0
"""How often a worker that starts behind a sealed token looks whether it is open."""


def run(config: Config, arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    layout = Layout(closed(config.data_dir))
    host_key = closed(layout.proxy_state) / "host_key"
    if not host_key.exists():
        make_host_key(host_key)
    worker = WorkerConfig(
        proxy_id=f"{config.sallyport.nodename}-{arguments.worker}",
        listen=names.host_port(config.proxy_service.listen_addr),
        host_key=host_key,
        spool=closed(layout.proxy_state / f"spool-{arguments.worker}"),
        profile=Profile(config.proxy_service.algorithms),
        workers=config.proxy_service.workers,
    )
    with closing(Api(UnixTransport(layout.proxy))) as api:
        asyncio.run(_serve(worker, api))


async def _serve(worker: WorkerConfig, api: Api) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            async with running(worker, api, clock=SystemClock(), ticks=SYSTEM_TICKS):
                notify.ready("serving")
                await stop.wait()
        except Sealed as error:
            # Without a host certificate it could not show who it is; web pages and API shall not wait for it.
            notify.ready(f"not serving: {error}")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SEALED_SECONDS)


if __name__ == "__main__":
    main("proxy", run)
