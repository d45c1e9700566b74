"""Authenticator data (WebAuthn Level 3 §6.1) and the attestation object (§6.5.4), parsed to the last byte."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from fido2 import cbor
from fido2.webauthn import AuthenticatorData

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import check_cbor, end_of_cbor

LONGEST_CREDENTIAL_ID: Final = 1023
"""WebAuthn Level 3 §7.1, step 25."""

_HEADER: Final = 37
_AAGUID_AND_LENGTH: Final = 18
_MAP: Final = 5
_FLAG = AuthenticatorData.FLAG


def parse_attestation_object(encoded: bytes) -> tuple[str, AuthenticatorData, Mapping[str, Any]]:
    """Return the format, the authenticator data and the statement of an attestation object.

    Raises `WebAuthnError`: MALFORMED_CBOR, MALFORMED_ATTESTATION_OBJECT, or what `parse_authenticator_data`
    raises.
    """
    check_cbor(encoded)
    match cbor.decode(encoded):
        case {"fmt": str(fmt), "authData": bytes(auth_data), "attStmt": Mapping() as statement, **rest} if (
            not rest
        ):
            return fmt, parse_authenticator_data(auth_data), statement
    raise WebAuthnError(WebAuthnErrorCode.MALFORMED_ATTESTATION_OBJECT)


def parse_authenticator_data(data: bytes) -> AuthenticatorData:
    """Return the authenticator data; nothing may be missing or left over.

    Raises `WebAuthnError`: MALFORMED_AUTHENTICATOR_DATA, CREDENTIAL_ID_TOO_LONG, MALFORMED_CBOR.
    """
    if len(data) < _HEADER:
        raise _malformed()
    offset, flags = _HEADER, data[32]
    if flags & _FLAG.AT:
        offset = _end_of_credential_data(data, offset)
    if flags & _FLAG.ED:
        if offset >= len(data) or data[offset] >> 5 != _MAP:
            raise _malformed()
        offset = end_of_cbor(data, offset)
    if offset != len(data):
        raise _malformed()
    try:
        return AuthenticatorData(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _malformed() from error


def _end_of_credential_data(data: bytes, start: int) -> int:
    end = start + _AAGUID_AND_LENGTH
    if len(data) < end:
        raise _malformed()
    length = int.from_bytes(data[end - 2 : end], "big")
    if length > LONGEST_CREDENTIAL_ID:
        raise WebAuthnError(WebAuthnErrorCode.CREDENTIAL_ID_TOO_LONG)
    if not length or len(data) <= end + length:
        raise _malformed()
    return end_of_cbor(data, end + length)


def check_authenticator_data(
    data: AuthenticatorData, *, rp_id_hash: bytes, user_verification_required: bool
) -> None:
    """Refuse data of another relying party, without the person, or with impossible backup flags.

    Raises `WebAuthnError`: WRONG_RP_ID_HASH, USER_NOT_PRESENT, USER_NOT_VERIFIED, BACKED_UP_BUT_NOT_ELIGIBLE.
    """
    if not hmac.compare_digest(data.rp_id_hash, rp_id_hash):
        raise WebAuthnError(WebAuthnErrorCode.WRONG_RP_ID_HASH)
    if not data.is_user_present():
        raise WebAuthnError(WebAuthnErrorCode.USER_NOT_PRESENT)
    if user_verification_required and not data.is_user_verified():
        raise WebAuthnError(WebAuthnErrorCode.USER_NOT_VERIFIED)
    if data.is_backed_up() and not data.is_backup_eligible():
        raise WebAuthnError(WebAuthnErrorCode.BACKED_UP_BUT_NOT_ELIGIBLE)


def _malformed() -> WebAuthnError:
    return WebAuthnError(WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA)
