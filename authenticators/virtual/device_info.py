"""What a key says of itself through management: serial, firmware, form factor, applications."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import tlv
from authenticators.virtual.profile import Interface

if TYPE_CHECKING:
    from authenticators.virtual.key import VirtualKey
    from authenticators.virtual.profile import Profile

USB_A_KEYCHAIN: Final = b"\x01"


class Capability(IntFlag):
    """The applications, as device information numbers them."""

    OTP = 0x01
    U2F = 0x02
    PIV = 0x10
    OATH = 0x20
    FIDO2 = 0x200


def capabilities(profile: Profile) -> Capability:
    """Return the applications of a model."""
    found = Capability.U2F if "U2F_V2" in profile.ctap_versions else Capability(0)
    found |= Capability.FIDO2 if profile.ctap2 else Capability(0)
    found |= Capability.OTP if Interface.OTP in profile.interfaces else Capability(0)
    if Interface.CCID in profile.interfaces:
        found |= Capability.PIV | Capability.OATH
    return found


def device_info(key: VirtualKey) -> bytes:
    """Return the device information: a length byte and TLVs."""
    able = capabilities(key.profile).to_bytes(2, "big")
    body = b"".join(
        (
            tlv(0x01, able),
            tlv(0x02, key.state.serial.to_bytes(4, "big")),
            tlv(0x03, able),
            tlv(0x04, USB_A_KEYCHAIN),
            tlv(0x05, bytes(key.profile.firmware)),
            tlv(0x06, b"\0\0"),
            tlv(0x07, b"\x0f"),
            tlv(0x08, b"\0"),
            tlv(0x0A, b"\0"),
            tlv(0x0D, able),
            tlv(0x0E, able),
        )
    )
    return bytes([len(body)]) + body
