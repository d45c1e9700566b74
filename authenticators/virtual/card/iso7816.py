"""Command APDUs, status words and BER-TLV (ISO 7816-4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAINED: Final = 0x10
HEADER: Final = 4
SHORT_LE_ALL: Final = 256
EXTENDED_LE_ALL: Final = 65536


class StatusWord(IntEnum):
    """The last two bytes of a response."""

    OK = 0x9000
    VERIFY_FAILED = 0x63C0
    WRONG_LENGTH = 0x6700
    SECURITY_NOT_SATISFIED = 0x6982
    AUTH_BLOCKED = 0x6983
    DATA_INVALID = 0x6984
    CONDITIONS_NOT_SATISFIED = 0x6985
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    NO_SPACE = 0x6A84
    WRONG_P1P2 = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    INSTRUCTION_NOT_SUPPORTED = 0x6D00
    CLASS_NOT_SUPPORTED = 0x6E00
    UNKNOWN = 0x6F00


class StatusError(Exception):
    """The command ends with this status word; `left` counts the tries of a failed verification."""

    def __init__(self, status: StatusWord, *, left: int = 0) -> None:
        super().__init__(f"{status.name} {left}" if left else status.name)
        self.word = status + left

    def __bytes__(self) -> bytes:
        return self.word.to_bytes(2, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apdu:
    """A command: class, instruction, parameters, data, and how many bytes may come back."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    expected: int = SHORT_LE_ALL

    @classmethod
    def parse(cls, encoded: bytes) -> Apdu:
        """Return a short or extended command; raises `StatusError` for a wrong length."""
        if len(encoded) < HEADER:
            raise StatusError(StatusWord.WRONG_LENGTH)
        data, expected = _body(encoded[HEADER:])
        cla, ins, p1, p2 = encoded[:HEADER]
        return cls(cla=cla, ins=ins, p1=p1, p2=p2, data=data, expected=expected)


def _body(body: bytes) -> tuple[bytes, int]:
    if not body:
        return b"", SHORT_LE_ALL
    if len(body) == 1:
        return b"", body[0] or SHORT_LE_ALL
    if body[0] == 0 and len(body) >= 3:  # noqa: PLR2004 - extended length: 00 and two bytes
        return _extended(body)
    length = body[0]
    return _data_and_expected(body[1:], length, SHORT_LE_ALL)


def _extended(body: bytes) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", body, 1)
    if len(body) == 3:  # noqa: PLR2004 - only Le
        return b"", length or EXTENDED_LE_ALL
    return _data_and_expected(body[3:], length, EXTENDED_LE_ALL)


def _data_and_expected(rest: bytes, length: int, everything: int) -> tuple[bytes, int]:
    tail = rest[length:]
    if len(rest) < length or len(tail) > 2:  # noqa: PLR2004 - Le has one or two bytes
        raise StatusError(StatusWord.WRONG_LENGTH)
    return rest[:length], (int.from_bytes(tail, "big") or everything)


def tlv(tag: int, value: bytes = b"") -> bytes:
    """Return tag, length and value, BER."""
    head = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    if len(value) < 0x80:  # noqa: PLR2004 - the short form of BER lengths
        return head + bytes([len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return head + bytes([0x80 | len(length)]) + length + value


def parse_tlvs(encoded: bytes) -> list[tuple[int, bytes]]:
    """Return all tags and values; raises `StatusError` for what does not parse."""
    return list(_tlvs(encoded))


def parse_tlv_map(encoded: bytes) -> dict[int, bytes]:
    """Return the values by tag, the last one winning; raises `StatusError` for what does not parse."""
    return dict(_tlvs(encoded))


def _tlvs(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(encoded):
        tag, offset = _tag(encoded, offset)
        length, offset = _length(encoded, offset)
        if offset + length > len(encoded):
            raise StatusError(StatusWord.WRONG_DATA)
        yield tag, encoded[offset : offset + length]
        offset += length


def _tag(encoded: bytes, offset: int) -> tuple[int, int]:
    tag = encoded[offset]
    offset += 1
    if tag & 0x1F == 0x1F:  # noqa: PLR2004 - more tag bytes follow while the top bit is set
        while True:
            byte = _byte(encoded, offset)
            tag, offset = tag << 8 | byte, offset + 1
            if not byte & 0x80:
                break
    return tag, offset


def _length(encoded: bytes, offset: int) -> tuple[int, int]:
    first = _byte(encoded, offset)
    offset += 1
    if first < 0x80:  # noqa: PLR2004 - the short form of BER lengths
        return first, offset
    count = first & 0x7F
    if offset + count > len(encoded):
        raise StatusError(StatusWord.WRONG_DATA)
    return int.from_bytes(encoded[offset : offset + count], "big"), offset + count


def _byte(encoded: bytes, offset: int) -> int:
    if offset >= len(encoded):
        raise StatusError(StatusWord.WRONG_DATA)
    return encoded[offset]
