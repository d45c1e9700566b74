"""The real web server on an ephemeral port, in threads of this process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.client import Api
from tests.support.web_tls import ServerTls, make
from webui.app import create_app
from webui.config import WebConfig, WebLimits
from webui.server import WebServer, serve


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    url: str
    port: int
    tls: ServerTls
    server: WebServer


@contextmanager
def running(folder: Path, api: Api, *, port: int, limits: WebLimits | None = None) -> Iterator[Running]:
    """Serve the pages at https://localhost:<port> until the block ends."""
    tls = make(folder)
    config = WebConfig(
        listen=("127.0.0.1", port),
        address=f"localhost:{port}",
        certificate=tls.certificate,
        key=tls.key,
        limits=limits or WebLimits(calls_per_second=100, calls_burst=1000),
    )
    server = serve(create_app(config, api), config)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield Running(url=f"https://localhost:{port}", port=port, tls=tls, server=server)
    finally:
        server.stop()
        thread.join(10)
