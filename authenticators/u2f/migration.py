"""A stored U2F registration as a WebAuthn credential (WebAuthn Level 3 §6.1.2 and §10.1.1).

The key itself is untouched: it goes on signing for the app id. A relying party with `app_id` set asks for
it by the `appid` extension, and the evidence of the old registration becomes a `fido-u2f` attestation, so
that the attestation policy reaches migrated keys like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from fido2 import cbor
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

from authenticators.fido2.credential import Credential
from authenticators.u2f.messages import app_parameter, load_point

if TYPE_CHECKING:
    from authenticators.u2f.relying_party import U2fRegistration


def migrate(registration: U2fRegistration, *, user_handle: bytes) -> Credential:
    """Return the WebAuthn credential record of a U2F registration.

    The credential id is the key handle, the counter goes on where it was, the AAGUID is zero. Raises
    `U2fError` with BAD_PUBLIC_KEY for a stored key that is no P-256 point.
    """
    load_point(registration.public_key)
    attested = AttestedCredentialData.from_ctap1(registration.key_handle, registration.public_key)
    return Credential(
        credential_id=registration.key_handle,
        public_key=cbor.encode(attested.public_key),
        user_handle=user_handle,
        sign_count=registration.counter,
        aaguid=UUID(int=0),
        backup_eligible=False,
        backed_up=False,
        user_verified=False,
        registered=registration.registered,
        discoverable=False,
        transports=("usb",),
        attestation_object=_attestation_object(registration, attested),
        client_data_json=registration.client_data,
        app_id=registration.app_id,
    )


def _attestation_object(registration: U2fRegistration, attested: AttestedCredentialData) -> bytes:
    if not registration.certificate:
        return b""
    flags = AuthenticatorData.FLAG.AT | AuthenticatorData.FLAG.UP
    auth_data = AuthenticatorData.create(app_parameter(registration.app_id), flags, 0, attested)
    statement = {"x5c": [registration.certificate], "sig": registration.signature}
    return bytes(AttestationObject.create("fido-u2f", auth_data, statement))
