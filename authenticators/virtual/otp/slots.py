"""One OTP slot: its configuration record, and what it computes.

The record (52 bytes): fixed part 16, uid 6, AES key 16, access code 6, length of the fixed part 1, extended,
ticket and configuration flags 1 each, two zeros, inverted CRC-16. An HMAC or HOTP secret (20 bytes) lies in
the AES key and the first four bytes of the uid.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from enum import IntFlag
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from authenticators.virtual.otp.crc import RESIDUAL, crc16, with_crc
from authenticators.virtual.state import OtpSlot

RECORD: Final = 52
ACCESS_CODE: Final = 6
HMAC_BLOCK: Final = 64
UPDATABLE_TICKET: Final = 0x3F
UPDATABLE_CONFIG: Final = 0x0C
UPDATABLE_EXTENDED: Final = 0xFF


class TicketFlag(IntFlag):
    """What is typed around a code, and the mode."""

    APPEND_CR = 0x20
    OATH_OR_CHALLENGE = 0x40


class ConfigFlag(IntFlag):
    """The mode of the slot; a bit means different things in different modes."""

    OATH_8_DIGITS = 0x02
    HMAC_LESS_THAN_64 = 0x04
    BUTTON_FOR_CHALLENGE = 0x08
    STATIC = 0x20
    CHALLENGE_YUBICO = 0x20
    CHALLENGE_HMAC = 0x22


class ExtendedFlag(IntFlag):
    """Rights over the slot."""

    ALLOW_UPDATE = 0x20


def parse_record(record: bytes) -> OtpSlot | None:
    """Return the slot of a configuration record (52 bytes), or None when its checksum is wrong."""
    if len(record) != RECORD or crc16(record) != RESIDUAL:
        return None
    fixed, uid, key, access_code = record[:16], record[16:22], record[22:38], record[38:44]
    length, extended, ticket, config = record[44:48]
    return OtpSlot(
        fixed=fixed[:length],
        uid=uid,
        key=key,
        access_code=access_code,
        extended_flags=extended,
        ticket_flags=ticket,
        config_flags=config,
        moving_factor=_initial_moving_factor(uid, ticket, config),
    )


def _initial_moving_factor(uid: bytes, ticket: int, config: int) -> int:
    hotp = ticket & TicketFlag.OATH_OR_CHALLENGE and not config & ConfigFlag.CHALLENGE_YUBICO
    return int.from_bytes(uid[4:6], "big") << 4 if hotp else 0


def is_challenge_response(slot: OtpSlot) -> bool:
    """Whether the slot answers challenges and types nothing."""
    mode = slot.ticket_flags & TicketFlag.OATH_OR_CHALLENGE
    return bool(mode and slot.config_flags & ConfigFlag.CHALLENGE_YUBICO)


def is_hotp(slot: OtpSlot) -> bool:
    """Whether the slot types HOTP codes."""
    return bool(slot.ticket_flags & TicketFlag.OATH_OR_CHALLENGE) and not is_challenge_response(slot)


def is_hmac(slot: OtpSlot) -> bool:
    """Whether the slot answers with HMAC-SHA1 rather than a Yubico OTP."""
    hmac_mode = ConfigFlag.CHALLENGE_HMAC
    return is_challenge_response(slot) and slot.config_flags & hmac_mode == hmac_mode


def needs_touch(slot: OtpSlot) -> bool:
    """Whether the slot does nothing without a touch."""
    return not is_challenge_response(slot) or bool(slot.config_flags & ConfigFlag.BUTTON_FOR_CHALLENGE)


def hmac_response(slot: OtpSlot, challenge: bytes) -> bytes:
    """Return HMAC-SHA1 (20 bytes) of a challenge that was padded to 64 bytes.

    In the mode for shorter challenges the run of equal bytes at the end is padding and is cut off, which is
    why a full 64-byte challenge does not give its plain HMAC there.
    """
    padded = challenge.ljust(HMAC_BLOCK, b"\0")[:HMAC_BLOCK]
    if slot.config_flags & ConfigFlag.HMAC_LESS_THAN_64:
        padded = padded.rstrip(padded[-1:])
    return hmac.digest(secret(slot), padded, hashlib.sha1)


def secret(slot: OtpSlot) -> bytes:
    """Return the 20-byte secret of an HMAC or HOTP slot."""
    return slot.key + slot.uid[:4]


def hotp(slot: OtpSlot) -> str:
    """Return the HOTP code (RFC 4226) of the present moving factor, 6 or 8 digits."""
    digest = hmac.digest(secret(slot), slot.moving_factor.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    (number,) = struct.unpack_from(">I", digest, offset)
    digits = 8 if slot.config_flags & ConfigFlag.OATH_8_DIGITS else 6
    return f"{(number & 0x7FFFFFFF) % 10**digits:0{digits}}"


def token(slot: OtpSlot, *, uid: bytes, timestamp: int, session_use: int, noise: bytes) -> bytes:
    """Return the encrypted Yubico OTP token (16 bytes): uid, counters, 24-bit time, two random bytes, CRC."""
    plain = with_crc(
        uid
        + slot.use_counter.to_bytes(2, "little")
        + (timestamp & 0xFFFFFF).to_bytes(3, "little")
        + bytes([session_use])
        + noise
    )
    encryptor = Cipher(algorithms.AES(slot.key), modes.ECB()).encryptor()  # noqa: S305 - the token's own format: one block
    return encryptor.update(plain)
