"""Where the API listens: cheroot servers on Unix sockets and on mutual TLS, in threads."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from cheroot import wsgi

from appliance.api.application import MAX_BODY
from appliance.api.identify import DOOR, Door
from appliance.domain.errors import Unavailable
from appliance.front.server import Context, FrontLimits, FrontServer, WsgiApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS = 8
"""Requests served at once on each listener; a caller's next waits in the accept queue."""
BACKLOG = 128
TIMEOUT = 30
"""Seconds a connection may take for a request, or stay idle."""
MAX_HEADER = 16384
TLS_LIMITS = FrontLimits(threads=16, connections=512, body_bytes=MAX_BODY, request_seconds=30.0)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Listener:
    """A server and the thread it runs in."""

    server: wsgi.Server
    thread: Thread
    path: Path | None = None

    def stop(self) -> None:
        """Stop accepting, finish what runs, remove the socket."""
        self.server.stop()
        self.thread.join()
        if self.path is not None:
            with suppress(FileNotFoundError):
                self.path.unlink()


def unix(app: WsgiApp, path: Path, door: Door, *, gid: int | None = None) -> Listener:
    """Listen on a Unix socket, which only its owner can open (and a group, where one is given)."""

    def behind_door(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[DOOR] = door
        return app(environ, start_response)

    _remove_stale(path)
    server = _server(str(path), behind_door)
    server.peercreds_enabled = True
    before = os.umask(0o117)
    try:
        server.prepare()
    finally:
        os.umask(before)
    path.chmod(0o660 if gid is not None else 0o600)
    if gid is not None:
        os.chown(path, -1, gid)
    return _started(server, path)


def tls(app: WsgiApp, address: tuple[str, int], context: Context) -> Listener:
    """Listen with mutual TLS: a client without a certificate of ours gets no further than the handshake."""
    context()
    server = FrontServer(app, address, TLS_LIMITS, context)
    server.prepare()
    return _started(server, None)


def _server(address: str, app: WsgiApp) -> wsgi.Server:
    server = _Server(
        address, app, numthreads=THREADS, request_queue_size=BACKLOG, timeout=TIMEOUT, server_name="sallyport"
    )
    server.max_request_header_size = MAX_HEADER
    return server


class _Server(wsgi.Server):
    """cheroot, with its complaints in our log."""

    max_request_header_size: int

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002
        log.log(level, "%s", msg, exc_info=traceback)


def _started(server: wsgi.Server, path: Path | None) -> Listener:
    thread = Thread(target=server.serve, name=f"api {server.bind_addr}", daemon=True)
    thread.start()
    return Listener(server=server, thread=thread, path=path)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that is gone; raise `Unavailable` if somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink()
            return
    raise Unavailable(f"another process listens on {path}")
