"""A virtual key as a USB device in a QEMU guest: the usbredir protocol on a socket.

QEMU connects with `-device qemu-xhci -chardev socket,id=vkey,host=…,port=… -device usb-redir,chardev=vkey`.
Everything in the guest is then unmodified: kernel, libfido2, OpenSSH, pcscd, ykman, browsers.
"""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from authenticators.virtual.errors import TransportError, UnpluggedError
from authenticators.virtual.usb.composite import CompositeDevice
from authenticators.virtual.usb.redirection import Redirection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authenticators.virtual.key import VirtualKey


@dataclass(slots=True)
class UsbPort:
    """A USB port of one guest: keys are plugged in and pulled out while the guest runs, from any thread."""

    redirection: Redirection = field(init=False, default_factory=Redirection)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)
    _wake: tuple[socket.socket, socket.socket] = field(init=False, default_factory=socket.socketpair)
    _closing: bool = field(init=False, default=False)

    def plug(self, key: VirtualKey) -> None:
        """Plug a key in; one that is there already is pulled out first."""
        with self._lock:
            self.redirection.unplug()
            key.power_cycle()
            self.redirection.plug(CompositeDevice(key))
        self._wake[0].send(b"\0")

    def unplug(self) -> None:
        """Pull the key out."""
        with self._lock:
            self.redirection.unplug()
        self._wake[0].send(b"\0")

    def press(self, slot: int) -> None:
        """Touch the key while nothing waits for it, so that it types its OTP slot."""
        with self._lock:
            if self.redirection.device is not None:
                self.redirection.device.press(slot)
        self._wake[0].send(b"\0")

    def close(self) -> None:
        """End `serve`."""
        self._closing = True
        self._wake[0].send(b"\0")

    def serve(self, connection: socket.socket) -> None:
        """Serve one guest until it hangs up; raises `TransportError` when it breaks the protocol."""
        while not self._closing:
            ready, _, _ = select.select([connection, self._wake[1]], [], [], self._due())
            if self._wake[1] in ready:
                self._wake[1].recv(64)
            data = connection.recv(65536) if connection in ready else None
            if data == b"":
                return
            connection.sendall(self._advance(data or b""))

    def _due(self) -> float | None:
        with self._lock:
            device = self.redirection.device
            return None if device is None else device.due

    def _advance(self, data: bytes) -> bytes:
        with self._lock:
            try:
                self.redirection.receive(data)
            except UnpluggedError:
                # The fault plan pulled the key out; the guest sees it vanish from the bus.
                self.redirection.unplug()
            outgoing = bytes(self.redirection.outgoing)
            self.redirection.outgoing.clear()
            return outgoing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


@contextmanager
def listening_at(address: str) -> Iterator[tuple[socket.socket, str]]:
    """Listen at `host:port` or the path of a Unix socket; yields the socket and where it is."""
    host, colon, port = address.rpartition(":")
    unix = not colon or "/" in address
    listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    try:
        listener.bind(address if unix else (host, int(port)))
        listener.listen(1)
    except (OSError, ValueError) as error:
        listener.close()
        raise TransportError(f"{address}: {error}") from error
    try:
        yield listener, address if unix else ":".join(map(str, listener.getsockname()))
    finally:
        listener.close()
        if unix:
            Path(address).unlink(missing_ok=True)


def serve_usbredir(key: VirtualKey, listener: socket.socket) -> None:
    """Offer the key to one guest after the other until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, UsbPort() as port:
            port.plug(key)
            port.serve(connection)
