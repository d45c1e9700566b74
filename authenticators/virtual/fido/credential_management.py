"""authenticatorCredentialManagement (CTAP 2.1, section 6.8), also under its preview number."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fido2 import cbor

from authenticators.virtual.fido.credential import open_credential
from authenticators.virtual.fido.get_assertion import user_entity
from authenticators.virtual.fido.request import Members
from authenticators.virtual.fido.session import Permission
from authenticators.virtual.fido.status import Refusal, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authenticators.virtual.fido.session import Session
    from authenticators.virtual.key import VirtualKey
    from authenticators.virtual.state import ResidentCredential

Answer = dict[int, Any] | None
_GET_NEXT_RP = 3
_GET_NEXT_CREDENTIAL = 5


def credential_management(session: Session, request: Members) -> Answer:
    """Return the response map; raises `Refusal`."""
    subcommand = request.required(1, int)
    if subcommand == _GET_NEXT_RP:
        return _next(session.next_rps)
    if subcommand == _GET_NEXT_CREDENTIAL:
        return _next(session.next_credentials)
    if subcommand not in _AUTHENTICATED:
        raise Refusal(Status.INVALID_SUBCOMMAND)
    parameters = request.within(2)
    message = bytes([subcommand]) + (cbor.encode(parameters.values) if parameters.values else b"")
    session.verify_token(
        request.optional(3, int), message, request.required(4, bytes), Permission.CREDENTIAL_MANAGEMENT
    )
    return _AUTHENTICATED[subcommand](session, parameters)


def _metadata(session: Session, _parameters: Members) -> Answer:
    used = len(session.key.state.fido.resident)
    return {1: used, 2: session.key.profile.resident_slots - used}


def _enumerate_rps(session: Session, _parameters: Members) -> Answer:
    names = {entry.rp_id: entry.rp_name for entry in session.key.state.fido.resident}
    session.next_rps = (
        {3: {"id": rp_id, "name": name}, 4: hashlib.sha256(rp_id.encode()).digest()}
        for rp_id, name in names.items()
    )
    return {**_first(session.next_rps), 5: len(names)}


def _enumerate_credentials(session: Session, parameters: Members) -> Answer:
    wanted = parameters.required(1, bytes)
    found = [
        entry
        for entry in session.key.state.fido.resident
        if hashlib.sha256(entry.rp_id.encode()).digest() == wanted
    ]
    session.next_credentials = (_describe(session.key, entry, wanted) for entry in found)
    return {**_first(session.next_credentials), 9: len(found)}


def _describe(key: VirtualKey, entry: ResidentCredential, rp_id_hash: bytes) -> dict[int, Any]:
    source = open_credential(key.state.fido.master_key, entry.credential_id, rp_id_hash)
    if source is None:
        raise Refusal(Status.NO_CREDENTIALS)
    return {
        6: user_entity(entry, named=True),
        7: {"id": entry.credential_id, "type": "public-key"},
        8: source.public_key(),
        10: source.protection,
    }


def _delete(session: Session, parameters: Members) -> Answer:
    wanted = _credential_id(session, parameters)
    fido = session.key.state.fido
    kept = tuple(entry for entry in fido.resident if entry.credential_id != wanted)
    session.key.update(fido=replace(fido, resident=kept))
    return None


def _update_user(session: Session, parameters: Members) -> Answer:
    wanted = _credential_id(session, parameters)
    user = Members(parameters.required(3, dict))
    fido = session.key.state.fido
    session.key.update(
        fido=replace(
            fido,
            resident=tuple(
                _renamed(entry, user) if entry.credential_id == wanted else entry for entry in fido.resident
            ),
        )
    )
    return None


def _renamed(entry: ResidentCredential, user: Members) -> ResidentCredential:
    if entry.user_id != user.required("id", bytes):
        raise Refusal(Status.INVALID_PARAMETER)
    name, display_name = user.optional("name", str), user.optional("displayName", str)
    return replace(entry, user_name=name, user_display_name=display_name)


def _credential_id(session: Session, parameters: Members) -> bytes:
    wanted = Members(parameters.required(2, dict)).required("id", bytes)
    if all(entry.credential_id != wanted for entry in session.key.state.fido.resident):
        raise Refusal(Status.NO_CREDENTIALS)
    return wanted


def _first(answers: Iterator[dict[int, Any]]) -> dict[int, Any]:
    answer = next(answers, None)
    if answer is None:
        raise Refusal(Status.NO_CREDENTIALS)
    return answer


def _next(answers: Iterator[dict[int, Any]]) -> Answer:
    answer = next(answers, None)
    if answer is None:
        raise Refusal(Status.NOT_ALLOWED)
    return answer


_AUTHENTICATED: dict[int, Callable[[Session, Members], Answer]] = {
    1: _metadata,
    2: _enumerate_rps,
    4: _enumerate_credentials,
    6: _delete,
    7: _update_user,
}
