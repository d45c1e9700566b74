"""The card: selection of an application, command chaining, long answers in pieces (ISO 7816-4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from authenticators.virtual.card.fido import FidoApplet
from authenticators.virtual.card.iso7816 import CHAINED, Apdu, StatusError, StatusWord
from authenticators.virtual.card.management import ManagementApplet
from authenticators.virtual.card.ndef import NdefApplet
from authenticators.virtual.card.oath import OathApplet
from authenticators.virtual.card.otp import OtpApplet
from authenticators.virtual.card.piv.applet import PivApplet
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.profile import Interface

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps

SELECT: Final = 0xA4
BY_NAME: Final = 0x04
GET_RESPONSE: Final = 0xC0
SEND_REMAINING: Final = 0xA5
MORE: Final = 0x61
LONGEST_CHAIN: Final = 0x10000
ONE_BYTE: Final = 0xFF
FIDO_AID: Final = bytes.fromhex("a0000006472f0001")
PIV_AID: Final = bytes.fromhex("a000000308")
OATH_AID: Final = bytes.fromhex("a0000005272101")
OTP_AID: Final = bytes.fromhex("a0000005272001")
NDEF_AID: Final = bytes.fromhex("d2760000850101")
MANAGEMENT_AID: Final = bytes.fromhex("a000000527471117")


class Applet(Protocol):
    """One application of the card. `deselect` forgets what was proved to it."""

    def select(self) -> bytes:
        """Return the answer to its selection."""

    def deselect(self) -> None:
        """Forget the session."""

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Return response data; raises `StatusError`. A response of its own status word is not possible."""


@dataclass(slots=True)
class Card:
    """One key as a smart card."""

    key: VirtualKey
    applets: dict[bytes, Applet] = field(init=False)
    selected: Applet | None = field(init=False, default=None)
    chained: bytes = field(init=False, default=b"")
    remaining: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.applets = {FIDO_AID: FidoApplet(self.key), MANAGEMENT_AID: ManagementApplet(self.key)}
        if Interface.OTP in self.key.profile.interfaces:
            self.applets |= {OTP_AID: OtpApplet(self.key), NDEF_AID: NdefApplet(self.key)}
        if Interface.CCID in self.key.profile.interfaces:
            self.applets |= {PIV_AID: PivApplet(self.key), OATH_AID: OathApplet(self.key)}

    def reset(self) -> None:
        """Forget selection and sessions, as at power up or reset of the card."""
        if self.selected is not None:
            self.selected.deselect()
        self.selected = None
        self.chained = self.remaining = b""

    def transmit(self, encoded: bytes) -> Steps[bytes]:
        """Answer one command APDU: response data and status word."""
        try:
            return (yield from self._answer(Apdu.parse(encoded)))
        except StatusError as error:
            return bytes(error)

    def _answer(self, apdu: Apdu) -> Steps[bytes]:
        if apdu.cla & CHAINED:
            self._collect(apdu)
            return StatusWord.OK.to_bytes(2, "big")
        if apdu.ins in {GET_RESPONSE, SEND_REMAINING} and self.remaining:
            return self._piece(self.remaining, apdu.expected)
        whole, self.chained = replace(apdu, data=self.chained + apdu.data), b""
        self.remaining = b""
        data = yield from self._process(whole)
        return self._piece(data, apdu.expected)

    def _collect(self, apdu: Apdu) -> None:
        self.chained += apdu.data
        if len(self.chained) > LONGEST_CHAIN:
            self.chained = b""
            raise StatusError(StatusWord.WRONG_LENGTH)

    def _process(self, apdu: Apdu) -> Steps[bytes]:
        if apdu.ins == SELECT and apdu.p1 == BY_NAME:
            return self._select(apdu.data)
        if self.selected is None:
            raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        return (yield from self.selected.process(apdu))

    def _select(self, name: bytes) -> bytes:
        for aid, applet in self.applets.items():
            if name.startswith(aid):
                self.reset()
                self.selected = applet
                return applet.select()
        raise StatusError(StatusWord.NOT_FOUND)

    def _piece(self, data: bytes, expected: int) -> bytes:
        piece, self.remaining = data[:expected], data[expected:]
        if not self.remaining:
            return piece + StatusWord.OK.to_bytes(2, "big")
        return piece + bytes([MORE, len(self.remaining) if len(self.remaining) <= ONE_BYTE else 0])
