"""python-fido2's server in our types: it makes the options, and has the last word on a response."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestedCredentialData,
    AuthenticatorAttachment,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.public_key import parse_public_key
from authenticators.fido2.wire import encode_base64url

if TYPE_CHECKING:
    from authenticators.fido2.ceremony import AuthenticationState, RegistrationState
    from authenticators.fido2.credential import Credential
    from authenticators.fido2.response import AuthenticationResponse, RegistrationResponse
    from authenticators.fido2.results import User

UserVerification = Literal["required", "preferred", "discouraged"]
ResidentKey = Literal["required", "preferred", "discouraged"]
Attachment = Literal["platform", "cross-platform"]
Conveyance = Literal["none", "indirect", "direct", "enterprise"]
Options = dict[str, Any]

_TRANSPORTS: Final = frozenset(each.value for each in AuthenticatorTransport)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The server for one site, made anew for each use: it keeps nothing."""

    rp_id: str
    name: str
    origins: frozenset[str]
    algorithms: tuple[int, ...]
    attestation: Conveyance
    lifetime: timedelta

    def creation_options(
        self,
        user: User,
        challenge: bytes,
        *,
        exclude: Collection[Credential],
        user_verification: UserVerification,
        resident_key: ResidentKey,
        attachment: Attachment | None,
        extensions: Mapping[str, Any],
    ) -> Options:
        """Return the options for `navigator.credentials.create()` as JSON values."""
        options, _ = self._server().register_begin(
            PublicKeyCredentialUserEntity(id=user.handle, name=user.name, display_name=user.display_name),
            credentials=[_descriptor(each) for each in exclude],
            resident_key_requirement=ResidentKeyRequirement(resident_key),
            user_verification=UserVerificationRequirement(user_verification),
            authenticator_attachment=None if attachment is None else AuthenticatorAttachment(attachment),
            challenge=challenge,
            extensions=extensions,
        )
        plain: Options = _plain(options)
        return plain

    def request_options(
        self,
        challenge: bytes,
        *,
        allow: Collection[Credential],
        user_verification: UserVerification,
        extensions: Mapping[str, Any] | None,
    ) -> Options:
        """Return the options for `navigator.credentials.get()` as JSON values."""
        options, _ = self._server().authenticate_begin(
            credentials=[_descriptor(each) for each in allow] or None,
            user_verification=UserVerificationRequirement(user_verification),
            challenge=challenge,
            extensions=extensions,
        )
        plain: Options = _plain(options)
        return plain

    def registers(self, state: RegistrationState, parsed: RegistrationResponse) -> None:
        """Judge a registration, too; raises `WebAuthnError` with MALFORMED_RESPONSE."""
        answer = {
            "clientDataJSON": encode_base64url(parsed.client_data_json),
            "attestationObject": encode_base64url(parsed.attestation_object),
        }
        try:
            self._server().register_complete(_state(state), _response(parsed.credential_id, answer))
        except (ValueError, KeyError, TypeError) as error:
            raise WebAuthnError(WebAuthnErrorCode.MALFORMED_RESPONSE) from error

    def authenticates(
        self,
        state: AuthenticationState,
        parsed: AuthenticationResponse,
        credential: Credential,
        *,
        signed_for: str,
    ) -> None:
        """Judge an authentication and verify its signature: after our rules that is what is left to refuse.

        `signed_for` is the RP ID, or the app id of a U2F key. Raises `WebAuthnError` with BAD_SIGNATURE, or
        for a stored key that is damaged as `parse_public_key`.
        """
        key = parse_public_key(credential.public_key)
        stored = AttestedCredentialData.create(credential.aaguid.bytes, credential.credential_id, key)
        answer = {
            "clientDataJSON": encode_base64url(parsed.client_data_json),
            "authenticatorData": encode_base64url(parsed.authenticator_data),
            "signature": encode_base64url(parsed.signature),
        }
        response = _response(parsed.credential_id, answer)
        try:
            self._server(signed_for).authenticate_complete(_state(state), [stored], response)
        except (ValueError, KeyError, TypeError) as error:
            raise WebAuthnError(WebAuthnErrorCode.BAD_SIGNATURE) from error

    def _server(self, signed_for: str | None = None) -> Fido2Server:
        server = Fido2Server(
            PublicKeyCredentialRpEntity(id=signed_for or self.rp_id, name=self.name),
            attestation=AttestationConveyancePreference(self.attestation),
            verify_origin=self.origins.__contains__,
        )
        server.timeout = int(self.lifetime.total_seconds() * 1000)  # type: ignore[assignment]
        server.allowed_algorithms = [
            PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=algorithm)
            for algorithm in self.algorithms
        ]
        return server


def _descriptor(credential: Credential) -> PublicKeyCredentialDescriptor:
    transports = [each for each in credential.transports if each in _TRANSPORTS]
    return PublicKeyCredentialDescriptor.from_dict(
        {
            "type": "public-key",
            "id": encode_base64url(credential.credential_id),
            "transports": transports or None,
        }
    )


def _response(credential_id: bytes, answer: Mapping[str, str]) -> Mapping[str, Any]:
    return {"rawId": encode_base64url(credential_id), "response": answer}


def _state(state: RegistrationState | AuthenticationState) -> Mapping[str, Any]:
    return {
        "challenge": encode_base64url(state.challenge),
        "user_verification": UserVerificationRequirement(state.user_verification),
    }


def _plain(value: Any) -> Any:
    """Return the library's mappings as plain JSON values; their bytes are base64url already."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    return value
