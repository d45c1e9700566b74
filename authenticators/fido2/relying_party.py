"""The relying party (WebAuthn Level 3 §7): begins a ceremony, and judges the response to it.

options, state = rp.begin_registration(user=user, now=now)         # state.to_dict() is stored, options shown
registered = rp.complete_registration(state, response, now=now)     # registered.credential is stored

options, state = rp.begin_authentication(credentials=theirs, user_handle=handle, now=now)
match rp.complete_authentication(state, response, lookup=find, now=now):
    case Authenticated() as proof: ...     # proof.credential is stored by compare-and-swap
    case CloneAlarm() as alarm: ...        # two keys say they are this one: refuse, and tell somebody
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

from fido2 import cbor
from fido2.rpid import verify_rp_id

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.authenticator_data import (
    check_authenticator_data,
    parse_attestation_object,
    parse_authenticator_data,
)
from authenticators.fido2.ceremony import (
    CHALLENGE_BYTES,
    AuthenticationState,
    RegistrationState,
    check_state,
)
from authenticators.fido2.client_data import ClientDataType, Expected, check_client_data
from authenticators.fido2.credential import Credential
from authenticators.fido2.library import (
    Attachment,
    Conveyance,
    Library,
    Options,
    ResidentKey,
    UserVerification,
)
from authenticators.fido2.public_key import ALGORITHMS, SUPPORTED, parse_public_key
from authenticators.fido2.response import (
    AuthenticationResponse,
    RegistrationResponse,
    ResponseJson,
    parse_authentication_response,
    parse_registration_response,
)
from authenticators.fido2.results import Authenticated, Authentication, CloneAlarm, Registered, User

if TYPE_CHECKING:
    from fido2.webauthn import AttestedCredentialData, AuthenticatorData

__all__ = [
    "Authenticated",
    "Authentication",
    "CloneAlarm",
    "Lookup",
    "Options",
    "Registered",
    "RelyingParty",
    "User",
]

Lookup = Callable[[bytes], Credential | None]

LIFETIME: Final = timedelta(seconds=60)
_LONGEST_LIFETIME: Final = timedelta(minutes=10)
_LONGEST_USER_HANDLE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """One site. `origins` are compared as whole strings, such as `https://box.example:3080`.

    `top_origins` are the sites that may frame ours; none by default. `app_id` is that of a former U2F
    installation; with it set, credentials that came from U2F can be used, and keys registered there are not
    registered twice.
    """

    rp_id: str
    name: str
    origins: frozenset[str]
    top_origins: frozenset[str] = frozenset()
    algorithms: tuple[int, ...] = ALGORITHMS
    attestation: Conveyance = "none"
    lifetime: timedelta = LIFETIME
    app_id: str | None = None
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def __post_init__(self) -> None:
        origins_fit = all(_is_origin(origin) and verify_rp_id(self.rp_id, origin) for origin in self.origins)
        if not (self.origins and origins_fit and all(map(_is_origin, self.top_origins))):
            raise WebAuthnError(
                WebAuthnErrorCode.BAD_PARAMETER, "every origin is https:// and below the RP ID"
            )
        if not self.algorithms or not set(self.algorithms) <= SUPPORTED:
            raise WebAuthnError(WebAuthnErrorCode.BAD_PARAMETER, "an algorithm is not supported")
        if not timedelta(0) < self.lifetime <= _LONGEST_LIFETIME:
            raise WebAuthnError(WebAuthnErrorCode.BAD_PARAMETER, "a ceremony lives for up to 10 minutes")

    def begin_registration(
        self,
        *,
        user: User,
        now: datetime,
        exclude: Collection[Credential] = (),
        user_verification: UserVerification = "preferred",
        resident_key: ResidentKey = "preferred",
        attachment: Attachment | None = None,
        scope: str = "",
        challenge: bytes | None = None,
    ) -> tuple[Options, RegistrationState]:
        """Return the options for `navigator.credentials.create()` and the state to keep.

        `exclude` are the person's credentials; `challenge` is made here unless it is derived from an action
        (`ceremony.derive_challenge`). Raises `WebAuthnError`: BAD_PARAMETER, WEAK_CHALLENGE.
        """
        if not 1 <= len(user.handle) <= _LONGEST_USER_HANDLE:
            raise WebAuthnError(WebAuthnErrorCode.BAD_PARAMETER, "a user handle has 1 to 64 bytes")
        challenge = self._challenge(challenge)
        options = self._library.creation_options(
            user,
            challenge,
            exclude=exclude,
            user_verification=user_verification,
            resident_key=resident_key,
            attachment=attachment,
            extensions={"credProps": True} | ({"appidExclude": self.app_id} if self.app_id else {}),
        )
        state = RegistrationState(
            challenge=challenge,
            issued=now,
            expires=now + self.lifetime,
            scope=scope,
            user_handle=user.handle,
            user_verification=user_verification,
            algorithms=self.algorithms,
            exclude=tuple(each.credential_id for each in exclude),
        )
        return options, state

    def complete_registration(
        self,
        state: RegistrationState,
        response: ResponseJson,
        *,
        now: datetime,
        scope: str = "",
    ) -> Registered:
        """Judge the response to `begin_registration` (§7.1); `state` was taken out of its store, for good.

        Raises `WebAuthnError` with the code of the first rule that was broken. Whether the attestation is
        good enough is asked of `policy.AttestationPolicy`, here and at every later use.
        """
        check_state(state, scope=scope, now=now)
        parsed = parse_registration_response(response)
        check_client_data(parsed.client_data_json, self._expected(ClientDataType.CREATE, state.challenge))
        fmt, auth_data, _ = parse_attestation_object(parsed.attestation_object)
        check_authenticator_data(
            auth_data,
            rp_id_hash=sha256(self.rp_id.encode()).digest(),
            user_verification_required=state.user_verification == "required",
        )
        data = _credential_data(auth_data, parsed, state)
        self._library.registers(state, parsed)
        credential = _new_credential(state, parsed, auth_data, data, now)
        return Registered(credential=credential, attestation_format=fmt, extensions=parsed.extensions)

    def begin_authentication(
        self,
        *,
        now: datetime,
        credentials: Sequence[Credential] = (),
        user_handle: bytes | None = None,
        user_verification: UserVerification = "preferred",
        scope: str = "",
        challenge: bytes | None = None,
    ) -> tuple[Options, AuthenticationState]:
        """Return the options for `navigator.credentials.get()` and the state to keep.

        Either somebody was named (`user_handle` and at least one of their `credentials`), or it is a
        discoverable login and both are left out. Raises `WebAuthnError`: BAD_PARAMETER, WEAK_CHALLENGE.
        """
        if (user_handle is None) != (not credentials):
            raise WebAuthnError(
                WebAuthnErrorCode.BAD_PARAMETER, "a named user has credentials, nobody has none"
            )
        challenge = self._challenge(challenge)
        app_id = self.app_id if any(each.app_id for each in credentials) else None
        options = self._library.request_options(
            challenge,
            allow=credentials,
            user_verification=user_verification,
            extensions={"appid": app_id} if app_id else None,
        )
        state = AuthenticationState(
            challenge=challenge,
            issued=now,
            expires=now + self.lifetime,
            scope=scope,
            user_handle=user_handle,
            user_verification=user_verification,
            allow=tuple(each.credential_id for each in credentials),
            app_id=app_id,
        )
        return options, state

    def complete_authentication(
        self,
        state: AuthenticationState,
        response: ResponseJson,
        *,
        lookup: Lookup,
        now: datetime,
        scope: str = "",
    ) -> Authentication:
        """Judge the response to `begin_authentication` (§7.2); `state` was taken out of its store, for good.

        `lookup` finds a stored credential by its id. Returns a `CloneAlarm` for a right signature whose
        counter did not grow. Raises `WebAuthnError` with the code of the first rule that was broken.
        """
        check_state(state, scope=scope, now=now)
        parsed = parse_authentication_response(response)
        credential = _whose(state, parsed, lookup)
        check_client_data(parsed.client_data_json, self._expected(ClientDataType.GET, state.challenge))
        auth_data = parse_authenticator_data(parsed.authenticator_data)
        signed_for = self._signed_for(state, credential, auth_data)
        check_authenticator_data(
            auth_data,
            rp_id_hash=sha256(signed_for.encode()).digest(),
            user_verification_required=state.user_verification == "required",
        )
        if auth_data.is_backup_eligible() != credential.backup_eligible:
            raise WebAuthnError(WebAuthnErrorCode.BACKUP_ELIGIBILITY_CHANGED)
        self._library.authenticates(state, parsed, credential, signed_for=signed_for)
        return _judge_counter(parsed, credential, auth_data, app_id_used=signed_for != self.rp_id)

    def _challenge(self, given: bytes | None) -> bytes:
        challenge = self.entropy(CHALLENGE_BYTES) if given is None else given
        if len(challenge) < CHALLENGE_BYTES:
            raise WebAuthnError(WebAuthnErrorCode.WEAK_CHALLENGE)
        return challenge

    @property
    def _library(self) -> Library:
        return Library(
            rp_id=self.rp_id,
            name=self.name,
            origins=self.origins,
            algorithms=self.algorithms,
            attestation=self.attestation,
            lifetime=self.lifetime,
        )

    def _expected(self, kind: ClientDataType, challenge: bytes) -> Expected:
        return Expected(type=kind, challenge=challenge, origins=self.origins, top_origins=self.top_origins)

    def _signed_for(
        self, state: AuthenticationState, credential: Credential, auth_data: AuthenticatorData
    ) -> str:
        """Return the RP ID, or the app id where a key that came from U2F signed for that one (§10.1.1)."""
        app_id = state.app_id if credential.app_id == state.app_id else None
        if app_id and hmac.compare_digest(auth_data.rp_id_hash, sha256(app_id.encode()).digest()):
            return app_id
        return self.rp_id


def _is_origin(text: str) -> bool:
    """Tell whether the text is a serialised origin: scheme, host, port unless default, nothing else."""
    try:
        url = urlsplit(text)
        port = "" if url.port is None else f":{url.port}"
    except ValueError:
        return False
    default = {"https": ":443", "http": ":80"}.get(url.scheme)
    return default is not None and port != default and text == f"{url.scheme}://{url.hostname}{port}"


def _credential_data(
    auth_data: AuthenticatorData, parsed: RegistrationResponse, state: RegistrationState
) -> AttestedCredentialData:
    data = auth_data.credential_data
    if data is None:
        raise WebAuthnError(WebAuthnErrorCode.NO_CREDENTIAL_DATA)
    if data.credential_id != parsed.credential_id:
        raise WebAuthnError(WebAuthnErrorCode.ID_MISMATCH)
    if data.credential_id in state.exclude:
        raise WebAuthnError(WebAuthnErrorCode.CREDENTIAL_EXCLUDED)
    parse_public_key(cbor.encode(data.public_key), state.algorithms)
    return data


def _new_credential(
    state: RegistrationState,
    parsed: RegistrationResponse,
    auth_data: AuthenticatorData,
    data: AttestedCredentialData,
    now: datetime,
) -> Credential:
    properties = parsed.extensions.get("credProps")
    discoverable = properties.get("rk") if isinstance(properties, Mapping) else None
    return Credential(
        credential_id=data.credential_id,
        public_key=cbor.encode(data.public_key),
        user_handle=state.user_handle,
        sign_count=auth_data.counter,
        aaguid=UUID(bytes=bytes(data.aaguid)),
        backup_eligible=auth_data.is_backup_eligible(),
        backed_up=auth_data.is_backed_up(),
        user_verified=auth_data.is_user_verified(),
        registered=now,
        discoverable=discoverable if isinstance(discoverable, bool) else None,
        transports=parsed.transports,
        attestation_object=parsed.attestation_object,
        client_data_json=parsed.client_data_json,
    )


def _whose(state: AuthenticationState, parsed: AuthenticationResponse, lookup: Lookup) -> Credential:
    """Return the stored credential, if it may answer this ceremony (§7.2, steps 5 to 7)."""
    if state.allow and parsed.credential_id not in state.allow:
        raise WebAuthnError(WebAuthnErrorCode.CREDENTIAL_NOT_ALLOWED)
    credential = lookup(parsed.credential_id)
    if credential is None or credential.credential_id != parsed.credential_id:
        raise WebAuthnError(WebAuthnErrorCode.UNKNOWN_CREDENTIAL)
    if state.user_handle is not None and credential.user_handle != state.user_handle:
        raise WebAuthnError(WebAuthnErrorCode.CREDENTIAL_OF_ANOTHER_USER)
    if parsed.user_handle is not None and parsed.user_handle != credential.user_handle:
        raise WebAuthnError(WebAuthnErrorCode.USER_HANDLE_MISMATCH)
    if parsed.user_handle is None and state.user_handle is None:
        raise WebAuthnError(WebAuthnErrorCode.USER_HANDLE_MISSING)
    return credential


def _judge_counter(
    parsed: AuthenticationResponse,
    credential: Credential,
    auth_data: AuthenticatorData,
    *,
    app_id_used: bool,
) -> Authentication:
    """Compare the counters (§7.2, step 22): one that was ever above zero has to grow with each signature."""
    if (auth_data.counter or credential.sign_count) and auth_data.counter <= credential.sign_count:
        return CloneAlarm(
            suspect=credential, stored_count=credential.sign_count, received_count=auth_data.counter
        )
    updated = replace(
        credential,
        sign_count=auth_data.counter,
        backed_up=auth_data.is_backed_up(),
        user_verified=credential.user_verified or auth_data.is_user_verified(),
    )
    return Authenticated(
        credential=updated,
        user_verified=auth_data.is_user_verified(),
        app_id_used=app_id_used,
        extensions=parsed.extensions,
    )
