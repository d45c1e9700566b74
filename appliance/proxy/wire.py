"""Reading SSH data types (RFC 4251 section 5) from bytes that a stranger sent. No IO."""

from __future__ import annotations

import struct

from appliance.proxy.errors import CertificateInvalid

_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")


class Reader:
    """Takes one value after the other; raises `CertificateInvalid` where the data ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        end = self.at + size
        if end > len(self._data):
            raise CertificateInvalid("the data ends too early")
        piece, self.at = self._data[self.at : end], end
        return piece

    def uint32(self) -> int:
        """Return a 32-bit number."""
        number: int = _UINT32.unpack(self.take(4))[0]
        return number

    def uint64(self) -> int:
        """Return a 64-bit number."""
        number: int = _UINT64.unpack(self.take(8))[0]
        return number

    def string(self) -> bytes:
        """Return a length-prefixed string."""
        return self.take(self.uint32())

    def text(self) -> str:
        """Return a string that has to be UTF-8."""
        try:
            return self.string().decode("utf-8")
        except UnicodeDecodeError as error:
            raise CertificateInvalid("text that is not UTF-8") from error

    def consumed(self, since: int = 0) -> bytes:
        """Return what was read from the place `since` on."""
        return self._data[since : self.at]

    def end(self) -> None:
        """Refuse bytes that are left over."""
        if self:
            raise CertificateInvalid("bytes are left over at the end")


def string(value: bytes) -> bytes:
    """Return a length-prefixed string."""
    return _UINT32.pack(len(value)) + value
