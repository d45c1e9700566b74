"""The management application: says what the key is. Nothing can be switched off on a virtual key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord
from authenticators.virtual.device_info import device_info
from authenticators.virtual.key import VirtualKey

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps

READ_CONFIG: Final = 0x1D
WRITE_CONFIG: Final = 0x1C


@dataclass(slots=True)
class ManagementApplet:
    """One key's management application."""

    key: VirtualKey

    def select(self) -> bytes:
        """Return the version as text, from which tools read it."""
        return f"Virtual mgr - FW version {'.'.join(map(str, self.key.profile.firmware))}".encode()

    def deselect(self) -> None:
        """Forget nothing: there is no session."""

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Return the device information; refuses to change it."""
        yield from ()
        if apdu.ins == WRITE_CONFIG:
            raise StatusError(StatusWord.FUNCTION_NOT_SUPPORTED)
        if apdu.ins != READ_CONFIG:
            raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        return device_info(self.key)
