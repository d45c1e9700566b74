"""The checksum of OTP tokens, configurations and frames: CRC-16 of ISO 13239, reflected, not inverted."""

from __future__ import annotations

from typing import Final

RESIDUAL: Final = 0xF0B8
_POLYNOMIAL: Final = 0x8408


def crc16(data: bytes) -> int:
    """Return the checksum, u16."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc


def with_crc(data: bytes) -> bytes:
    """Return the data and the inverted checksum (little-endian), so that the whole has the residual."""
    return data + (0xFFFF & ~crc16(data)).to_bytes(2, "little")
