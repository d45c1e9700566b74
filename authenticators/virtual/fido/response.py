"""Authenticator data and attestation statements (WebAuthn Level 3, sections 6.1 and 6.5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fido2 import cbor

from authenticators.virtual.attestation import fido_attester
from authenticators.virtual.profile import ES256, Attestation

if TYPE_CHECKING:
    from authenticators.virtual.fido.credential import CredentialSource
    from authenticators.virtual.profile import Profile


class Flag(IntFlag):
    """Flags of the authenticator data."""

    USER_PRESENT = 0x01
    USER_VERIFIED = 0x04
    ATTESTED = 0x40
    EXTENSIONS = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedCredential:
    """The credential part of the authenticator data."""

    aaguid: UUID
    credential_id: bytes
    public_key: dict[int, Any]

    def __bytes__(self) -> bytes:
        length = struct.pack(">H", len(self.credential_id))
        return self.aaguid.bytes + length + self.credential_id + cbor.encode(self.public_key)


def authenticator_data(
    *,
    rp_id_hash: bytes,
    counter: int,
    user_present: bool,
    user_verified: bool,
    attested: AttestedCredential | None = None,
    extensions: dict[str, Any] | None = None,
) -> bytes:
    """Return the encoded authenticator data."""
    flags = Flag(0)
    flags |= Flag.USER_PRESENT if user_present else 0
    flags |= Flag.USER_VERIFIED if user_verified else 0
    flags |= Flag.ATTESTED if attested else 0
    flags |= Flag.EXTENSIONS if extensions else 0
    return (
        rp_id_hash
        + struct.pack(">BI", flags, counter)
        + (bytes(attested) if attested else b"")
        + (cbor.encode(extensions) if extensions else b"")
    )


def attestation_statement(
    profile: Profile, source: CredentialSource, signed: bytes
) -> tuple[str, dict[str, Any]]:
    """Return format and statement over authenticator data || client data hash."""
    match profile.attestation:
        case Attestation.NONE:
            return "none", {}
        case Attestation.SELF:
            return "packed", {"alg": source.algorithm, "sig": source.sign(signed)}
        case Attestation.PACKED:
            attester = fido_attester(profile.model, profile.aaguid)
            return "packed", {"alg": ES256, "sig": attester.sign(signed), "x5c": [attester.der]}
