"""What a phone reads when the key is held to it: an NDEF tag whose URL ends with a one-time password.

NFC Forum Type 4 Tag: a capability container (file E103) and an NDEF file (E104) with one URI record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp.commands import OtpApplication
from authenticators.virtual.otp.typing import press, text

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps

SELECT_FILE: Final = 0xA4
READ_BINARY: Final = 0xB0
CONTAINER_ID: Final = bytes.fromhex("e103")
NDEF_ID: Final = bytes.fromhex("e104")
# Length 15, version 2.0, at most 127 bytes a read and a write; file E104 of at most 255 bytes, never written.
CONTAINER: Final = bytes.fromhex("000f20007f007f0406e10400ff00ff")
URL: Final = "my.yubico.com/yk/#"
HTTPS: Final = b"\x04"
SLOT: Final = 1


@dataclass(slots=True)
class NdefApplet:
    """One key's tag. Each selection of the NDEF file makes one code, as each touch does on USB."""

    key: VirtualKey
    application: OtpApplication = field(init=False)
    file: bytes | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.application = OtpApplication(self.key)

    def select(self) -> bytes:
        """Return nothing; a file has to be selected."""
        return b""

    def deselect(self) -> None:
        """Forget which file was selected."""
        self.file = None

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Select a file, or read from it."""
        if apdu.ins == SELECT_FILE and apdu.data == CONTAINER_ID:
            self.file = CONTAINER
        elif apdu.ins == SELECT_FILE and apdu.data == NDEF_ID:
            typed = yield from press(self.application, SLOT)
            self.file = _message(text(typed).strip())
        elif apdu.ins == SELECT_FILE:
            raise StatusError(StatusWord.NOT_FOUND)
        elif apdu.ins == READ_BINARY:
            return self._read(apdu)
        else:
            raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        return b""

    def _read(self, apdu: Apdu) -> bytes:
        offset = apdu.p1 << 8 | apdu.p2
        if self.file is None or offset > len(self.file):
            raise StatusError(StatusWord.CONDITIONS_NOT_SATISFIED)
        return self.file[offset : offset + apdu.expected]


def _message(code: str) -> bytes:
    """Return the NDEF file: its length, and one short URI record (NFC Forum URI RTD)."""
    payload = HTTPS + (URL + code).encode()
    record = bytes([0xD1, 1, len(payload)]) + b"U" + payload
    return len(record).to_bytes(2, "big") + record
