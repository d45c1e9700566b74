"""The PIV application's instruction table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord, tlv
from authenticators.virtual.card.piv import management, metadata, objects, references, slots
from authenticators.virtual.card.piv.session import PivSession
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.state import fresh_piv

if TYPE_CHECKING:
    from collections.abc import Callable

    from authenticators.virtual.interaction import Steps

GENERAL_AUTHENTICATE: Final = 0x87


@dataclass(slots=True)
class PivApplet:
    """One key's PIV application."""

    key: VirtualKey
    session: PivSession = field(init=False)

    def __post_init__(self) -> None:
        self.session = PivSession(self.key)

    def select(self) -> bytes:
        """Return the application property template (SP 800-73-4, part 2, table 3)."""
        return tlv(
            0x61,
            tlv(0x4F, bytes.fromhex("000010000100")) + tlv(0x79, tlv(0x4F, bytes.fromhex("a000000308"))),
        )

    def deselect(self) -> None:
        """Forget PIN and management key."""
        self.session.forget()

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Return response data; raises `StatusError`."""
        if apdu.ins == GENERAL_AUTHENTICATE:
            by_management = apdu.p2 == management.REFERENCE
            step = management.authenticate if by_management else slots.use
            return (yield from step(self.session, apdu))
        if apdu.ins not in _TABLE:
            raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        return _TABLE[apdu.ins](self.session, apdu)


def _version(session: PivSession, _apdu: Apdu) -> bytes:
    return bytes(session.key.profile.firmware)


def _serial(session: PivSession, _apdu: Apdu) -> bytes:
    return session.key.state.serial.to_bytes(4, "big")


def _reset(session: PivSession, _apdu: Apdu) -> bytes:
    """Put the application back as new, once PIN and PUK are both blocked."""
    if session.state.pin_left or session.state.puk_left:
        raise StatusError(StatusWord.CONDITIONS_NOT_SATISFIED)
    session.forget()
    session.keep(fresh_piv(session.key.profile))
    return b""


_TABLE: Final[dict[int, Callable[[PivSession, Apdu], bytes]]] = {
    0x20: references.verify,
    0x24: references.change,
    0x2C: references.unblock,
    0x47: slots.generate,
    0xCB: objects.get_data,
    0xDB: objects.put_data,
    0xF6: slots.move,
    0xF7: metadata.get_metadata,
    0xF8: _serial,
    0xF9: slots.attest,
    0xFA: references.set_tries,
    0xFB: _reset,
    0xFD: _version,
    0xFE: slots.import_key,
    0xFF: management.change,
}
