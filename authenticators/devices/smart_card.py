"""A smart card's command channel: PC/SC here, anything that takes APDUs in tests."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from smartcard.Exceptions import SmartcardException
from smartcard.pcsc.PCSCExceptions import BaseSCardException
from smartcard.System import readers

from authenticators.errors import DeviceError, DeviceErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

CARD_ERRORS: Final = (SmartcardException, BaseSCardException)
"""The two families of pyscard: a card that fails, and a PC/SC service that is not there."""

SUCCESS: Final = 0x9000
_MORE_DATA: Final = 0x61
_LONGEST_DATA: Final = 255
_LONGEST_ANSWER: Final = 65536


class CardConnection(Protocol):
    """One card, open."""

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Send a command APDU; return the data and the status word. Raises `DeviceError` with REMOVED."""


class PcscConnection:
    """A card in a PC/SC reader."""

    def __init__(self, connection: Any, name: str) -> None:
        self._connection, self.name = connection, name

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Send a command APDU; return the data and the status word. Raises `DeviceError` with REMOVED."""
        try:
            data, sw1, sw2 = self._connection.transmit(list(apdu))
        except CARD_ERRORS as error:
            raise DeviceError(DeviceErrorCode.REMOVED) from error
        return bytes(data), sw1 << 8 | sw2


class Applet:
    """An application on a card: short APDUs out, chained answers put together by `send_remaining`."""

    def __init__(self, card: CardConnection, aid: bytes, *, send_remaining: int) -> None:
        self._card, self._send_remaining = card, send_remaining
        self.selected, status = self._collect(bytes([0, 0xA4, 0x04, 0, len(aid)]) + aid)
        if status != SUCCESS:
            raise DeviceError(DeviceErrorCode.NOT_SUPPORTED, "the card has no such application")

    def command(self, instruction: int, data: bytes = b"", *, p1: int = 0, p2: int = 0) -> tuple[bytes, int]:
        """Send one command of up to 255 bytes of data; return the whole answer and the status word."""
        if len(data) > _LONGEST_DATA:
            raise DeviceError(DeviceErrorCode.BAD_OPTIONS, "a command has up to 255 bytes")
        body = bytes([len(data)]) + data if data else b""
        return self._collect(bytes([0, instruction, p1, p2]) + body)

    def _collect(self, apdu: bytes) -> tuple[bytes, int]:
        data, status = self._card.transmit(apdu)
        while status >> 8 == _MORE_DATA:
            if len(data) > _LONGEST_ANSWER:
                raise DeviceError(DeviceErrorCode.BROKEN, "the card's answer does not end")
            more, status = self._card.transmit(bytes([0, self._send_remaining, 0, 0]))
            data += more
        return data, status


@contextmanager
def open_cards() -> Iterator[list[PcscConnection]]:
    """Open every card in a PC/SC reader, and close them again; no PC/SC service counts as no card."""
    cards = list[PcscConnection]()
    try:
        for reader in _readers():
            connection = reader.createConnection()
            try:
                connection.connect()
            except CARD_ERRORS as error:
                logger.debug("no card in %s: %r", reader, error)
                continue
            cards.append(PcscConnection(connection, str(reader)))
        yield cards
    finally:
        for card in cards:
            card._connection.disconnect()  # noqa: SLF001 -- of this module


def _readers() -> list[Any]:
    try:
        return list(readers())
    except CARD_ERRORS as error:
        logger.info("there is no PC/SC service: %r", error)
        return []
