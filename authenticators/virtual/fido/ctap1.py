"""U2F: raw messages as ISO 7816 commands (FIDO U2F Raw Message Formats 1.2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from authenticators.virtual.attestation import fido_attester
from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord
from authenticators.virtual.fido.credential import SEED, CredentialSource, open_credential
from authenticators.virtual.profile import ES256
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

REGISTER: Final = 0x01
AUTHENTICATE: Final = 0x02
VERSION: Final = 0x03
CHECK_ONLY: Final = 0x07
ENFORCE_PRESENCE: Final = 0x03
WITHOUT_PRESENCE: Final = 0x08
PARAMETER: Final = 32


def process_apdu(key: VirtualKey, apdu: Apdu) -> Steps[bytes]:
    """Return the response data; raises `StatusError` with the status word."""
    if "U2F_V2" not in key.profile.ctap_versions:
        raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
    match apdu.ins:
        case 0x01:
            return (yield from _register(key, apdu.data))
        case 0x02:
            return (yield from _authenticate(key, apdu.p1, apdu.data))
        case 0x03:
            return b"U2F_V2"
    raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)


def process(key: VirtualKey, message: bytes) -> Steps[bytes]:
    """Answer one U2F message (an extended APDU): response data and status word."""
    try:
        data = yield from process_apdu(key, Apdu.parse(message))
    except StatusError as error:
        return bytes(error)
    return data + StatusWord.OK.to_bytes(2, "big")


def _register(key: VirtualKey, data: bytes) -> Steps[bytes]:
    if len(data) != 2 * PARAMETER:
        raise StatusError(StatusWord.WRONG_LENGTH)
    yield from key.begin_operation()
    yield from _presence(key)
    challenge, application = data[:PARAMETER], data[PARAMETER:]
    source = CredentialSource(algorithm=ES256, seed=key.entropy(SEED))
    handle = source.seal(key.state.fido.master_key, application, key.entropy)
    point = source.public_point()
    attester = fido_attester(key.profile.model, None)
    signature = attester.sign(b"\0" + application + challenge + handle + point)
    return b"\5" + point + bytes([len(handle)]) + handle + attester.der + key.spoil(signature)


def _authenticate(key: VirtualKey, control: int, data: bytes) -> Steps[bytes]:
    if len(data) < 2 * PARAMETER + 1 or len(data) != 2 * PARAMETER + 1 + data[2 * PARAMETER]:
        raise StatusError(StatusWord.WRONG_LENGTH)
    challenge, application = data[:PARAMETER], data[PARAMETER : 2 * PARAMETER]
    source = open_credential(key.state.fido.master_key, data[2 * PARAMETER + 1 :], application)
    if source is None or source.algorithm != ES256 or source.protection > 1:
        raise StatusError(StatusWord.WRONG_DATA)
    if control == CHECK_ONLY:
        raise StatusError(StatusWord.CONDITIONS_NOT_SATISFIED)
    if control not in {ENFORCE_PRESENCE, WITHOUT_PRESENCE}:
        raise StatusError(StatusWord.WRONG_DATA)
    yield from key.begin_operation()
    if control == ENFORCE_PRESENCE:
        yield from _presence(key)
    answer = struct.pack(">BI", control == ENFORCE_PRESENCE, key.next_signature_counter())
    return answer + key.spoil(source.sign(application + answer + challenge))


def _presence(key: VirtualKey) -> Steps[None]:
    if (yield from key.touch()) is not Touch.GIVEN:
        raise StatusError(StatusWord.CONDITIONS_NOT_SATISFIED)
