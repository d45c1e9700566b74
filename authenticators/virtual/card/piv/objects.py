"""Data objects: certificates, CHUID, and whatever tools keep there (SP 800-73-4, part 1)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from authenticators.virtual.attestation import piv_attester
from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord, parse_tlv_map, parse_tlvs, tlv
from authenticators.virtual.card.piv.session import required
from authenticators.virtual.state import PivObject

if TYPE_CHECKING:
    from authenticators.virtual.card.piv.session import PivSession

OBJECT_ID: Final = 0x5C
DATA: Final = 0x53
DISCOVERY: Final = 0x7E
ATTESTATION_CERTIFICATE: Final = 0x5FFF01
BEHIND_PIN: Final = frozenset({0x5FC103, 0x5FC108, 0x5FC109, 0x5FC121})
LARGEST: Final = 3052
_DISCOVERY: Final = bytes.fromhex("4f0ba0000003080000100001005f2f024010")


def get_data(session: PivSession, apdu: Apdu) -> bytes:
    """Return an object; raises `StatusError` when there is none."""
    object_id = int.from_bytes(required(parse_tlv_map(apdu.data), OBJECT_ID), "big")
    if object_id == DISCOVERY:
        return tlv(DISCOVERY, _DISCOVERY)
    if object_id in BEHIND_PIN and not session.pin_verified:
        raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)
    for kept in session.state.objects:
        if kept.object_id == object_id:
            return tlv(DATA, kept.data)
    if object_id == ATTESTATION_CERTIFICATE:
        der = piv_attester(session.key.state.serial).der
        return tlv(DATA, tlv(0x70, der) + tlv(0x71, b"\0") + tlv(0xFE))
    raise StatusError(StatusWord.NOT_FOUND)


def put_data(session: PivSession, apdu: Apdu) -> bytes:
    """Store an object, or delete it by putting nothing."""
    session.require_management()
    fields = dict(parse_tlvs(apdu.data))
    object_id = int.from_bytes(required(fields, OBJECT_ID), "big")
    data = required(fields, DATA)
    if len(data) > LARGEST:
        raise StatusError(StatusWord.NO_SPACE)
    others = tuple(kept for kept in session.state.objects if kept.object_id != object_id)
    added = (PivObject(object_id=object_id, data=data),) if data else ()
    session.keep(replace(session.state, objects=(*others, *added)))
    return b""
