"""The JSON a browser sends (WebAuthn Level 3 §5.1.8: RegistrationResponseJSON and its sibling)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import decode_base64url, decode_json

ResponseJson = Mapping[str, Any] | str | bytes
"""A response as parsed JSON or as JSON text. Text is better: duplicate keys are seen."""

_LARGEST: Final = 65536
_LARGEST_MEMBER: Final = 32768
_TRANSPORTS: Final = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationResponse:
    """The answer to `navigator.credentials.create()`."""

    credential_id: bytes
    client_data_json: bytes
    attestation_object: bytes
    transports: tuple[str, ...]
    extensions: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationResponse:
    """The answer to `navigator.credentials.get()`; `user_handle` is None where none was sent."""

    credential_id: bytes
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None
    extensions: Mapping[str, Any]


def parse_registration_response(response: ResponseJson) -> RegistrationResponse:
    """Parse; raises `WebAuthnError` with the code of the first thing that is wrong."""
    credential_id, inner, extensions = _envelope(response)
    return RegistrationResponse(
        credential_id=credential_id,
        client_data_json=_bytes(inner, "clientDataJSON"),
        attestation_object=_bytes(inner, "attestationObject"),
        transports=_transports(inner.get("transports")),
        extensions=extensions,
    )


def parse_authentication_response(response: ResponseJson) -> AuthenticationResponse:
    """Parse; raises `WebAuthnError` with the code of the first thing that is wrong."""
    credential_id, inner, extensions = _envelope(response)
    return AuthenticationResponse(
        credential_id=credential_id,
        client_data_json=_bytes(inner, "clientDataJSON"),
        authenticator_data=_bytes(inner, "authenticatorData"),
        signature=_bytes(inner, "signature"),
        user_handle=_bytes(inner, "userHandle") if inner.get("userHandle") else None,
        extensions=extensions,
    )


def _envelope(response: ResponseJson) -> tuple[bytes, Mapping[str, Any], Mapping[str, Any]]:
    members = _members(response)
    if members.get("type") != "public-key":
        raise WebAuthnError(WebAuthnErrorCode.WRONG_CREDENTIAL_TYPE)
    credential_id = decode_base64url(members.get("rawId"))
    if not credential_id:
        raise WebAuthnError(WebAuthnErrorCode.MALFORMED_RESPONSE)
    if "id" in members and members["id"] != members["rawId"]:
        raise WebAuthnError(WebAuthnErrorCode.ID_MISMATCH)
    inner, extensions = members.get("response"), members.get("clientExtensionResults") or {}
    if not isinstance(inner, Mapping) or not isinstance(extensions, Mapping):
        raise WebAuthnError(WebAuthnErrorCode.MALFORMED_RESPONSE)
    return credential_id, inner, extensions


def _members(response: ResponseJson) -> Mapping[str, Any]:
    if isinstance(response, Mapping):
        return response
    encoded = response.encode("utf-8", "surrogatepass") if isinstance(response, str) else response
    if len(encoded) > _LARGEST:
        raise WebAuthnError(WebAuthnErrorCode.RESPONSE_TOO_LARGE)
    return decode_json(encoded, WebAuthnErrorCode.MALFORMED_RESPONSE)


def _bytes(inner: Mapping[str, Any], name: str) -> bytes:
    text = inner.get(name)
    if not isinstance(text, str):
        raise WebAuthnError(WebAuthnErrorCode.MALFORMED_RESPONSE, f"{name} is missing")
    if len(text) > _LARGEST_MEMBER:
        raise WebAuthnError(WebAuthnErrorCode.RESPONSE_TOO_LARGE)
    return decode_base64url(text)


def _transports(value: object) -> tuple[str, ...]:
    """Return the known transports, sorted: they are hints from the browser that are only ever given back."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(sorted(_TRANSPORTS.intersection(name for name in value if isinstance(name, str))))
