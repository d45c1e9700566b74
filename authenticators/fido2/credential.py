"""What is stored of a credential (WebAuthn Level 3 §4, credential record), with the evidence it came with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import decode_base64url, encode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One credential of one person.

    `public_key` is COSE in CBOR. `attestation_object` and `client_data_json` are those of the registration,
    kept so that a changed attestation policy reaches keys already enrolled. `app_id` is set for a credential
    that came from U2F, whose evidence may be missing. `discoverable` is None where the client did not say.
    """

    credential_id: bytes
    public_key: bytes
    user_handle: bytes
    sign_count: int
    aaguid: UUID
    backup_eligible: bool
    backed_up: bool
    user_verified: bool
    registered: datetime
    discoverable: bool | None = None
    transports: tuple[str, ...] = ()
    attestation_object: bytes = b""
    client_data_json: bytes = b""
    app_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-compatible values."""
        return {
            "credential_id": encode_base64url(self.credential_id),
            "public_key": encode_base64url(self.public_key),
            "user_handle": encode_base64url(self.user_handle),
            "sign_count": self.sign_count,
            "aaguid": str(self.aaguid),
            "backup_eligible": self.backup_eligible,
            "backed_up": self.backed_up,
            "user_verified": self.user_verified,
            "registered": self.registered.isoformat(),
            "discoverable": self.discoverable,
            "transports": list(self.transports),
            "attestation_object": encode_base64url(self.attestation_object),
            "client_data_json": encode_base64url(self.client_data_json),
            "app_id": self.app_id,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the record that `to_dict` wrote; raises `WebAuthnError` with BAD_STATE for anything else."""
        try:
            return cls(
                credential_id=decode_base64url(data["credential_id"]),
                public_key=decode_base64url(data["public_key"]),
                user_handle=decode_base64url(data["user_handle"]),
                sign_count=int(data["sign_count"]),
                aaguid=UUID(data["aaguid"]),
                backup_eligible=bool(data["backup_eligible"]),
                backed_up=bool(data["backed_up"]),
                user_verified=bool(data["user_verified"]),
                registered=datetime.fromisoformat(data["registered"]),
                discoverable=data["discoverable"],
                transports=tuple(data["transports"]),
                attestation_object=decode_base64url(data["attestation_object"]),
                client_data_json=decode_base64url(data["client_data_json"]),
                app_id=data["app_id"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, WebAuthnError) as error:
            raise WebAuthnError(WebAuthnErrorCode.BAD_STATE) from error
