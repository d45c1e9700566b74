"""What a key types, as USB keyboard usages, when it is touched without being asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from authenticators.virtual.otp import slots
from authenticators.virtual.otp.slots import ConfigFlag, TicketFlag

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.otp.commands import OtpApplication

MODHEX: Final = "cbdefghijklnrtuv"
SHIFT: Final = 0x80
ENTER: Final = 0x28
_DIGITS: Final = "1234567890"


def modhex(data: bytes) -> str:
    """Return the data in the alphabet that every keyboard layout types alike."""
    return "".join(MODHEX[byte >> 4] + MODHEX[byte & 0xF] for byte in data)


def press(application: OtpApplication, number: int) -> Steps[bytes]:
    """Touch the key: return the usages typed (top bit: shift), none for an empty or challenge slot."""
    slot = application.slot(number)
    if slot is None or slots.is_challenge_response(slot):
        return b""
    yield from application.key.begin_operation()
    enter = bytes([ENTER]) if slot.ticket_flags & TicketFlag.APPEND_CR else b""
    if slots.is_hotp(slot):
        application.keep(number, replace(slot, moving_factor=slot.moving_factor + 1))
        return usages(slots.hotp(slot)) + enter
    if slot.config_flags & ConfigFlag.STATIC:
        return (slot.fixed + slot.uid + slot.key).rstrip(b"\0") + enter
    token = application.one_time_password(number, slot, slot.uid)
    return usages(modhex(slot.fixed + token)) + enter


def usages(text: str) -> bytes:
    """Return the keyboard usages (HID Usage Tables 1.4, page 0x07) of lower-case letters and digits."""
    return bytes(
        0x1E + _DIGITS.index(sign) if sign in _DIGITS else 0x04 + ord(sign) - ord("a") for sign in text
    )


def text(typed: bytes) -> str:
    """Return what a US keyboard makes of the usages of letters and digits; Enter ends the line."""
    return "".join(_sign(usage) for usage in typed)


def _sign(usage: int) -> str:
    if usage == ENTER:
        return "\n"
    plain = usage & ~SHIFT
    if 0x1E <= plain <= 0x27:  # noqa: PLR2004 - the digits' usages
        return _DIGITS[plain - 0x1E]
    letter = chr(ord("a") + plain - 0x04)
    return letter.upper() if usage & SHIFT else letter
