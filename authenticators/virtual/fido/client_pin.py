"""authenticatorClientPIN (CTAP 2.1, section 6.5): subcommands 1 to 7 and 9."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from authenticators.virtual.fido.info import MIN_PIN
from authenticators.virtual.fido.request import Members
from authenticators.virtual.fido.session import MISMATCHES_ALLOWED, Permission
from authenticators.virtual.fido.status import Refusal, Status
from authenticators.virtual.fido.verification import verify_fingerprint
from authenticators.virtual.state import PIN_TRIES, UV_TRIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from authenticators.virtual.fido.pin_uv import PinUvAuthProtocol
    from authenticators.virtual.fido.session import Session
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

PADDED_PIN: Final = 64
LONGEST_PIN: Final = 63
PIN_HASH: Final = 16
_LEGACY: Final = Permission.MAKE_CREDENTIAL | Permission.GET_ASSERTION
_KNOWN: Final = _LEGACY | Permission.CREDENTIAL_MANAGEMENT
_NEED_RP: Final = _LEGACY
Answer = dict[int, Any] | None


class Subcommand(IntEnum):
    """The second member of the request."""

    GET_PIN_RETRIES = 1
    GET_KEY_AGREEMENT = 2
    SET_PIN = 3
    CHANGE_PIN = 4
    GET_PIN_TOKEN = 5
    GET_TOKEN_USING_UV = 6
    GET_UV_RETRIES = 7
    GET_TOKEN_USING_PIN = 9


def client_pin(session: Session, request: Members) -> Steps[dict[int, Any] | None]:
    """Return the response map; raises `Refusal`."""
    subcommand = _subcommand(session.key, request)
    if subcommand is Subcommand.GET_TOKEN_USING_UV:
        return (yield from _uv_token(session, request))
    return _TABLE[subcommand](session, request)


def _subcommand(key: VirtualKey, request: Members) -> Subcommand:
    number = request.required(2, int)
    if number not in set(Subcommand):
        raise Refusal(Status.INVALID_SUBCOMMAND)
    subcommand = Subcommand(number)
    by_finger = subcommand in {Subcommand.GET_TOKEN_USING_UV, Subcommand.GET_UV_RETRIES}
    with_permissions = subcommand in {Subcommand.GET_TOKEN_USING_UV, Subcommand.GET_TOKEN_USING_PIN}
    if (with_permissions and not key.profile.ctap21) or (by_finger and not key.profile.built_in_uv):
        raise Refusal(Status.INVALID_SUBCOMMAND)
    return subcommand


def _pin_retries(session: Session, _request: Members) -> Answer:
    return {3: session.key.state.fido.pin_retries, 4: session.mismatches_left == 0}


def _uv_retries(session: Session, _request: Members) -> Answer:
    return {5: session.key.state.fido.uv_retries}


def _key_agreement(session: Session, request: Members) -> Answer:
    return {1: session.protocol(request.optional(1, int)).public_key()}


def _permissions(request: Members) -> tuple[Permission, str | None]:
    wanted = request.required(9, int)
    rp_id = request.optional(10, str)
    if wanted <= 0 or (wanted & _NEED_RP and rp_id is None):
        raise Refusal(Status.INVALID_PARAMETER if wanted <= 0 else Status.MISSING_PARAMETER)
    if wanted & ~int(_KNOWN):
        raise Refusal(Status.UNAUTHORIZED_PERMISSION)
    return Permission(wanted), rp_id


def _shared_secret(session: Session, request: Members) -> tuple[PinUvAuthProtocol, bytes]:
    protocol = session.protocol(request.optional(1, int))
    return protocol, protocol.decapsulate(Members(request.required(3, dict)))


def _set_pin(session: Session, request: Members) -> Answer:
    if session.key.state.fido.pin_hash is not None:
        raise Refusal(Status.PIN_AUTH_INVALID)
    protocol, secret = _shared_secret(session, request)
    encrypted = request.required(5, bytes)
    if not protocol.verify(secret, encrypted, request.required(4, bytes)):
        raise Refusal(Status.PIN_AUTH_INVALID)
    _store_pin(session.key, protocol.decrypt(secret, encrypted))
    return None


def _change_pin(session: Session, request: Members) -> Answer:
    _require_unblocked(session)
    protocol, secret = _shared_secret(session, request)
    encrypted, old = request.required(5, bytes), request.required(6, bytes)
    if not protocol.verify(secret, encrypted + old, request.required(4, bytes)):
        raise Refusal(Status.PIN_AUTH_INVALID)
    _check_pin(session, protocol, protocol.decrypt(secret, old))
    _store_pin(session.key, protocol.decrypt(secret, encrypted))
    session.reset_tokens()
    return None


def _store_pin(key: VirtualKey, padded: bytes) -> None:
    if len(padded) != PADDED_PIN:
        raise Refusal(Status.INVALID_PARAMETER)
    pin = padded.rstrip(b"\0")
    if len(pin) > LONGEST_PIN or _code_points(pin) < MIN_PIN:
        raise Refusal(Status.PIN_POLICY_VIOLATION)
    key.update(
        fido=replace(
            key.state.fido,
            pin_hash=hashlib.sha256(pin).digest()[:PIN_HASH],
            pin_length=_code_points(pin),
            pin_retries=PIN_TRIES,
        )
    )


def _code_points(pin: bytes) -> int:
    try:
        return len(pin.decode())
    except UnicodeDecodeError:
        raise Refusal(Status.PIN_POLICY_VIOLATION) from None


def _require_unblocked(session: Session) -> None:
    fido = session.key.state.fido
    if fido.pin_hash is None:
        raise Refusal(Status.PIN_NOT_SET)
    if fido.pin_retries == 0:
        raise Refusal(Status.PIN_BLOCKED)
    if session.mismatches_left == 0:
        raise Refusal(Status.PIN_AUTH_BLOCKED)


def _check_pin(session: Session, protocol: PinUvAuthProtocol, pin_hash: bytes) -> None:
    """Compare and count: the try is spent before the comparison, so pulling the key out saves nothing."""
    key = session.key
    key.update(fido=replace(key.state.fido, pin_retries=key.state.fido.pin_retries - 1))
    if not hmac.compare_digest(pin_hash, key.state.fido.pin_hash or b""):
        protocol.regenerate()
        session.mismatches_left -= 1
        _require_unblocked(session)
        raise Refusal(Status.PIN_INVALID)
    session.mismatches_left = MISMATCHES_ALLOWED
    key.update(fido=replace(key.state.fido, pin_retries=PIN_TRIES, uv_retries=UV_TRIES))


def _pin_token(
    session: Session, request: Members, permissions: Permission, rp_id: str | None
) -> dict[int, Any]:
    if not session.key.profile.client_pin:
        raise Refusal(Status.INVALID_SUBCOMMAND)
    _require_unblocked(session)
    protocol, secret = _shared_secret(session, request)
    _check_pin(session, protocol, protocol.decrypt(secret, request.required(6, bytes)))
    session.begin_using_token(permissions=permissions, rp_id=rp_id, user_present=False)
    return {2: protocol.encrypt(secret, protocol.token)}


def _token_using_pin(session: Session, request: Members) -> Answer:
    return _pin_token(session, request, *_permissions(request))


def _legacy_token(session: Session, request: Members) -> Answer:
    legacy = _LEGACY if session.key.profile.ctap21 else _KNOWN
    return _pin_token(session, request, legacy, None)


def _uv_token(session: Session, request: Members) -> Steps[dict[int, Any]]:
    permissions, rp_id = _permissions(request)
    protocol, secret = _shared_secret(session, request)
    yield from verify_fingerprint(session.key)
    session.begin_using_token(permissions=permissions, rp_id=rp_id, user_present=True)
    return {2: protocol.encrypt(secret, protocol.token)}


_TABLE: Final[dict[Subcommand, Callable[[Session, Members], Answer]]] = {
    Subcommand.GET_PIN_RETRIES: _pin_retries,
    Subcommand.GET_KEY_AGREEMENT: _key_agreement,
    Subcommand.SET_PIN: _set_pin,
    Subcommand.CHANGE_PIN: _change_pin,
    Subcommand.GET_PIN_TOKEN: _legacy_token,
    Subcommand.GET_UV_RETRIES: _uv_retries,
    Subcommand.GET_TOKEN_USING_PIN: _token_using_pin,
}
