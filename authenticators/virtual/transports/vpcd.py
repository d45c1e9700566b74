"""A virtual key as a card in the virtual reader of pcscd (vsmartcard's vpcd), over TCP.

Messages are a big-endian u16 length and as many bytes. One byte is a control code: power off, on, reset, or a
request for the ATR, which alone is answered; anything else is a command APDU. Closing the connection
takes the card out. Without TCP_QUICKACK around every receive each APDU costs the 40 ms of a delayed ACK.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from authenticators.virtual.card.card import Card
from authenticators.virtual.errors import TransportError, UnpluggedError
from authenticators.virtual.interaction import run
from authenticators.virtual.key import VirtualKey

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Pause

USB_ATR: Final = bytes.fromhex("3bfd1300008131fe158073c021c057597562694b657940")
NFC_ATR: Final = bytes.fromhex("3b8d80018073c021c057597562694b65f9")
DEFAULT_PORT: Final = 35963


class Control(IntEnum):
    """Messages of one byte."""

    POWER_OFF = 0
    POWER_ON = 1
    RESET = 2
    ATR = 4


def dial_here(host: str, port: int) -> socket.socket:
    """Connect from the network this process lives in; raises `OSError`."""
    connection = socket.create_connection((host, port), timeout=5)
    connection.settimeout(None)
    return connection


@dataclass(slots=True)
class VpcdCard:
    """A key in the reader that listens at (host, port); plugged in and served by a thread of its own.

    Tools tell USB from NFC by the ATR; ykman offers FIDO over a card only where it sees NFC. `dial` opens the
    connection, where that takes more than a host and a port.
    """

    key: VirtualKey
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    atr: bytes = NFC_ATR
    dial: Callable[[str, int], socket.socket] = field(default=dial_here)
    card: Card = field(init=False)
    _socket: socket.socket | None = field(init=False, default=None)
    _thread: threading.Thread | None = field(init=False, default=None)
    _leaving: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.card = Card(self.key)

    def plug(self) -> None:
        """Put the card in; raises `TransportError` when no reader listens there."""
        if self._socket is not None:
            raise TransportError("the card is in the reader already")
        try:
            self._socket = self.dial(self.host, self.port)
        except OSError as error:
            raise TransportError(f"no virtual reader at {self.host}:{self.port}: {error}") from error
        self._leaving.clear()
        self.key.power_cycle()
        self._thread = threading.Thread(
            target=self._serve, args=(self._socket,), name="vpcd-card", daemon=True
        )
        self._thread.start()

    def unplug(self) -> None:
        """Take the card out."""
        self._leaving.set()
        if self._socket is not None:
            _hang_up(self._socket)
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._socket = self._thread = None

    def wait(self) -> None:
        """Wait until the reader is gone or the card was taken out."""
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.unplug()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while (message := _receive(connection)) is not None:
                self._answer(connection, message)
        except (OSError, UnpluggedError):
            # The reader went away, or the fault plan pulled the card out: both end as an empty reader.
            self.card.reset()
        finally:
            _hang_up(connection)
            connection.close()

    def _answer(self, connection: socket.socket, message: bytes) -> None:
        if len(message) == 1:
            self._control(connection, message[0])
        else:
            _send(connection, run(self.card.transmit(message), self._wait))

    def _control(self, connection: socket.socket, code: int) -> None:
        if code == Control.ATR:
            _send(connection, self.atr)
        elif code in {Control.POWER_OFF, Control.POWER_ON, Control.RESET}:
            self.card.reset()

    def _wait(self, pause: Pause) -> bool:
        return not self._leaving.wait(pause.seconds)


def _receive(connection: socket.socket) -> bytes | None:
    header = _receive_exactly(connection, 2)
    if header is None:
        return None
    (length,) = struct.unpack(">H", header)
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, length: int) -> bytes | None:
    received = b""
    while len(received) < length:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        chunk = connection.recv(length - len(received))
        if not chunk:
            return None
        received += chunk
    return received


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(struct.pack(">H", len(message)) + message)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster
