"""WebAuthn ceremonies: an adapter over `authenticators.fido2`, in our verbs.

States and credentials go in and out as JSON text, which is all the store needs to know of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.domain.errors import Denied
from authenticators.errors import WebAuthnError
from authenticators.fido2.ceremony import AuthenticationState, RegistrationState
from authenticators.fido2.credential import Credential
from authenticators.fido2.relying_party import Authenticated, CloneAlarm, RelyingParty, User
from authenticators.fido2.response import parse_authentication_response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

REGISTER = "enrol"
SIGN_IN = "sign-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyProof:
    """A valid assertion: which credential, what to keep of it now, and what it proved."""

    credential_id: bytes
    credential: str
    user_verified: bool


class CloneSuspected(Denied):
    """A right signature whose counter went back: two devices say that they are this one (M03)."""

    def __init__(self, alarm: CloneAlarm) -> None:
        super().__init__(f"signature counter {alarm.received_count} after {alarm.stored_count}: cloned key?")
        self.credential_id = alarm.suspect.credential_id


@dataclass(frozen=True, slots=True)
class Passkeys:
    """The ceremonies of one site."""

    relying_party: RelyingParty

    def begin_registration(
        self, *, user: str, handle: bytes, now: datetime, exclude: tuple[str, ...] = ()
    ) -> tuple[dict[str, Any], str]:
        """Return creation options and the ceremony's state; keys of `exclude` are not registered twice."""
        options, state = self.relying_party.begin_registration(
            user=User(handle=handle, name=user, display_name=user),
            now=now,
            exclude=[Credential.from_dict(json.loads(each)) for each in exclude],
            scope=REGISTER,
        )
        return options, json.dumps(state.to_dict())

    def complete_registration(
        self, state: str, response: Mapping[str, Any], *, now: datetime
    ) -> tuple[bytes, str]:
        """Return the credential's id and what to keep of it; raises `Denied`."""
        try:
            begun = RegistrationState.from_dict(json.loads(state))
            done = self.relying_party.complete_registration(begun, response, now=now, scope=REGISTER)
        except WebAuthnError as error:
            raise Denied(
                f"registration refused: {error}", message="the security key was not accepted"
            ) from error
        return done.credential.credential_id, json.dumps(done.credential.to_dict())

    def begin_authentication(
        self,
        *,
        handle: bytes | None,
        credentials: tuple[str, ...],
        now: datetime,
        scope: str = SIGN_IN,
        challenge: bytes | None = None,
    ) -> tuple[dict[str, Any], str]:
        """Return request options and the ceremony's state.

        Without a handle any passkey of this site may answer, and must verify its user. A `challenge` of
        32 bytes is one derived from what is agreed to; without it, it is random.
        """
        options, state = self.relying_party.begin_authentication(
            now=now,
            credentials=[Credential.from_dict(json.loads(each)) for each in credentials],
            user_handle=handle,
            user_verification="required" if handle is None else "preferred",
            scope=scope,
            challenge=challenge,
        )
        return options, json.dumps(state.to_dict())

    def complete_authentication(
        self,
        state: str,
        response: Mapping[str, Any],
        *,
        credentials: Mapping[bytes, str],
        now: datetime,
        scope: str = SIGN_IN,
    ) -> PasskeyProof:
        """Judge an assertion by one of these credentials; raises `Denied`, of it `CloneSuspected`."""

        def lookup(credential_id: bytes) -> Credential | None:
            stored = credentials.get(credential_id)
            return None if stored is None else Credential.from_dict(json.loads(stored))

        try:
            begun = AuthenticationState.from_dict(json.loads(state))
            result = self.relying_party.complete_authentication(
                begun, response, lookup=lookup, now=now, scope=scope
            )
        except WebAuthnError as error:
            raise Denied(f"assertion refused: {error}") from error
        return _proof(result)

    def user_handle(self, response: Mapping[str, Any]) -> bytes:
        """Return the handle a discoverable credential answered with; empty when there is none."""
        try:
            return parse_authentication_response(response).user_handle or b""
        except WebAuthnError as error:
            raise Denied(f"assertion refused: {error}") from error


def _proof(result: Authenticated | CloneAlarm) -> PasskeyProof:
    if isinstance(result, CloneAlarm):
        raise CloneSuspected(result)
    return PasskeyProof(
        credential_id=result.credential.credential_id,
        credential=json.dumps(result.credential.to_dict()),
        user_verified=result.user_verified,
    )
