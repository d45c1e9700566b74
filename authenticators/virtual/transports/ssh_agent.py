"""A virtual key behind the SSH agent protocol (draft-ietf-sshm-ssh-agent): requests 11 and 13.

Any `ssh` with SSH_AUTH_SOCK uses it, with no provider library and no USB.
"""

from __future__ import annotations

import logging
import socketserver
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from authenticators.virtual import ssh
from authenticators.virtual.errors import TransportError, UnpluggedError
from authenticators.virtual.interaction import run
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.ssh import string

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from authenticators.virtual.interaction import Pause, Steps

FAILURE: Final = b"\x05"
REQUEST_IDENTITIES: Final = 11
IDENTITIES_ANSWER: Final = 12
SIGN_REQUEST: Final = 13
SIGN_RESPONSE: Final = 14
LONGEST: Final = 256 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The agent without its socket. `verified` says whether its person also proves a PIN or finger."""

    key: VirtualKey
    verified: bool = False

    def answer(self, request: bytes) -> Steps[bytes]:
        """Answer one message; what is unknown, malformed or refused is a failure."""
        match request[:1]:
            case b"\x0b":
                return self._identities()
            case b"\x0d":
                return (yield from self._sign(request[1:]))
        return FAILURE

    def _identities(self) -> bytes:
        known = ssh.identities(self.key)
        entries = b"".join(string(entry.blob) + string(entry.comment.encode()) for entry in known)
        return bytes([IDENTITIES_ANSWER]) + struct.pack(">I", len(known)) + entries

    def _sign(self, body: bytes) -> Steps[bytes]:
        try:
            blob, message = _two_strings(body)
        except struct.error:
            return FAILURE
        for identity in ssh.identities(self.key):
            if identity.blob == blob:
                signature = yield from ssh.sign(self.key, identity, message, verified=self.verified)
                return FAILURE if signature is None else bytes([SIGN_RESPONSE]) + string(signature)
        return FAILURE


def _two_strings(body: bytes) -> tuple[bytes, bytes]:
    (first,) = struct.unpack_from(">I", body)
    (second,) = struct.unpack_from(">I", body, 4 + first)
    return body[4 : 4 + first], body[8 + first : 8 + first + second]


@dataclass(slots=True, kw_only=True)
class AgentSocket:
    """An agent that listens on a Unix socket of mode 0600, one thread a connection, one request at a time."""

    agent: Agent
    path: Path
    _busy: threading.Lock = field(init=False, default_factory=threading.Lock)
    _leaving: threading.Event = field(init=False, default_factory=threading.Event)

    @contextmanager
    def serving(self) -> Iterator[Path]:
        """Listen inside the block; yields the path for SSH_AUTH_SOCK. Raises `TransportError`."""
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            request: socket.socket

            def handle(self) -> None:
                outer.serve(self.request)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        try:
            server = Server(str(self.path), Handler)
        except OSError as error:
            raise TransportError(f"{self.path}: {error}") from error
        self.path.chmod(0o600)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self.path
        finally:
            self._leaving.set()
            server.shutdown()
            server.server_close()
            self.path.unlink(missing_ok=True)

    def serve(self, connection: socket.socket) -> None:
        """Answer one client until it hangs up, or the key is pulled out."""
        try:
            while (request := _receive(connection)) is not None:
                with self._busy:
                    reply = run(self.agent.answer(request), self._wait)
                connection.sendall(string(reply))
        except (UnpluggedError, OSError) as error:
            _log.info("client lost: %s", error)

    def _wait(self, pause: Pause) -> bool:
        return not self._leaving.wait(pause.seconds)


def _receive(connection: socket.socket) -> bytes | None:
    header = _receive_exactly(connection, 4)
    if header is None:
        return None
    (length,) = struct.unpack(">I", header)
    return _receive_exactly(connection, length) if length <= LONGEST else None


def _receive_exactly(connection: socket.socket, length: int) -> bytes | None:
    received = b""
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        if not chunk:
            return None
        received += chunk
    return received
