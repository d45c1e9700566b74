"""The OTP slots as a card application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp.commands import CHALLENGE_HMAC, CHALLENGE_OTP, OtpApplication

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps

EXECUTE: Final = 0x01
STATUS: Final = 0x03


@dataclass(slots=True)
class OtpApplet:
    """One key's OTP application behind APDUs: P1 is the command number."""

    key: VirtualKey
    application: OtpApplication = field(init=False)

    def __post_init__(self) -> None:
        self.application = OtpApplication(self.key)

    def select(self) -> bytes:
        """Return the status, 6 bytes."""
        return self.application.status()

    def deselect(self) -> None:
        """Forget nothing: use counters last for the power cycle."""

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Run a command and return its data, or the status after configuring."""
        if apdu.ins == STATUS:
            return self.application.status()
        if apdu.ins != EXECUTE:
            raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        answer = yield from self.application.execute(apdu.p1, apdu.data)
        if not answer and apdu.p1 in CHALLENGE_HMAC.keys() | CHALLENGE_OTP.keys():
            raise StatusError(StatusWord.CONDITIONS_NOT_SATISFIED)
        return answer or self.application.status()
