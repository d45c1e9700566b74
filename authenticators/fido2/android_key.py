"""The `android-key` attestation (WebAuthn Level 3 §8.4), which python-fido2 does not know.

The statement is signed by the credential key itself; its certificate carries a KeyDescription (Android key
attestation extension) in which the phone's secure hardware says what the key may do. Only what the hardware
enforces counts.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature as SignatureIsWrong
from fido2.attestation.base import (
    Attestation,
    AttestationResult,
    AttestationType,
    InvalidData,
    InvalidSignature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fido2.cose import CoseKey
    from fido2.webauthn import AuthenticatorData

_KEY_DESCRIPTION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
_CHALLENGE, _SOFTWARE_ENFORCED, _HARDWARE_ENFORCED, _FIELDS = 4, 6, 7, 8
_PURPOSE, _ALL_APPLICATIONS, _ORIGIN = 1, 600, 702
_SIGN: Final = b"\x02"
_GENERATED: Final = b"\x00"

_SEQUENCE, _SET, _INTEGER = 0x30, 0x31, 0x02
_LONG_FORM, _HIGH_TAG, _CONTINUES, _LOW_SEVEN = 0x80, 0x1F, 0x80, 0x7F
_LONGEST_TAG_BYTES: Final = 4


class AndroidKeyAttestation(Attestation):
    """Verifies the statement, with the interface of python-fido2's own formats."""

    FORMAT = "android-key"

    def verify(
        self, statement: Mapping[str, Any], auth_data: AuthenticatorData, client_data_hash: bytes
    ) -> AttestationResult:
        """Return the result; raises `InvalidData` or `InvalidSignature`."""
        try:
            return self._verify(statement, auth_data, client_data_hash)
        except (KeyError, IndexError, ValueError, TypeError, x509.ExtensionNotFound) as error:
            raise InvalidData(error) from error

    def _verify(
        self, statement: Mapping[str, Any], auth_data: AuthenticatorData, client_data_hash: bytes
    ) -> AttestationResult:
        leaf = x509.load_der_x509_certificate(statement["x5c"][0])
        if auth_data.credential_data is None:
            raise InvalidData("no credential")
        key = auth_data.credential_data.public_key
        if statement["alg"] != key.ALGORITHM or not is_key_of(leaf, key):
            raise InvalidData("the certificate is of another key")
        try:
            key.verify(auth_data + client_data_hash, statement["sig"])
        except SignatureIsWrong as error:
            raise InvalidSignature from error
        extension = leaf.extensions.get_extension_for_oid(_KEY_DESCRIPTION).value
        if not isinstance(extension, x509.UnrecognizedExtension):
            raise InvalidData("no key description")
        _check_description(extension.value, client_data_hash)
        return AttestationResult(AttestationType.BASIC, list(statement["x5c"]))


def is_key_of(certificate: x509.Certificate, key: CoseKey) -> bool:
    """Tell whether the certificate is of the COSE key."""
    try:
        same = type(key).from_cryptography_key(certificate.public_key())
    except (AssertionError, NotImplementedError, ValueError):
        return False
    return bool(same == key)


def _check_description(der: bytes, client_data_hash: bytes) -> None:
    fields = [element.value for element in read_der(_only(der, _SEQUENCE))]
    if len(fields) < _FIELDS or not hmac.compare_digest(fields[_CHALLENGE], client_data_hash):
        raise InvalidData("the challenge is another")
    software, hardware = (
        _authorizations(fields[place]) for place in (_SOFTWARE_ENFORCED, _HARDWARE_ENFORCED)
    )
    if _ALL_APPLICATIONS in software or _ALL_APPLICATIONS in hardware:
        raise InvalidData("the key is not scoped to the relying party")
    origin = _only(hardware[_ORIGIN], _INTEGER)
    if origin != _GENERATED:
        raise InvalidData("the key was not made in the hardware")
    purposes = [element.value for element in read_der(_only(hardware[_PURPOSE], _SET))]
    if purposes != [_SIGN]:
        raise InvalidData("the key does more than sign")


def _authorizations(der: bytes) -> dict[int, bytes]:
    return {element.number: element.value for element in read_der(der)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One DER element: its identifier octet, its tag number, and its content."""

    identifier: int
    number: int
    value: bytes


def read_der(data: bytes) -> list[Element]:
    """Return the DER elements side by side in `data`; raises ValueError for anything left over or cut off."""
    elements, offset = list[Element](), 0
    while offset < len(data):
        identifier, number, offset = _read_tag(data, offset)
        length, offset = _read_length(data, offset)
        if offset + length > len(data):
            message = "a DER element is cut off"
            raise ValueError(message)
        elements.append(Element(identifier=identifier, number=number, value=data[offset : offset + length]))
        offset += length
    return elements


def _read_tag(data: bytes, start: int) -> tuple[int, int, int]:
    identifier = data[start]
    if identifier & _HIGH_TAG != _HIGH_TAG:
        return identifier, identifier & _HIGH_TAG, start + 1
    number = 0
    for offset, octet in enumerate(data[start + 1 : start + 1 + _LONGEST_TAG_BYTES], start + 2):
        number = number << 7 | octet & _LOW_SEVEN
        if not octet & _CONTINUES:
            return identifier, number, offset
    message = "a DER tag is too long"
    raise ValueError(message)


def _read_length(data: bytes, start: int) -> tuple[int, int]:
    if start >= len(data):
        message = "a DER length is missing"
        raise ValueError(message)
    first = data[start]
    if first < _LONG_FORM:
        return first, start + 1
    end = start + 1 + (first & _LOW_SEVEN)
    if first == _LONG_FORM or end > len(data):
        message = "a DER length is not definite"
        raise ValueError(message)
    return int.from_bytes(data[start + 1 : end], "big"), end


def _only(der: bytes, identifier: int) -> bytes:
    elements = read_der(der)
    if len(elements) != 1 or elements[0].identifier != identifier:
        message = "one DER element of another kind was expected"
        raise ValueError(message)
    return elements[0].value
