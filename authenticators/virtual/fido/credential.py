"""Credential sources: a random seed sealed into the credential id, so a key holds any number of them.

A credential id is nonce (12) || AES-256-GCM(master key, algorithm, residency, protection, seed) with the
relying party's hash as associated data: 63 bytes, opens only for the relying party it was made for, and
never again after a reset, which changes the master key. U2F key handles are the same thing, so a credential
registered through U2F works through CTAP2 with the appid extension.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authenticators.virtual.curves import p256_from_bytes
from authenticators.virtual.profile import EDDSA, ES256

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE: Final = 12
SEED: Final = 32
ID_LENGTH: Final = NONCE + 3 + SEED + 16
_CODES: Final = {ES256: 0, EDDSA: 1}
_ALGORITHMS: Final = {code: algorithm for algorithm, code in _CODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSource:
    """A credential: COSE algorithm, seed (32 bytes), kept on the key or not, credProtect level 1-3."""

    algorithm: int
    seed: bytes = field(repr=False)
    resident: bool = False
    protection: int = 1

    def seal(self, master_key: bytes, rp_id_hash: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """Return the credential id."""
        nonce = entropy(NONCE)
        plain = bytes([_CODES[self.algorithm], self.resident, self.protection]) + self.seed
        return nonce + AESGCM(master_key).encrypt(nonce, plain, rp_id_hash)

    def public_key(self) -> dict[int, Any]:
        """Return the COSE public key."""
        if self.algorithm == EDDSA:
            raw = self._ed25519().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return {1: 1, 3: EDDSA, -1: 6, -2: raw}
        point = self.public_point()
        return {1: 2, 3: ES256, -1: 1, -2: point[1:33], -3: point[33:]}

    def public_point(self) -> bytes:
        """Return the uncompressed P-256 point, 65 bytes."""
        return self._p256().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, message: bytes) -> bytes:
        """Return the signature: 64 bytes for EdDSA, DER for ES256."""
        if self.algorithm == EDDSA:
            return self._ed25519().sign(message)
        return self._p256().sign(message, ec.ECDSA(hashes.SHA256()))

    def hmac_secret(self, salt: bytes, *, user_verified: bool) -> bytes:
        """Return the hmac-secret output (32 bytes) of a salt (32 bytes)."""
        purpose = b"hmac-secret with uv" if user_verified else b"hmac-secret without uv"
        return hmac.digest(hmac.digest(self.seed, purpose, "sha256"), salt, "sha256")

    def _ed25519(self) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)

    def _p256(self) -> ec.EllipticCurvePrivateKey:
        return p256_from_bytes(hashlib.sha512(b"es256" + self.seed).digest())


def open_credential(master_key: bytes, credential_id: bytes, rp_id_hash: bytes) -> CredentialSource | None:
    """Return the source sealed in a credential id, or None when it is not ours for this relying party."""
    if len(credential_id) != ID_LENGTH:
        return None
    try:
        plain = AESGCM(master_key).decrypt(credential_id[:NONCE], credential_id[NONCE:], rp_id_hash)
    except InvalidTag:
        return None
    return CredentialSource(
        algorithm=_ALGORITHMS[plain[0]], resident=bool(plain[1]), protection=plain[2], seed=plain[3:]
    )
