"""authenticatorGetInfo (CTAP 2.1, section 6.4)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from authenticators.virtual.fido.credential import ID_LENGTH

if TYPE_CHECKING:
    from authenticators.virtual.key import VirtualKey

MAX_MESSAGE: Final = 1200
MIN_PIN: Final = 4


def get_info(key: VirtualKey) -> dict[int, Any]:
    """Return the response map."""
    profile = key.profile
    info: dict[int, Any] = {
        1: list(profile.ctap_versions),
        2: ["credProtect", "hmac-secret"],
        3: profile.aaguid.bytes,
        4: _options(key),
        5: MAX_MESSAGE,
    }
    if profile.client_pin or profile.built_in_uv:
        info[6] = list(profile.pin_protocols)
    if "FIDO_2_1_PRE" in profile.ctap_versions or profile.ctap21:
        info |= _newer(key)
    return info


def _newer(key: VirtualKey) -> dict[int, Any]:
    profile = key.profile
    info = {
        7: 8,
        8: ID_LENGTH,
        9: ["nfc", "usb"],
        10: [{"alg": algorithm, "type": "public-key"} for algorithm in profile.algorithms],
        13: MIN_PIN,
        14: struct.unpack(">I", b"\0" + bytes(profile.firmware))[0],
    }
    if profile.ctap21 and profile.resident_slots:
        info[20] = profile.resident_slots - len(key.state.fido.resident)
    return info


def _options(key: VirtualKey) -> dict[str, bool]:
    profile = key.profile
    options = {"rk": profile.resident_slots > 0, "up": True, "plat": False}
    if profile.client_pin:
        options["clientPin"] = key.state.fido.pin_hash is not None
    if profile.built_in_uv:
        options["uv"] = True
    if profile.ctap21:
        options |= {"pinUvAuthToken": profile.client_pin or profile.built_in_uv, "makeCredUvNotRqd": True}
    if profile.resident_slots:
        options |= {"credMgmt": True} if profile.ctap21 else {}
        options |= {"credentialMgmtPreview": True} if "FIDO_2_1_PRE" in profile.ctap_versions else {}
    return options
