"""CollectedClientData (WebAuthn Level 3 §5.8.1): what the browser says it was asked, by whom, and where."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import decode_base64url, decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMBERS: Final = ("type", "challenge", "origin")


class ClientDataType(StrEnum):
    """What the browser was asked to do."""

    CREATE = "webauthn.create"
    GET = "webauthn.get"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the client data of one ceremony must say. Origins are compared as whole strings."""

    type: ClientDataType
    challenge: bytes
    origins: Collection[str]
    top_origins: Collection[str]


def check_client_data(client_data_json: bytes, expected: Expected) -> None:
    """Refuse client data that is not exactly what the ceremony expects.

    Raises `WebAuthnError`: BYTE_ORDER_MARK, DUPLICATE_KEY, MALFORMED_CLIENT_DATA, PADDED_BASE64, BAD_BASE64,
    WRONG_TYPE, WRONG_CHALLENGE, WRONG_ORIGIN, CROSS_ORIGIN, WRONG_TOP_ORIGIN, TOKEN_BINDING.
    """
    members = decode_json(client_data_json, WebAuthnErrorCode.MALFORMED_CLIENT_DATA)
    if not all(isinstance(members.get(name), str) for name in _MEMBERS):
        raise WebAuthnError(WebAuthnErrorCode.MALFORMED_CLIENT_DATA)
    if members["type"] != expected.type:
        raise WebAuthnError(WebAuthnErrorCode.WRONG_TYPE)
    if not hmac.compare_digest(decode_base64url(members["challenge"]), expected.challenge):
        raise WebAuthnError(WebAuthnErrorCode.WRONG_CHALLENGE)
    if members["origin"] not in expected.origins:
        raise WebAuthnError(WebAuthnErrorCode.WRONG_ORIGIN)
    _check_framing(members, expected.top_origins)
    _check_token_binding(members)


def _check_framing(members: Mapping[str, Any], top_origins: Collection[str]) -> None:
    """Allow another site's frame only where that site is named: a prompt in a stranger's page misleads."""
    cross_origin = members.get("crossOrigin", False)
    if not isinstance(cross_origin, bool):
        raise WebAuthnError(WebAuthnErrorCode.MALFORMED_CLIENT_DATA)
    if cross_origin and not ("topOrigin" in members and top_origins):
        raise WebAuthnError(WebAuthnErrorCode.CROSS_ORIGIN)
    if "topOrigin" in members and members["topOrigin"] not in top_origins:
        raise WebAuthnError(WebAuthnErrorCode.WRONG_TOP_ORIGIN)


def _check_token_binding(members: Mapping[str, Any]) -> None:
    """Refuse a claimed token binding: we hold none to compare it with, and Level 3 has dropped it."""
    match members.get("tokenBinding"):
        case None | {"status": "supported" | "not-supported"}:
            return
    raise WebAuthnError(WebAuthnErrorCode.TOKEN_BINDING)
