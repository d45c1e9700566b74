"""CTAP over ISO 7816 (CTAP 2.1, section 11.3): NFCCTAP_MSG, NFCCTAP_GETRESPONSE, and U2F commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord
from authenticators.virtual.fido import ctap1
from authenticators.virtual.fido.ctap2 import Ctap2
from authenticators.virtual.key import VirtualKey

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps

CTAP_CLASS: Final = 0x80
MESSAGE: Final = 0x10


@dataclass(slots=True)
class FidoApplet:
    """One key's FIDO application. The reader waits with the card, so no keep-alive status is needed."""

    key: VirtualKey
    ctap2: Ctap2 = field(init=False)

    def __post_init__(self) -> None:
        self.ctap2 = Ctap2(self.key)

    def select(self) -> bytes:
        """Return the version text."""
        return b"U2F_V2" if "U2F_V2" in self.key.profile.ctap_versions else b"FIDO_2_0"

    def deselect(self) -> None:
        """Forget nothing: tokens last for the power cycle."""

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Return a CTAP2 response, or U2F response data."""
        if apdu.cla == CTAP_CLASS and apdu.ins == MESSAGE and self.key.profile.ctap2:
            return (yield from self.ctap2.process(apdu.data))
        if apdu.cla != 0:
            raise StatusError(StatusWord.CLASS_NOT_SUPPORTED)
        return (yield from ctap1.process_apdu(self.key, apdu))
