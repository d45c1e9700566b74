"""U2F raw messages (FIDO U2F Raw Message Formats v1.2 §4.3, §5.4) and the client data around them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from authenticators.errors import U2fError, U2fErrorCode, WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import decode_base64url, decode_json

if TYPE_CHECKING:
    from collections.abc import Collection

_Code = U2fErrorCode

REGISTERED: Final = 0x05
POINT_BYTES: Final = 65
_LEAST_REGISTRATION: Final = 1 + POINT_BYTES + 1
_SEQUENCE: Final = 0x30
_TWO_LENGTH_BYTES: Final = 0x82
_SIGNED_HEAD: Final = 5
_USER_PRESENT: Final = 0x01


class ClientDataType(StrEnum):
    """What the client was asked to do, in the words of U2F."""

    REGISTER = "navigator.id.finishEnrollment"
    SIGN = "navigator.id.getAssertion"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationMessage:
    """A raw registration response. `public_key` is an uncompressed P-256 point, `certificate` DER."""

    public_key: bytes
    key_handle: bytes
    certificate: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureMessage:
    """A raw authentication response."""

    flags: int
    counter: int
    signature: bytes

    @property
    def user_present(self) -> bool:
        """Whether somebody touched the key."""
        return bool(self.flags & _USER_PRESENT)


def parse_registration(data: bytes) -> RegistrationMessage:
    """Parse a raw registration response; raises `U2fError`: MALFORMED, BAD_PUBLIC_KEY, BAD_CERTIFICATE."""
    if len(data) < _LEAST_REGISTRATION or data[0] != REGISTERED:
        raise U2fError(_Code.MALFORMED)
    handle_start = _LEAST_REGISTRATION
    handle_end = handle_start + data[handle_start - 1]
    certificate_end = _end_of_certificate(data, handle_end)
    public_key, certificate = data[1 : 1 + POINT_BYTES], data[handle_end:certificate_end]
    load_point(public_key)
    load_attestation_key(certificate)
    if handle_end == handle_start or certificate_end == len(data):
        raise U2fError(_Code.MALFORMED)
    return RegistrationMessage(
        public_key=public_key,
        key_handle=data[handle_start:handle_end],
        certificate=certificate,
        signature=data[certificate_end:],
    )


def parse_signature(data: bytes) -> SignatureMessage:
    """Parse a raw authentication response; raises `U2fError` with MALFORMED."""
    if len(data) <= _SIGNED_HEAD:
        raise U2fError(_Code.MALFORMED)
    counter = int.from_bytes(data[1:_SIGNED_HEAD], "big")
    return SignatureMessage(flags=data[0], counter=counter, signature=data[_SIGNED_HEAD:])


def verify_registration(message: RegistrationMessage, *, app_id: str, client_data: bytes) -> None:
    """Verify the attestation signature; raises `U2fError` with BAD_SIGNATURE."""
    signed = (
        b"\x00" + app_parameter(app_id) + hashlib.sha256(client_data).digest()
        + message.key_handle + message.public_key
    )  # fmt: skip
    _verify(load_attestation_key(message.certificate), message.signature, signed)


def verify_signature(
    message: SignatureMessage, *, public_key: bytes, app_id: str, client_data: bytes
) -> None:
    """Verify an authentication; raises `U2fError`: BAD_SIGNATURE, USER_NOT_PRESENT."""
    head = bytes([message.flags]) + message.counter.to_bytes(4, "big")
    signed = app_parameter(app_id) + head + hashlib.sha256(client_data).digest()
    _verify(load_point(public_key), message.signature, signed)
    if not message.user_present:
        raise U2fError(_Code.USER_NOT_PRESENT)


def check_client_data(
    client_data: bytes, *, kind: ClientDataType, challenge: bytes, facets: Collection[str]
) -> None:
    """Refuse client data that is not of this ceremony.

    Raises `U2fError`: MALFORMED, WRONG_TYPE, WRONG_CHALLENGE, FACET_NOT_TRUSTED.
    """
    try:
        members = decode_json(client_data, WebAuthnErrorCode.MALFORMED_CLIENT_DATA)
        received = decode_base64url(members.get("challenge"))
    except WebAuthnError as error:
        raise U2fError(_Code.MALFORMED) from error
    if members.get("typ") != kind:
        raise U2fError(_Code.WRONG_TYPE)
    if not compare_digest(received, challenge):
        raise U2fError(_Code.WRONG_CHALLENGE)
    if not isinstance(members.get("origin"), str) or members["origin"] not in facets:
        raise U2fError(_Code.FACET_NOT_TRUSTED)


def read_response(response: Mapping[str, Any] | str | bytes, *names: str) -> tuple[bytes, ...]:
    """Return the base64url members of a response of the old browser API, such as `registrationData`.

    Raises `U2fError`: DEVICE_ERROR where the response is an error of the client, MALFORMED.
    """
    try:
        members = _members(response)
        if members.get("errorCode"):
            raise U2fError(_Code.DEVICE_ERROR, f"error {members['errorCode']}")
        return tuple(decode_base64url(members.get(name)) for name in names)
    except WebAuthnError as error:
        raise U2fError(_Code.MALFORMED) from error


def _members(response: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    if isinstance(response, Mapping):
        return response
    encoded = response.encode("utf-8", "surrogatepass") if isinstance(response, str) else response
    return decode_json(encoded, WebAuthnErrorCode.MALFORMED_RESPONSE)


def app_parameter(app_id: str) -> bytes:
    """Return the application parameter: SHA-256 of the app id."""
    return hashlib.sha256(app_id.encode()).digest()


def load_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key of an uncompressed point; raises `U2fError` with BAD_PUBLIC_KEY."""
    try:
        if len(point) == POINT_BYTES:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise U2fError(_Code.BAD_PUBLIC_KEY) from error
    raise U2fError(_Code.BAD_PUBLIC_KEY)


def load_attestation_key(certificate: bytes) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key in an attestation certificate; raises `U2fError` with BAD_CERTIFICATE."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise U2fError(_Code.BAD_CERTIFICATE) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise U2fError(_Code.BAD_CERTIFICATE)
    return key


def _end_of_certificate(data: bytes, start: int) -> int:
    """Return where the DER certificate ends: it has no length of its own in the message."""
    head = data[start : start + 4]
    if len(head) != len(b"\x30\x82..") or (head[0], head[1]) != (_SEQUENCE, _TWO_LENGTH_BYTES):
        raise U2fError(_Code.MALFORMED)
    end = start + 4 + int.from_bytes(head[2:], "big")
    if end > len(data):
        raise U2fError(_Code.MALFORMED)
    return end


def _verify(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise U2fError(_Code.BAD_SIGNATURE) from error
