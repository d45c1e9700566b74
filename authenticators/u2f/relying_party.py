"""The U2F relying party: begins a ceremony with a key, and judges the response."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from authenticators.errors import U2fError, U2fErrorCode, WebAuthnError
from authenticators.fido2.wire import decode_base64url, encode_base64url
from authenticators.u2f.facets import TrustedFacets
from authenticators.u2f.messages import (
    ClientDataType,
    check_client_data,
    parse_registration,
    parse_signature,
    read_response,
    verify_registration,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


VERSION: Final = "U2F_V2"
_CHALLENGE_BYTES: Final = 32

_Code = U2fErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class U2fRegistration:
    """What is stored of a U2F key, with the evidence of its registration. `counter` is the last one seen."""

    key_handle: bytes
    public_key: bytes
    app_id: str
    counter: int
    registered: datetime
    certificate: bytes = b""
    signature: bytes = b""
    client_data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class U2fCloneAlarm:
    """A right signature whose counter did not grow: the key has been copied or rolled back."""

    suspect: U2fRegistration
    received_count: int

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class U2fState:
    """A ceremony that was begun; to be stored, and taken out once before it is completed."""

    challenge: bytes
    kind: ClientDataType
    issued: datetime
    expires: datetime

    @property
    def ceremony_id(self) -> str:
        """The name to keep this state under: SHA-256 of the challenge, in hex."""
        return hashlib.sha256(self.challenge).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return {
            "ceremony": "u2f",
            "kind": self.kind.value,
            "challenge": encode_base64url(self.challenge),
            "issued": self.issued.isoformat(),
            "expires": self.expires.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the state that `to_dict` wrote; raises `U2fError` with MALFORMED for anything else."""
        try:
            return cls(
                challenge=decode_base64url(data["challenge"]),
                kind=ClientDataType(data["kind"]),
                issued=datetime.fromisoformat(data["issued"]),
                expires=datetime.fromisoformat(data["expires"]),
            )
        except (KeyError, TypeError, ValueError, WebAuthnError) as error:
            raise U2fError(_Code.MALFORMED) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class U2fRelyingParty:
    """One app id with its facets."""

    facets: TrustedFacets
    lifetime: timedelta = timedelta(seconds=60)
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def begin_registration(
        self, *, now: datetime, registered: Sequence[U2fRegistration] = ()
    ) -> tuple[dict[str, Any], U2fState]:
        """Return the request (`u2f.register` of the JavaScript API 1.1) and the state to keep."""
        state = self._state(ClientDataType.REGISTER, now)
        request = {
            "appId": self.facets.app_id,
            "registerRequests": [{"version": VERSION, "challenge": encode_base64url(state.challenge)}],
            "registeredKeys": [_key(each) for each in registered],
        }
        return request, state

    def complete_registration(
        self, state: U2fState, response: Mapping[str, Any] | str | bytes, *, now: datetime
    ) -> U2fRegistration:
        """Return the registration to store; raises `U2fError` with the rule that was broken."""
        data, client_data = read_response(response, "registrationData", "clientData")
        self._check(state, ClientDataType.REGISTER, client_data, now)
        message = parse_registration(data)
        verify_registration(message, app_id=self.facets.app_id, client_data=client_data)
        return U2fRegistration(
            key_handle=message.key_handle,
            public_key=message.public_key,
            app_id=self.facets.app_id,
            counter=0,
            registered=now,
            certificate=message.certificate,
            signature=message.signature,
            client_data=client_data,
        )

    def begin_authentication(
        self, *, now: datetime, registered: Sequence[U2fRegistration]
    ) -> tuple[dict[str, Any], U2fState]:
        """Return the request (`u2f.sign`) and the state to keep."""
        state = self._state(ClientDataType.SIGN, now)
        request = {
            "appId": self.facets.app_id,
            "challenge": encode_base64url(state.challenge),
            "registeredKeys": [_key(each) for each in registered],
        }
        return request, state

    def complete_authentication(
        self,
        state: U2fState,
        response: Mapping[str, Any] | str | bytes,
        *,
        registered: Sequence[U2fRegistration],
        now: datetime,
    ) -> U2fRegistration | U2fCloneAlarm:
        """Return the registration with its new counter, to be stored by compare-and-swap, or the clone alarm.

        `registered` are the keys of the person who was asked. Raises `U2fError` with the rule that was
        broken.
        """
        key_handle, data, client_data = read_response(response, "keyHandle", "signatureData", "clientData")
        used = next((each for each in registered if each.key_handle == key_handle), None)
        if used is None:
            raise U2fError(_Code.UNKNOWN_KEY_HANDLE)
        self._check(state, ClientDataType.SIGN, client_data, now)
        message = parse_signature(data)
        verify_signature(message, public_key=used.public_key, app_id=used.app_id, client_data=client_data)
        if (message.counter or used.counter) and message.counter <= used.counter:
            return U2fCloneAlarm(suspect=used, received_count=message.counter)
        return replace(used, counter=message.counter)

    def _state(self, kind: ClientDataType, now: datetime) -> U2fState:
        challenge = self.entropy(_CHALLENGE_BYTES)
        return U2fState(challenge=challenge, kind=kind, issued=now, expires=now + self.lifetime)

    def _check(self, state: U2fState, kind: ClientDataType, client_data: bytes, now: datetime) -> None:
        if state.kind is not kind:
            raise U2fError(_Code.WRONG_TYPE)
        if not state.issued <= now < state.expires:
            raise U2fError(_Code.EXPIRED)
        check_client_data(client_data, kind=kind, challenge=state.challenge, facets=self.facets.facets)


def _key(registration: U2fRegistration) -> dict[str, str]:
    return {
        "version": VERSION,
        "keyHandle": encode_base64url(registration.key_handle),
        "appId": registration.app_id,
    }
