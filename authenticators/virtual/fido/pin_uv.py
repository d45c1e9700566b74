"""PIN/UV auth protocols one and two, the authenticator's side (CTAP 2.1, sections 6.5.6 and 6.5.7)."""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from authenticators.virtual.curves import p256_from_bytes
from authenticators.virtual.fido.status import Refusal, Status

if TYPE_CHECKING:
    from authenticators.virtual.fido.request import Members

BLOCK = 16


@dataclass(slots=True, kw_only=True)
class PinUvAuthProtocol(ABC):
    """One protocol of one power cycle: its key agreement key and its pinUvAuthToken (32 bytes)."""

    entropy: Callable[[int], bytes]
    private_key: ec.EllipticCurvePrivateKey
    token: bytes

    @classmethod
    def fresh(cls, entropy: Callable[[int], bytes]) -> PinUvAuthProtocol:
        """Return the protocol with new keys, as after power up."""
        return cls(entropy=entropy, private_key=p256_from_bytes(entropy(48)), token=entropy(32))

    def regenerate(self) -> None:
        """Make a new key agreement key, as after a wrong PIN."""
        self.private_key = p256_from_bytes(self.entropy(48))

    def reset_token(self) -> None:
        """Make a new pinUvAuthToken."""
        self.token = self.entropy(32)

    def public_key(self) -> dict[int, Any]:
        """Return the key agreement key, COSE."""
        point = self.private_key.public_key().public_numbers()
        x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
        return {1: 2, 3: -25, -1: 1, -2: x, -3: y}

    def decapsulate(self, peer: Members) -> bytes:
        """Return the shared secret with the platform's COSE key; raises `Refusal` for a bad point."""
        x, y = peer.required(-2, bytes), peer.required(-3, bytes)
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + x + y)
        except ValueError:
            raise Refusal(Status.INVALID_PARAMETER) from None
        return self.derive(self.private_key.exchange(ec.ECDH(), point))

    @abstractmethod
    def derive(self, z: bytes) -> bytes:
        """Return the shared secret of the x coordinate (32 bytes)."""

    @abstractmethod
    def encrypt(self, secret: bytes, plaintext: bytes) -> bytes:
        """Encrypt whole blocks."""

    @abstractmethod
    def decrypt(self, secret: bytes, ciphertext: bytes) -> bytes:
        """Decrypt; raises `Refusal` for a length that can't be."""

    @abstractmethod
    def authenticate(self, key: bytes, message: bytes) -> bytes:
        """Return the MAC that `verify` expects."""

    def verify(self, key: bytes, message: bytes, mac: bytes) -> bool:
        """Whether the MAC belongs to key and message, in constant time."""
        return hmac.compare_digest(self.authenticate(key, message), mac)


@dataclass(slots=True, kw_only=True)
class ProtocolOne(PinUvAuthProtocol):
    """Section 6.5.6."""

    def derive(self, z: bytes) -> bytes:
        """Return SHA-256 of z."""
        return hashlib.sha256(z).digest()

    def encrypt(self, secret: bytes, plaintext: bytes) -> bytes:
        """Encrypt with AES-256-CBC and a zero IV."""
        return _cbc(secret, bytes(BLOCK)).encryptor().update(plaintext)

    def decrypt(self, secret: bytes, ciphertext: bytes) -> bytes:
        """Decrypt with AES-256-CBC and a zero IV."""
        return _cbc(secret, bytes(BLOCK)).decryptor().update(_whole_blocks(ciphertext))

    def authenticate(self, key: bytes, message: bytes) -> bytes:
        """Return the first 16 bytes of HMAC-SHA-256."""
        return hmac.digest(key, message, "sha256")[:16]


@dataclass(slots=True, kw_only=True)
class ProtocolTwo(PinUvAuthProtocol):
    """Section 6.5.7: the secret is an HMAC key (32 bytes) and an AES key (32 bytes)."""

    def derive(self, z: bytes) -> bytes:
        """Return HKDF-SHA-256 of z for both purposes."""
        return _hkdf(z, b"CTAP2 HMAC key") + _hkdf(z, b"CTAP2 AES key")

    def encrypt(self, secret: bytes, plaintext: bytes) -> bytes:
        """Encrypt with AES-256-CBC; the random IV goes before."""
        iv = self.entropy(BLOCK)
        return iv + _cbc(secret[32:], iv).encryptor().update(plaintext)

    def decrypt(self, secret: bytes, ciphertext: bytes) -> bytes:
        """Decrypt with AES-256-CBC; the IV goes before."""
        _whole_blocks(ciphertext)
        return _cbc(secret[32:], ciphertext[:BLOCK]).decryptor().update(ciphertext[BLOCK:])

    def authenticate(self, key: bytes, message: bytes) -> bytes:
        """Return HMAC-SHA-256 under the first 32 bytes of the key."""
        return hmac.digest(key[:32], message, "sha256")


def protocol_numbered(number: int, entropy: Callable[[int], bytes]) -> PinUvAuthProtocol:
    """Return a fresh protocol of that number."""
    return (ProtocolOne if number == 1 else ProtocolTwo).fresh(entropy)


def _cbc(key: bytes, iv: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(key), modes.CBC(iv))


def _hkdf(z: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=bytes(32), info=info).derive(z)


def _whole_blocks(ciphertext: bytes) -> bytes:
    if not ciphertext or len(ciphertext) % BLOCK:
        raise Refusal(Status.INVALID_PARAMETER)
    return ciphertext
