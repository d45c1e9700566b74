"""One transfer: known bytes in at one end, the same SHA-256 out at the other, CPU and time in between.

Counting begins when the stream is open and nothing has flowed, and ends with the last byte: what a
connection costs is a row of its own. Where a session is recorded, counting goes on until the server is
quiet again, because a recording is written, compressed and handed over a little later.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.frame import BenchError, NotEqualError
from bench.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB, GIB = 1 << 20, 1 << 30
CHUNK = 1 << 18
PATIENCE = 120
"""Seconds after which a transfer is given up."""
QUIET_STEP, QUIET_SHARE, QUIET_PATIENCE = 0.25, 0.03, 20.0
LINE = b"2026-01-01T12:00:00.%06dZ node app[%d]: request %016x served in %d us, status 200\n"
SCATTER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Payload:
    """A file of known content."""

    path: Path
    size: int

    @cached_property
    def digest(self) -> str:
        """Return its SHA-256."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one transfer took: seconds of the server's CPU, and seconds on the wall."""

    size: int
    cpu: float
    seconds: float

    @property
    def cpu_per_gib(self) -> float:
        """CPU seconds a GiB."""
        return self.cpu * GIB / self.size

    @property
    def mib_per_second(self) -> float:
        """MiB a second."""
        return self.size / MIB / self.seconds


