"""AES-GCM for SSH (RFC 5647) that keeps its key schedule; asyncssh makes one for every packet."""

from __future__ import annotations

from asyncssh.encryption import Encryption, GCMEncryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG = 16
_COUNTER = (1 << 64) - 1


class CachedGCM(Encryption):
    """One direction of one connection. The nonce is 4 fixed bytes and a counter that wraps (section 7.1)."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:], "big")
        self._pushed: bytes | None = None

    def _nonce(self) -> bytes:
        count = self._count
        self._count = (count + 1) & _COUNTER
        return self._fixed + count.to_bytes(8, "big")

    def seal(self, packet: bytes, header: bytes) -> bytes:
        """Return a packet encrypted, its tag behind it."""
        return self._aead.encrypt(self._nonce(), packet, header)

    def open(self, data: bytes | memoryview, header: bytes | memoryview) -> bytes | None:
        """Return a packet from its encrypted form with the tag, or None where the tag is wrong."""
        try:
            return self._aead.decrypt(self._nonce(), data, header)
        except InvalidTag:
            return None

    def push_back(self, packet: bytes) -> None:
        """Give this packet out again at the next `decrypt_packet`, which is for the same bytes."""
        self._pushed = packet

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        """Return (length and encrypted packet with its tag, nothing): the two are written in one piece."""
        del seq  # RFC 5647 section 7.1: the nonce counts by itself
        return header + self.seal(packet, header), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        """The length is not encrypted."""
        del seq
        return first_block, first_block[:header_len]

    def decrypt_packet(
        self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes
    ) -> bytes | None:
        """Return the packet, or None where the tag is wrong."""
        del seq
        pushed, self._pushed = self._pushed, None
        if pushed is not None:
            return pushed
        return self.open(b"".join((first[header_len:], rest, mac)), first[:header_len])


def faster(encryption: Encryption | None) -> Encryption | None:
    """Return a cached equivalent in the same state, where there is one."""
    if type(encryption) is not GCMEncryption:
        return encryption
    stock = encryption._cipher
    return CachedGCM(stock._key, stock._iv)
