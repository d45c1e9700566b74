"""The one place where pyscard is used: finding a card by its reader, and talking to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from smartcard.CardConnection import CardConnection
from smartcard.Exceptions import SmartcardException
from smartcard.ExclusiveTransmitCardConnection import ExclusiveTransmitCardConnection
from smartcard.pcsc.PCSCExceptions import BaseSCardException
from smartcard.scard import SCARD_LEAVE_CARD
from smartcard.System import readers

from hsm.errors import TokenGone

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAILURES = (SmartcardException, BaseSCardException)


class PcscConnection:
    """A card in a PC/SC reader, as `hsm.apdu.Connection`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Send one command; raises `TokenGone`."""
        try:
            data, sw1, sw2 = self._connection.transmit(list(apdu))
        except _FAILURES as error:
            raise TokenGone(f"the card does not answer: {type(error).__name__}") from error
        return bytes(data), sw1 << 8 | sw2

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the card (SCardBeginTransaction) until the block ends; raises `TokenGone`."""
        try:
            self._connection.lock()
        except _FAILURES as error:
            raise TokenGone(f"the card cannot be held: {type(error).__name__}") from error
        try:
            yield
        finally:
            with contextlib.suppress(*_FAILURES):  # a pulled card needs no letting go
                self._connection.unlock()

    def close(self) -> None:
        """Let go of the card without resetting it."""
        with contextlib.suppress(*_FAILURES):  # it may have been pulled
            self._connection.disconnect()


def connections(reader_contains: str = "") -> Iterator[PcscConnection]:
    """Connect to the card of each reader whose name contains the text; empty readers are passed over.

    Raises `TokenGone` where no PC/SC service answers.
    """
    try:
        found = readers()
    except _FAILURES as error:
        raise TokenGone("no PC/SC service answers") from error
    for reader in found:
        if reader_contains not in str(reader):
            continue
        connection = ExclusiveTransmitCardConnection(reader.createConnection())
        with contextlib.suppress(*_FAILURES):
            connection.connect(CardConnection.T1_protocol, disposition=SCARD_LEAVE_CARD)
            yield PcscConnection(connection)
