"""User presence and user verification, as makeCredential and getAssertion both ask for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from authenticators.virtual.fido.status import Refusal, Status
from authenticators.virtual.state import UV_TRIES
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from authenticators.virtual.fido.request import Members
    from authenticators.virtual.fido.session import Permission, Session
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

_ENDS = {
    Touch.REFUSED: Status.OPERATION_DENIED,
    Touch.TIMED_OUT: Status.USER_ACTION_TIMEOUT,
    Touch.CANCELLED: Status.KEEPALIVE_CANCEL,
}


def require_touch(key: VirtualKey) -> Steps[None]:
    """Wait for the person; raises `Refusal` when there is no touch."""
    touch = yield from key.touch()
    if touch in _ENDS:
        raise Refusal(_ENDS[touch])


def verify_fingerprint(key: VirtualKey) -> Steps[None]:
    """Built-in user verification; raises `Refusal` and counts the failure (CTAP 2.1, section 6.5.3)."""
    if key.state.fido.uv_retries == 0:
        raise Refusal(Status.UV_BLOCKED)
    yield from require_touch(key)
    matches = key.fingerprint_matches
    left = UV_TRIES if matches else key.state.fido.uv_retries - 1
    key.update(fido=replace(key.state.fido, uv_retries=left))
    if not matches:
        raise Refusal(Status.UV_INVALID if left else Status.UV_BLOCKED)


def probe_for_pin(session: Session, mac: bytes | None) -> Steps[None]:
    """Answer a platform that picks between keys by an empty pinUvAuthParam (section 6.1.2, step 1)."""
    if mac == b"":
        yield from require_touch(session.key)
        pin_set = session.key.state.fido.pin_hash is not None
        raise Refusal(Status.PIN_INVALID if pin_set else Status.PIN_NOT_SET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a request offers as user verification: a pinUvAuthParam, or the wish for a fingerprint."""

    mac: bytes | None
    protocol: int | None
    wants_uv: bool

    @classmethod
    def parse(cls, request: Members, *, mac: int, protocol: int, key: VirtualKey) -> Proof:
        """Read the members of those numbers (options stand right before the MAC); raises `Refusal`."""
        param = request.optional(mac, bytes)
        wants_uv = bool(request.within(mac - 1).option("uv")) and param is None
        if wants_uv and not key.profile.built_in_uv:
            raise Refusal(Status.INVALID_OPTION)
        return cls(mac=param, protocol=request.optional(protocol, int), wants_uv=wants_uv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the person has shown so far."""

    verified: bool = False
    present: bool = False


def gather_evidence(
    session: Session, proof: Proof, permission: Permission, client_data_hash: bytes, rp_id: str
) -> Steps[Evidence]:
    """Check the proof offered; raises `Refusal` for a bad one, and returns no evidence for none."""
    if proof.mac is not None:
        session.verify_token(proof.protocol, client_data_hash, proof.mac, permission)
        session.bind_token(rp_id)
        return Evidence(verified=True, present=session.user_present)
    if proof.wants_uv:
        yield from _fingerprint_or_denied(session.key)
        return Evidence(verified=True, present=True)
    return Evidence()


def _fingerprint_or_denied(key: VirtualKey) -> Steps[None]:
    try:
        yield from verify_fingerprint(key)
    except Refusal as refusal:
        pin_set = key.state.fido.pin_hash is not None
        if refusal.status is Status.UV_BLOCKED and pin_set:
            raise Refusal(Status.PUAT_REQUIRED) from None
        if refusal.status in {Status.UV_BLOCKED, Status.UV_INVALID}:
            raise Refusal(Status.OPERATION_DENIED) from None
        raise
