"""SSH primitives (RFC 4251 §5): uint32, uint64, string, mpint, and a reader that trusts nothing."""

from __future__ import annotations

import struct

from hsm.errors import Malformed

_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
uint32 = _UINT32.pack
uint64 = _UINT64.pack


def string(value: bytes) -> bytes:
    """Return the value with its length in front."""
    return _UINT32.pack(len(value)) + value


def text(value: str) -> bytes:
    """Return a string of UTF-8 text."""
    return string(value.encode())


def mpint(value: int) -> bytes:
    """Return a non-negative integer in the shortest two's complement form."""
    if value < 0:
        raise Malformed("a negative integer has no place in a key or signature")
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


class Reader:
    """Takes values from the front of some bytes; raises `Malformed` where they do not fit."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def consumed(self) -> bytes:
        """What was taken so far."""
        return self._data[: self._offset]

    @property
    def rest(self) -> bytes:
        """What was not taken yet."""
        return self._data[self._offset :]

    def __bool__(self) -> bool:
        return self._offset < len(self._data)

    def take(self, size: int) -> bytes:
        """Take that many bytes."""
        end = self._offset + size
        if end > len(self._data):
            raise Malformed("cut short")
        value = self._data[self._offset : end]
        self._offset = end
        return value

    def uint32(self) -> int:
        """Take a uint32."""
        return int.from_bytes(self.take(4), "big")

    def uint64(self) -> int:
        """Take a uint64."""
        return int.from_bytes(self.take(8), "big")

    def string(self) -> bytes:
        """Take a string."""
        start = self._offset + 4
        if start > len(self._data):
            raise Malformed("cut short")
        (size,) = _UINT32.unpack_from(self._data, self._offset)
        end = start + size
        if end > len(self._data):
            raise Malformed("cut short")
        self._offset = end
        return self._data[start:end]

    def text(self) -> str:
        """Take a string of UTF-8 text."""
        try:
            return self.string().decode()
        except UnicodeDecodeError as error:
            raise Malformed("not UTF-8") from error

    def mpint(self) -> int:
        """Take a non-negative integer that is written in its shortest form."""
        raw = self.string()
        value = int.from_bytes(raw, "big")
        if string(raw) != mpint(value) or raw[:1] >= b"\x80":
            raise Malformed("an integer that is negative or has needless zeros")
        return value

    def end(self) -> None:
        """Raise unless everything was taken."""
        if self:
            raise Malformed("bytes left over")
