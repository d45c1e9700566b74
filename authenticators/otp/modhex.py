"""Modhex: sixteen letters that most keyboard layouts have in one place."""

from __future__ import annotations

from typing import Final

from authenticators.errors import OtpError, OtpErrorCode

_MODHEX: Final = "cbdefghijklnrtuv"
_HEX: Final = "0123456789abcdef"
_TO_HEX: Final = str.maketrans(_MODHEX, _HEX)
_TO_MODHEX: Final = str.maketrans(_HEX, _MODHEX)


def decode_modhex(text: str) -> bytes:
    """Return the bytes of lower-case modhex; raises `OtpError` with NOT_MODHEX."""
    if len(text) % 2 or not set(text) <= set(_MODHEX):
        raise OtpError(OtpErrorCode.NOT_MODHEX)
    return bytes.fromhex(text.translate(_TO_HEX))


def encode_modhex(data: bytes) -> str:
    """Return modhex."""
    return data.hex().translate(_TO_MODHEX)
