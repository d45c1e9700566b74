"""Talking to a smart card: APDUs (ISO 7816-4), chaining, BER-TLV, and what a connection has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hsm.errors import HsmError, Malformed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

SW_OK = 0x9000
SW_NOT_FOUND = 0x6A82
SW_NO_REFERENCE = 0x6A88
SW_SECURITY = 0x6982
SW_BLOCKED = 0x6983
_CHUNK = 255
_CHAINING = 0x10


class Connection(Protocol):
    """A card in a reader. `transmit` raises `TokenGone` when it was pulled."""

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Send one command and return the response data and the status word."""

    def transaction(self) -> AbstractContextManager[None]:
        """Keep other users of the card away until the block ends."""

    def close(self) -> None:
        """Let go of the card."""


class CardRefused(HsmError):  # noqa: N818  # says what is the case, as the family does
    """The card answered with a status word other than 9000."""

    def __init__(self, instruction: int, status: int) -> None:
        super().__init__(f"the card refused instruction {instruction:02x} with {status:04x}")
        self.status = status


def command(connection: Connection, instruction: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
    """Send a command of any length and return the whole response; raises `CardRefused`."""
    *chunks, last = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)] or [b""]
    for chunk in chunks:
        _, status = connection.transmit(bytes((_CHAINING, instruction, p1, p2, len(chunk))) + chunk)
        if status != SW_OK:
            raise CardRefused(instruction, status)
    length = bytes((len(last),)) if last else b""
    answer, status = connection.transmit(bytes((0, instruction, p1, p2)) + length + last + b"\x00")
    while status >> 8 == 0x61:  # noqa: PLR2004  # ISO 7816-4 §5.6: more is there
        more, status = connection.transmit(bytes((0, 0xC0, 0, 0, status & 0xFF)))
        answer += more
    if status != SW_OK:
        raise CardRefused(instruction, status)
    return answer


def tlv(tag: int, value: bytes) -> bytes:
    """Return a BER-TLV; the tag has one or two bytes."""
    head = tag.to_bytes(1 if tag <= 0xFF else 2, "big")  # noqa: PLR2004  # one byte
    size = len(value)
    if size < 0x80:  # noqa: PLR2004  # X.690 §8.1.3
        return head + bytes((size,)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return head + bytes((0x80 | len(length),)) + length + value


def parse_tlvs(data: bytes) -> dict[int, bytes]:
    """Read BER-TLVs that follow one another; raises `Malformed`."""
    found, at = dict[int, bytes](), 0
    while at < len(data):
        tag, at = _tag(data, at)
        size, at = _length(data, at)
        if at + size > len(data):
            raise Malformed("a TLV is cut short")
        found[tag] = data[at : at + size]
        at += size
    return found


def _tag(data: bytes, at: int) -> tuple[int, int]:
    wide = data[at] & 0x1F == 0x1F  # noqa: PLR2004  # X.690 §8.1.2.4
    end = at + (2 if wide else 1)
    return int.from_bytes(data[at:end], "big"), end


def _length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise Malformed("a TLV is cut short")
    first = data[at]
    if first < 0x80:  # noqa: PLR2004  # X.690 §8.1.3
        return first, at + 1
    end = at + 1 + (first & 0x7F)
    return int.from_bytes(data[at + 1 : end], "big"), end


def only(data: bytes, tag: int) -> bytes:
    """Return the value of a tag that has to be there; raises `Malformed`."""
    found = parse_tlvs(data)
    if tag not in found:
        raise Malformed(f"no tag {tag:02x} in the card's answer")
    return found[tag]
