"""Verification in a process of its own, while the token makes the next signatures.

`cryptography` holds the interpreter lock for a whole verification, so that a thread for it gains nothing;
and threads that pass that lock on after every signature cost more than they gain. The process knows
public keys alone. Over a socket pair it gets a frame (uint32 length) of `key, message, signature` strings
(RFC 4251 §5) for each signature of a chunk and answers one byte for each: 1 where it verifies, else 0.

Nothing depends on it: until it is ready, and after it went away, signatures are verified in line.
"""

from __future__ import annotations

import itertools
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeVar

from hsm.encoding import public_key, signature
from hsm.encoding.signature import Signature
from hsm.encoding.wire import Reader, string
from hsm.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hsm.algorithm import Algorithm

log = logging.getLogger(__name__)

CHUNK = 8
GOOD, BAD = 1, 0
READY = b"\x01"
LONGEST_SECONDS = 5.0
"""How long it may take for a chunk, or to end."""
_LENGTH = struct.Struct(">I")


class Claim(Protocol):
    """That a key made a signature over a message. `key` is an SSH blob."""

    @property
    def key(self) -> bytes:
        """The public key."""

    @property
    def message(self) -> bytes:
        """What was to be signed."""

    @property
    def signature(self) -> Signature:
        """What the token gave."""


Made = TypeVar("Made", bound=Claim)


class Keys:
    """Public keys by their blobs, each read once."""

    def __init__(self) -> None:
        self._loaded: dict[bytes, tuple[public_key.SigningPublicKey, Algorithm]] = {}

    def verifies(self, key: bytes, message: bytes, made: Signature) -> bool:
        """Whether the claim is true; raises `Malformed` for a key that is none."""
        return signature.verify_with(self._load(key)[0], message, made)

    def verifies_raw(self, key: bytes, message: bytes, raw: bytes) -> bool:
        """As `verifies`; anything malformed is not true."""
        try:
            loaded, algorithm = self._load(key)
            return signature.verify_with(loaded, message, Signature(algorithm, raw))
        except Malformed:
            return False

    def _load(self, blob: bytes) -> tuple[public_key.SigningPublicKey, Algorithm]:
        found = self._loaded.get(blob)
        if found is None:
            key = public_key.load(blob)
            found = self._loaded[blob] = key, public_key.algorithm_of_key(key)
        return found


class Verifying:
    """Verifies claims, in line or beside; used by one thread."""

    def __init__(self) -> None:
        self._keys = Keys()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._asked = False
        self._ready = False

    def verifies(self, made: Claim) -> bool:
        """Verify one claim here and now; raises `Malformed` for a key that is none."""
        return self._keys.verifies(made.key, made.message, made.signature)

    def beside(self, making: Iterable[Made]) -> Iterator[tuple[Made, bool]]:
        """Pass on what is made, in order, with whether it verifies; one chunk while the next is made."""
        under_way = deque[tuple[list[Made], bool]]()
        making = iter(making)
        while chunk := list(itertools.islice(making, CHUNK)):
            under_way.append((chunk, self._send(chunk)))
            if len(under_way) > 1:
                yield from self._conclude(*under_way.popleft())
        while under_way:
            yield from self._conclude(*under_way.popleft())

    def close(self) -> None:
        """Let the process end."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _conclude(self, chunk: list[Made], sent: bool) -> Iterator[tuple[Made, bool]]:  # noqa: FBT001  # of a pair
        verdicts = self._receive(len(chunk)) if sent else b""
        if len(verdicts) == len(chunk):
            yield from ((made, verdict == GOOD) for made, verdict in zip(chunk, verdicts, strict=True))
        else:
            yield from ((made, self._here(made)) for made in chunk)

    def _here(self, made: Claim) -> bool:
        return self._keys.verifies_raw(made.key, made.message, made.signature.raw)

    def _send(self, chunk: list[Made]) -> bool:
        """Hand a chunk over, and say whether that was possible."""
        if not self._is_ready() or self._socket is None:
            return False
        claims = b"".join(
            string(made.key) + string(made.message) + string(made.signature.raw) for made in chunk
        )
        try:
            self._socket.sendall(string(claims))
        except OSError as error:
            self._give_up(error)
        return self._ready

    def _receive(self, count: int) -> bytes:
        if self._socket is None:
            return b""
        try:
            verdicts = self._socket.recv(count, socket.MSG_WAITALL)
        except OSError as error:
            self._give_up(error)
            return b""
        if len(verdicts) < count:
            self._give_up(EOFError("it ended"))
        return verdicts

    def _is_ready(self) -> bool:
        """Whether the process has said that it began; it is started when it is first asked for."""
        if not self._asked:
            self._asked = True
            self._start()
        elif not self._ready and self._socket is not None:
            waiting = select.poll()
            waiting.register(self._socket, select.POLLIN)
            self._ready = bool(waiting.poll(0)) and self._receive(1) == READY
        return self._ready

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(LONGEST_SECONDS)
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-m", __name__, str(number)]
            environment = {"PYTHONPATH": os.pathsep.join(sys.path)}  # nothing else of ours is its business
            try:
                self._process = subprocess.Popen(
                    command, pass_fds=[number], env=environment, stdin=subprocess.DEVNULL
                )
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("the verifying process is away, signatures are verified in line: %s", error)
        self._ready = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def serve(connection: socket.socket) -> None:
    """Answer chunks until the other side closes."""
    keys = Keys()
    connection.sendall(READY)
    while len(header := connection.recv(_LENGTH.size, socket.MSG_WAITALL)) == _LENGTH.size:
        (size,) = _LENGTH.unpack(header)
        connection.sendall(bytes(_verdicts(keys, Reader(connection.recv(size, socket.MSG_WAITALL)))))


def _verdicts(keys: Keys, claims: Reader) -> Iterator[int]:
    while claims:
        key, message, raw = claims.string(), claims.string(), claims.string()
        yield GOOD if keys.verifies_raw(key, message, raw) else BAD


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the signer's end of the socket
    with socket.socket(fileno=int(sys.argv[1])) as opened:
        serve(opened)
