"""The signer's sockets: one a caller, each with its own permitted peers.

To start one (the composition root of the signer process does no more than this)::

    memory = Memory()
    ledger = Ledger.open(path, cluster, clock=clock, seen=memory.see)
    token = Token(registry.opener(token_config), pin)          # pin None: it starts sealed
    SignerServer(config, token, ledger, memory, clock).serve() # until SIGTERM

One thread runs the event loop: it reads frames, parses, checks limits and drafts. One other thread
alone touches token and ledger, one operation at a time; what waits for it is handed out fairly. A
process that knows no secret verifies what a fast token has signed, while the token signs on.
Of requests that wait together, as many share one sync of the ledger as the token can sign in about
two milliseconds, or in twice the time of a sync where the disk is slower. A module that crashes takes
this process along; its supervisor starts it again, and clients get UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hsm.errors import HsmError, Malformed
from hsm.signer import codec
from hsm.signer.desk import Caller, Desk, Memory, Task
from hsm.signer.limits import DEFAULT_LIMITS, LimitTable
from hsm.signer.protocol import Answer, Code, Head, Request, SignerError
from hsm.signer.queue import FairQueue

if TYPE_CHECKING:
    from hsm.signer.ledger import Ledger
    from hsm.signer.token import Token

log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)
BATCH_SECONDS = 0.002
BUNDLE_SECONDS = 0.001
SWITCH_SECONDS = 0.0001
MAX_BATCH = 64
MAX_IN_FLIGHT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One Unix socket: the caller behind it, and who may be that caller by the kernel's word."""

    caller: str
    path: Path
    uids: frozenset[int]
    mode: int = 0o600
    gid: int | None = None
    connections: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerConfig:
    """The signer's configuration. `queue_size` requests may wait per caller, each `deadline` seconds."""

    cluster: str
    doors: tuple[Door, ...]
    limits: LimitTable = DEFAULT_LIMITS
    queue_size: int = 512
    deadline: float = 10.0


_Tell = Callable[[Answer | SignerError], None]
_Ready = tuple[_Tell, Answer | SignerError]


@dataclass(frozen=True, slots=True)
class _Job:
    """A task and where its answer goes; `answer` is called on the loop, once or more."""

    task: Task
    answer: _Tell


class SignerServer:
    """Serves the doors until it is told to stop."""

    def __init__(
        self,
        config: SignerConfig,
        token: Token,
        ledger: Ledger,
        memory: Memory,
        clock: Callable[[], float],
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._steady = steady
        self._ledger = ledger
        self._desk = Desk(
            cluster=config.cluster,
            limits=config.limits,
            token=token,
            ledger=ledger,
            memory=memory,
            clock=clock,
            steady=steady,
        )
        self._queue = FairQueue[_Job](config.queue_size)
        self._most = 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._connections: list[set[_Connection]] = []
        self.ready = threading.Event()

    def serve(self) -> None:
        """Serve until `stop` is called or, in the main thread, SIGTERM or SIGINT arrives.

        While it serves, threads of this process change places after 0.1 ms instead of 5: a token
        call lets go of the interpreter, and each signature would else wait that long to get it back.
        """
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            asyncio.run(self._serve())
        finally:
            sys.setswitchinterval(before)

    def stop(self) -> None:
        """Stop serving; may be called from any thread."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped already
                self._loop.call_soon_threadsafe(self._stopping.set)

    @property
    def head(self) -> Head:
        """The ledger's last entry."""
        return self._ledger.head

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._stopping.set)
        worker = threading.Thread(target=self._work, name="token", daemon=True)
        worker.start()
        servers = [await self._open(door) for door in self._config.doors]
        self.ready.set()
        try:
            while not self._stopping.is_set():
                self._expire()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._config.deadline / 20)
        finally:
            self._queue.close()
            for server in servers:
                server.close()
            for connection in [each for connections in self._connections for each in connections]:
                connection.close()
            await asyncio.to_thread(worker.join, self._config.deadline)
            for door in self._config.doors:
                door.path.unlink(missing_ok=True)

    async def _open(self, door: Door) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        listener = _bind(door)
        connections = set[_Connection]()
        self._connections.append(connections)
        return await loop.create_unix_server(lambda: _Connection(self, door, connections), sock=listener)

    # -- on the loop

    def handle(
        self, caller: Caller, request: Request, answer: Callable[[Answer | SignerError], None]
    ) -> None:
        """Answer a request now, or let it wait for the token."""
        try:
            size = self._config.queue_size
            planned = self._desk.plan(caller, request, len(self._queue), size)
            if not isinstance(planned, Task):
                answer(planned)
                return
            lane = getattr(request, "lane", "")
            expires = self._steady() + self._config.deadline
            self._queue.put(caller.name, lane, _Job(planned, answer), expires)
        except SignerError as error:
            answer(error)
        except HsmError as error:
            answer(SignerError(Code.MALFORMED, str(error)))

    def _expire(self) -> None:
        for job in self._queue.expire(self._steady()):
            job.answer(SignerError(Code.BUSY, "the token was busy for too long", wait=1.0))

    # -- in the token's thread

    def _work(self) -> None:
        """Take what waits, a little at a time, until the queue is closed."""
        self._desk.open_token()
        while jobs := self._queue.take(self._most):
            self._do(jobs)
            at_once = max(BATCH_SECONDS, 2 * self._ledger.pace) / self._desk.pace
            self._most = max(1, min(MAX_BATCH, int(at_once)))
        with contextlib.suppress(HsmError):
            self._desk.close()

    def _do(self, jobs: list[_Job]) -> None:
        """Execute and hand over the answers: at once from a slow token, in bundles from a fast one."""
        ready, since = list[_Ready](), self._steady()
        for index, answer in self._desk.execute([job.task for job in jobs]):
            ready.append((jobs[index].answer, answer))
            if (now := self._steady()) - since > BUNDLE_SECONDS:
                self._hand_over(ready)
                ready, since = [], now
        self._hand_over(ready)

    def _hand_over(self, ready: list[_Ready]) -> None:
        if self._loop is not None and ready:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                self._loop.call_soon_threadsafe(_tell, ready)


