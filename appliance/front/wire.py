"""The pieces that harden cheroot: strict header lines, a socket with a deadline, places per source.

As it comes, cheroot does the TLS handshake in its accepting thread, so that one silent peer stops
everybody for the length of the timeout; lets a peer that sends a byte now and then hold a worker for
hours; takes the last of several `Content-Length`, also beside `Transfer-Encoding`. Not here.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from appliance.front.sources import source_group

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAX_HEADER_LINES = 64
_NAME = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")  # RFC 9110 token, less the underscore (CGI names)
_DIGITS = re.compile(rb"[0-9]{1,10}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class StrictHeaderReader:
    """Reads header lines as RFC 9112 section 5 has them; raises ValueError on anything else.

    No name twice, no folded line, no `Transfer-Encoding` at all (nobody who calls us needs it, and two
    ideas of where a request ends are what smuggling lives on; threat W11).
    """

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        """Return the headers, names in title case as cheroot expects."""
        headers: dict[bytes, bytes] = {} if hdict is None else hdict
        for _ in range(MAX_HEADER_LINES + 1):
            line = rfile.readline()
            if line == b"\r\n":
                return headers
            name, value = _header(line)
            if name in headers:
                raise ValueError(f"The header {name.decode()} stands twice.")
            headers[name] = value
        raise ValueError("Too many header lines.")


def _header(line: bytes) -> tuple[bytes, bytes]:
    if not line.endswith(b"\r\n"):
        raise ValueError("A header line does not end with CRLF.")
    name, colon, value = line[:-2].partition(b":")
    value = value.strip(b" \t")
    if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError("Illegal header line.")
    name = name.title()
    if name == b"Transfer-Encoding":
        raise ValueError("Transfer-Encoding is not accepted; send Content-Length.")
    if name == b"Content-Length" and not _DIGITS.fullmatch(value):
        raise ValueError("Malformed Content-Length.")
    return name, value


class DeadlineSocket(ssl.SSLSocket):
    """A TLS socket that waits for its peer so long and no longer, however many bytes trickle in or out.

    What is read has to be there by `deadline` (monotonic seconds). What is sent may be waited for
    `patience` seconds in all; each byte taken earns some of it back, at `least_rate` bytes a second, so
    that a large answer may take its time. `None` sets no limit.
    """

    deadline: float | None = None
    patience: float | None = None
    longest_patience: float = 0.0
    least_rate: int = 4096

    def allow(self, *, seconds: float, least_rate: int) -> None:
        """Give the peer this long for a request from now on, and the same patience for its answer."""
        self.deadline = time.monotonic() + seconds
        self.patience = self.longest_patience = seconds
        self.least_rate = least_rate

    def _limit_reading(self) -> None:
        if self.deadline is not None:
            self.settimeout(_positive(self.deadline - time.monotonic()))

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - its signature
        """See `ssl.SSLSocket`; within the deadline."""
        self._limit_reading()
        super().do_handshake(block)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """See `ssl.SSLSocket`; within the deadline."""
        self._limit_reading()
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """See `ssl.SSLSocket`; as long as the patience lasts."""
        if self.patience is None:
            return super().send(data, flags)
        self.settimeout(_positive(self.patience))
        began = time.monotonic()
        sent = super().send(data, flags)
        earned = sent / self.least_rate - (time.monotonic() - began)
        self.patience = min(self.patience + earned, self.longest_patience)
        return sent


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


class Places:
    """How many connections there are, in all and of each source. Thread-safe."""

    def __init__(self, *, total: int, per_source: int) -> None:
        self._total, self._per_source = total, per_source
        self._taken: Counter[str] = Counter()
        self.refused = 0
        """Connections turned away since the start."""
        self._lock = threading.Lock()

    def take(self, source: str) -> bool:
        """Take a place for a connection of this source; False when there is none."""
        key = source_group(source)
        with self._lock:
            if self._taken.total() >= self._total or self._taken[key] >= self._per_source:
                self.refused += 1
                return False
            self._taken[key] += 1
            return True

    def give_back(self, source: str) -> None:
        """Give a place back."""
        key = source_group(source)
        with self._lock:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


Waiting = TypeVar("Waiting")


class Turns(Generic[Waiting]):
    """Lets so many connections of a source be served at once; the others of that source stand in line.

    So whoever opens many connections and is slow on each is slow to themselves. Thread-safe.
    """

    def __init__(self, per_source: int) -> None:
        self._per_source = per_source
        self._busy: Counter[str] = Counter()
        self._lines: defaultdict[str, deque[Waiting]] = defaultdict(deque)
        self._lock = threading.Lock()

    def begin(self, source: str, connection: Waiting) -> bool:
        """Take a turn for the connection; False when it stands in line now."""
        key = source_group(source)
        with self._lock:
            if self._busy[key] < self._per_source:
                self._busy[key] += 1
                return True
            self._lines[key].append(connection)
            return False

    def end(self, source: str) -> Waiting | None:
        """Give the turn on to the next connection of the source and return it; None when none waits."""
        key = source_group(source)
        with self._lock:
            if self._lines[key]:
                return self._lines[key].popleft()
            del self._lines[key]
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]
            return None