def random_payload(folder: Path, size: int) -> Payload:
    """Make a file that nothing can compress."""
    path = folder / f"random-{size}"
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
    return Payload(path, size // MIB * MIB)


def text_payload(folder: Path, size: int) -> Payload:
    """Make a file of lines as a log has them, no two the same."""
    path = folder / f"text-{size}"
    if not path.exists():
        lines = 1 + size // len(_line(0))
        with path.open("wb") as file:
            file.writelines(map(_line, range(lines)))
    return Payload(path, path.stat().st_size)


def _line(number: int) -> bytes:
    return LINE % (number, 1000 + number % 7, number * SCATTER % 2**64, number % 900)


@dataclass(slots=True)
class Watch:
    """Counts from `begin` to `end`."""

    meter: Meter
    _cpu: float = 0.0
    _began: float = 0.0
    _seconds: float = 0.0

    def begin(self) -> None:
        """Begin to count."""
        self._cpu, self._began = self.meter.cpu_seconds(), time.monotonic()

    def last_byte(self) -> None:
        """Everything has arrived."""
        self._seconds = time.monotonic() - self._began

    def end(self, size: int, *, until_quiet: bool = False) -> Measured:
        """Return what was counted."""
        if until_quiet:
            wait_until_quiet(self.meter)
        return Measured(size=size, cpu=self.meter.cpu_seconds() - self._cpu, seconds=self._seconds)


def wait_until_quiet(meter: Meter) -> None:
    """Return when a server does next to nothing any more; raises `BenchError` when it never rests."""
    until, before = time.monotonic() + QUIET_PATIENCE, meter.cpu_seconds()
    while time.monotonic() < until:
        time.sleep(QUIET_STEP)
        now = meter.cpu_seconds()
        if now - before < QUIET_STEP * QUIET_SHARE:
            return
        before = now
    raise BenchError(f"the server was not quiet {QUIET_PATIENCE:.0f} s after a transfer")


@dataclass
class Endpoint:
    """A TCP server for one connection: a source that sends a file, or a sink that hashes what comes."""

    payload: Payload
    watch: Watch
    sends: bool
    received: str = ""
    problem: Exception | None = None
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Serve one connection; the border of its thread."""
        try:
            self._listener.settimeout(PATIENCE)
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                self.watch.begin()
                self._send(connection) if self.sends else self._receive(connection)
        except OSError as error:
            self.problem = error
        finally:
            self._listener.close()

    def give_up(self) -> None:
        """Wait no longer for somebody who has not come."""
        with suppress(OSError):  # somebody came
            self._listener.shutdown(socket.SHUT_RDWR)

    def _send(self, connection: socket.socket) -> None:
        with self.payload.path.open("rb") as file:
            connection.sendfile(file)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(CHUNK):
            pass

    def _receive(self, connection: socket.socket) -> None:
        digest, buffer, left = hashlib.sha256(), memoryview(bytearray(CHUNK)), self.payload.size
        while left > 0 and (size := connection.recv_into(buffer)):
            digest.update(buffer[:size])
            left -= size
        self.watch.last_byte()
        self.received = digest.hexdigest()


def stream_down(command: list[str], target: str, payload: Payload, meter: Meter) -> Measured:
    """Send a file from a port behind the bastion to the client; `command` lacks `-W target:port`."""
    watch = Watch(meter)
    with _endpoint(Endpoint(payload, watch, sends=True)) as source:
        with _client([*command, "-W", f"{target}:{source.port}"], stdin=False) as client:
            received = _read_digest(client, payload.size)
            watch.last_byte()
            measured = watch.end(payload.size)
        _check(payload, received)
    return measured


def stream_up(command: list[str], target: str, payload: Payload, meter: Meter) -> Measured:
    """Send a file from the client to a port behind the bastion."""
    watch = Watch(meter)
    sink = Endpoint(payload, watch, sends=False)
    with _endpoint(sink), _client([*command, "-W", f"{target}:{sink.port}"], stdin=True) as client:
        _feed(client, payload)
        client.wait(PATIENCE)
        measured = watch.end(payload.size)
    _check(payload, sink.received)
    return measured


@contextmanager
def _endpoint(endpoint: Endpoint) -> Iterator[Endpoint]:
    thread = threading.Thread(target=endpoint.serve, name="endpoint", daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.give_up()
        thread.join(PATIENCE)
    if endpoint.problem is not None:
        raise BenchError(f"the stream broke: {endpoint.problem}") from endpoint.problem


def session_down(command: list[str], payload: Payload, meter: Meter, *, recorded: bool = False) -> Measured:
    """Have the node print a file; `command` ends where the remote command begins."""
    watch = Watch(meter)
    remote = f"echo ready; read -r go; cat {shlex.quote(str(payload.path))}"
    with _client([*command[:-1], _nested(command[-1], remote)], stdin=True) as client:
        _expect_ready(client)
        watch.begin()
        _write(client, b"go\n")
        received = _read_digest(client, payload.size)
        watch.last_byte()
        client.wait(PATIENCE)
        _check(payload, received)
        return watch.end(payload.size, until_quiet=recorded)


def session_up(command: list[str], payload: Payload, meter: Meter, *, recorded: bool = False) -> Measured:
    """Send a file to the standard input of a command on the node."""
    watch = Watch(meter)
    with _client([*command[:-1], _nested(command[-1], "echo ready; sha256sum")], stdin=True) as client:
        _expect_ready(client)
        watch.begin()
        _feed(client, payload)
        received = _read_line(client).split()[0].decode("ascii")
        watch.last_byte()
        client.wait(PATIENCE)
        _check(payload, received)
        return watch.end(payload.size, until_quiet=recorded)


def transfer_file(command: list[str], verb: str, payload: Payload, to: Path, meter: Meter) -> Measured:
    """Have sftp `get` or `put` a file on a machine that both ends are."""
    watch = Watch(meter)
    watch.begin()
    batch = f"{verb} {payload.path} {to}\n".encode()
    done = subprocess.run(command, input=batch, capture_output=True, timeout=PATIENCE, check=False)
    watch.last_byte()
    if done.returncode:
        raise BenchError(f"sftp: {done.stderr.decode(errors='replace').strip()}")
    _check(payload, Payload(to, payload.size).digest)
    to.unlink()
    return watch.end(payload.size, until_quiet=True)


def _nested(before: str, remote: str) -> str:
    """Return the remote command; `before` is what the first hop runs to get to the second, or nothing."""
    return f"{before} {shlex.quote(remote)}" if before else remote


@contextmanager
def _client(command: list[str], *, stdin: bool) -> Iterator[subprocess.Popen[bytes]]:
    source = subprocess.PIPE if stdin else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, bufsize=0)
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.terminate()
        process.wait(PATIENCE)


def _output(client: subprocess.Popen[bytes]) -> int:
    if client.stdout is None:
        raise BenchError("the client has no output")
    return client.stdout.fileno()


def _read_digest(client: subprocess.Popen[bytes], size: int) -> str:
    digest, left, output = hashlib.sha256(), size, _output(client)
    while left > 0 and (piece := os.read(output, min(left, CHUNK))):
        digest.update(piece)
        left -= len(piece)
    if left == size:
        raise BenchError("nothing arrived: the client was refused")
    return digest.hexdigest()


def _read_line(client: subprocess.Popen[bytes]) -> bytes:
    line, output = b"", _output(client)
    while not line.endswith(b"\n"):
        piece = os.read(output, 4096)
        if not piece:
            raise BenchError(f"the session ended after {line[:100]!r}")
        line += piece
    return line


def _expect_ready(client: subprocess.Popen[bytes]) -> None:
    if (line := _read_line(client)) != b"ready\n":
        raise BenchError(f"the session began with {line[:100]!r}")


def _write(client: subprocess.Popen[bytes], data: bytes) -> None:
    if client.stdin is None:
        raise BenchError("the client has no input")
    client.stdin.write(data)


def _feed(client: subprocess.Popen[bytes], payload: Payload) -> None:
    """Write a file into the client's input and close it."""
    if client.stdin is None:
        raise BenchError("the client has no input")
    sent = 0
    with payload.path.open("rb") as file:
        while sent < payload.size:
            sent += os.sendfile(client.stdin.fileno(), file.fileno(), sent, payload.size - sent)
    client.stdin.close()


def _check(payload: Payload, received: str) -> None:
    if received != payload.digest:
        raise NotEqualError(f"{payload.path.name}: what arrived has another SHA-256 than what was sent")
