"""The server: handshakes in workers, silent peers in the selector, limits on everything."""

from __future__ import annotations

import logging
import os
import queue
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cheroot import errors, wsgi
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter

from appliance.domain.errors import Unavailable
from appliance.front.wire import DeadlineSocket, Places, StrictHeaderReader, Turns

Context = Callable[[], ssl.SSLContext]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger(__name__)
COMPLAIN_EVERY = 10.0
TLS_SOCKET = "sallyport.tls_socket"
"""In the environment: the connection itself, whose certificate is known before any request is read."""
ENVIRONMENT = {"wsgi.url_scheme": "https", "HTTPS": "on"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLimits:
    """How much one peer, and all peers together, may take."""

    threads: int = 32
    connections: int = 1000
    connections_per_source: int = 64
    workers_per_source: int = 8
    """Of `threads`, how many may be busy with one source; its further connections wait for their turn."""
    header_bytes: int = 16384
    body_bytes: int = 65536
    idle_seconds: int = 20
    request_seconds: float = 15.0
    """From the first byte of a request to its last."""
    least_rate: int = 4096
    """Bytes a second at which an answer must be taken."""


class LazyTls(Adapter):
    """Wraps without shaking hands: that is left to the worker that serves the connection."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def bind(self, sock: socket.socket) -> socket.socket:
        """Return the listening socket as it is."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """Return the TLS socket, and what to tell the application."""
        context = self._context()
        context.sslsocket_class = DeadlineSocket
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {**ENVIRONMENT, TLS_SOCKET: wrapped}

    def get_environ(self) -> dict[str, str]:
        """Return what to tell the application."""
        return dict(ENVIRONMENT)

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = -1) -> Any:
        """Return a reader or writer over the socket."""
        return MakeFile(sock, mode, bufsize)


class Request(HTTPRequest):
    """A request with strict header lines."""

    header_reader = StrictHeaderReader()


class Connection(HTTPConnection):
    """A connection that has a place, a handshake to do, and deadlines to keep."""

    RequestHandlerClass = Request
    server: FrontServer
    socket: DeadlineSocket
    placed = False
    shaken = False

    def communicate(self) -> bool:
        """Shake hands, or serve one request, within its time; returns whether the connection stays."""
        limits = self.server.limits
        self.socket.allow(seconds=limits.request_seconds, least_rate=limits.least_rate)
        try:
            if not self.shaken:
                # no waiting here for the request: the selector does that for all
                return self._shake_hands()
            kept: bool = super().communicate()  # type: ignore[no-untyped-call]
            return kept
        finally:
            self.server.next_turn(self.remote_addr)

    def _shake_hands(self) -> bool:
        try:
            self.socket.do_handshake()
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                self._point_to_https()
            return False
        except OSError:
            return False
        self.shaken = True
        return True

    def _point_to_https(self) -> None:
        """Answer a browser that was given `http://`: the plain socket lies below the TLS one."""
        if not self.server.url:
            return
        answer = f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {self.server.url}/\r\n"
        answer += "Content-Length: 0\r\nConnection: close\r\n\r\n"
        try:
            socket.socket.send(self.socket, answer.encode("ascii"))
        except OSError as error:
            log.debug("a plain HTTP peer went away: %s", error)

    def close(self) -> None:
        """Close, and give the place back once."""
        if self.placed:
            self.placed = False
            self.server.places.give_back(self.remote_addr)
        super().close()


class FrontServer(wsgi.Server):
    """Serves one application; `serve()` blocks until `stop()` is called from another thread.

    `context` is asked for each connection, so that a renewed certificate or a rotated authority holds at
    once.
    `url` is where somebody is sent who speaks plain HTTP to it; empty sends nobody anywhere.
    """

    ConnectionClass = Connection
    max_request_header_size: int
    max_request_body_size: int

    def __init__(
        self, app: WsgiApp, listen: tuple[str, int], limits: FrontLimits, context: Context, *, url: str = ""
    ) -> None:
        super().__init__(
            listen,
            app,
            numthreads=limits.threads,
            max=limits.threads,
            server_name="sallyport",
            request_queue_size=256,
            timeout=limits.idle_seconds,
            shutdown_timeout=3,
            accepted_queue_size=limits.connections,
            accepted_queue_timeout=0,
        )
        self.limits, self.url = limits, url
        self.max_request_header_size, self.max_request_body_size = limits.header_bytes, limits.body_bytes
        self.keep_alive_conn_limit = limits.connections
        self.places = Places(total=limits.connections, per_source=limits.connections_per_source)
        self.turns: Turns[Connection] = Turns(limits.workers_per_source)
        self._complained_at = -COMPLAIN_EVERY
        self.ssl_adapter = LazyTls(context)

    @property
    def port(self) -> int:
        """The port bound, once `prepare()` has run."""
        return int(self.bind_addr[1])

    def prepare(self) -> None:
        """Bind; raises `Unavailable` with the address and the reason."""
        host, port = self.bind_addr
        try:
            super().prepare()
        except OSError as error:
            raise Unavailable(f"can't listen on {host}:{port}: {_reason(error)}") from error

    def process_conn(self, conn: Connection) -> None:
        """Queue a connection that has something to say; a new one waits in the selector until it does."""
        if conn.last_used is None:
            self._welcome(conn)
        elif self.turns.begin(conn.remote_addr, conn):
            self._queue(conn)

    def next_turn(self, source: str) -> None:
        """Let the next connection of a source have the turn that one of its others has ended."""
        waiting = self.turns.end(source)
        if waiting is not None:
            self._queue(waiting)

    def _welcome(self, conn: Connection) -> None:
        conn.placed = self.places.take(conn.remote_addr)
        if conn.placed:
            self.put_conn(conn)
        else:
            self._complain(conn.remote_addr)
            conn.close()

    def _complain(self, source: str) -> None:
        """Log refused connections, once in ten seconds: who floods us shall not flood the log."""
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY:
            self._complained_at = now
            log.warning(
                "too many connections, the last of %s; %d refused so far", source, self.places.refused
            )

    def _queue(self, conn: Connection) -> None:
        try:
            self.requests.put(conn)
        except queue.Full:
            conn.close()
            self.next_turn(conn.remote_addr)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - its signature
        """Send cheroot's messages to our log; what a peer does wrong is not our error."""
        failed = sys.exc_info()[1]
        peer = isinstance(failed, OSError | errors.FatalSSLAlert)
        log.log(logging.DEBUG if peer else level, "%s", msg, exc_info=traceback and not peer)


def _reason(error: OSError) -> str:
    """Return why a bind failed; cheroot has the number in a text of its own."""
    number = re.search(r"\[Errno (\d+)\]", str(error))
    return os.strerror(int(number[1])) if number else error.strerror or str(error)
