"""A long line: a TCP relay that keeps every byte for half a round trip, each way.

`python far_line.py PORT SECONDS` prints where it listens and ends when its input closes. It holds back
nothing: what limits a stream through it is the two peers' windows.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import cast

LOOPBACK = "127.0.0.1"


class Side(asyncio.Protocol):
    """One connection; what comes goes out at the other after the delay, in order."""

    def __init__(self, delay: float) -> None:
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self._delay = delay
        self._line: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Put it on the line."""
        self._line.append(data)
        asyncio.get_running_loop().call_later(self._delay, self._arrive)

    def _arrive(self) -> None:
        data = self._line.popleft()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other one, after what is on the line."""
        del exc
        if self.other is not None and self.other.transport is not None:
            asyncio.get_running_loop().call_later(self._delay, self.other.transport.close)


class Entrance(Side):
    """The client's connection, which opens the one to the server."""

    def __init__(self, delay: float, port: int) -> None:
        super().__init__(delay)
        self._port = port
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the other side."""
        super().connection_made(transport)
        self.other = Side(self._delay)
        self.other.other = self
        self._opening = asyncio.ensure_future(self._open(self.other))

    async def _open(self, side: Side) -> None:
        await asyncio.get_running_loop().create_connection(lambda: side, LOOPBACK, self._port)


async def serve(port: int, round_trip: float) -> None:
    """Relay to a port until the input closes; prints where it listens."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: Entrance(round_trip / 2, port), LOOPBACK, 0)
    loop.add_reader(sys.stdin, over.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