def _tell(ready: list[_Ready]) -> None:
    for answer, result in ready:
        answer(result)


def _bind(door: Door) -> socket.socket:
    """Open the socket with its mode from the first moment on; a stale one is replaced, a live one is not."""
    _remove_stale(door.path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(door.path))
    finally:
        os.umask(before)
    if door.gid is not None:
        os.chown(door.path, -1, door.gid)
    door.path.chmod(door.mode)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Malformed(f"{path} is there and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise SignerError(Code.UNAVAILABLE, f"another signer listens on {path}")
    path.unlink()


class _Connection(asyncio.Protocol):
    """One client: frames in, answers out, each request answered once."""

    def __init__(self, server: SignerServer, door: Door, connections: set[_Connection]) -> None:
        self._server = server
        self._door = door
        self._connections = connections
        self._deframer = codec.Deframer()
        self._waiting = set[int]()
        self._caller: Caller | None = None
        self._transport: asyncio.Transport | None = None
        self._unsent = list[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the peer in, or tell it no and close."""
        self._transport = cast("asyncio.Transport", transport)
        uid = peer_uid(transport.get_extra_info("socket"))
        if uid not in self._door.uids:
            self._turn_away(SignerError(Code.REFUSED, "this socket is not for you"), uid)
        elif len(self._connections) >= self._door.connections:
            self._turn_away(SignerError(Code.BUSY, "too many connections", wait=1.0), uid)
        else:
            self._caller = Caller(name=self._door.caller, uid=uid)
            self._connections.add(self)

    def _turn_away(self, error: SignerError, uid: int) -> None:
        log.warning("door %s: turned away uid %d: %s", self._door.caller, uid, error)
        self._write(codec.write_refusal(0, error))
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the interface's
        """Forget the client; what it still waits for is made and dropped."""
        self._connections.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take in frames; a stream that is not ours is closed."""
        if self._caller is None:
            return
        try:
            for payload in self._deframer.feed(data):
                self._request(self._caller, payload)
        except Malformed as error:
            log.warning("door %s: %s", self._door.caller, error)
            self.close()

    def _request(self, caller: Caller, payload: bytes) -> None:
        number, request = codec.read_request(payload)
        if number in self._waiting:
            raise Malformed("the same number twice")
        self._waiting.add(number)
        answer = partial(self._answer, number)
        if isinstance(request, Malformed):
            answer(SignerError(Code.MALFORMED, str(request)))
        elif len(self._waiting) > MAX_IN_FLIGHT:
            answer(SignerError(Code.BUSY, "too many requests at once", wait=1.0))
        else:
            self._server.handle(caller, request, answer)

    def _answer(self, number: int, result: Answer | SignerError) -> None:
        if number not in self._waiting:
            return  # told already that it took too long
        self._waiting.discard(number)
        if isinstance(result, SignerError):
            self._write(codec.write_refusal(number, result))
        else:
            self._write(codec.write_answer(number, result))

    def _write(self, frame: bytes) -> None:
        """Send with everything else that is said in this turn of the loop, in one write."""
        if self._transport is not None:
            if not self._unsent:
                asyncio.get_running_loop().call_soon(self._flush)
            self._unsent.append(frame)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and unsent:
            self._transport.write(b"".join(unsent))

    def pause_writing(self) -> None:
        """Read no more from a client that does not read."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close after what was written."""
        self._flush()
        if self._transport is not None:
            self._transport.close()


def peer_uid(connection: socket.socket) -> int:
    """Return the uid that the kernel gives for the peer (SO_PEERCRED, unix(7))."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)
