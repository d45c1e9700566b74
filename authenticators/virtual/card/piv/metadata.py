"""GET METADATA (a YubiKey extension, firmware 5.3): algorithm, policy, origin, public key, tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord, tlv
from authenticators.virtual.card.piv import algorithms, management, references, slots
from authenticators.virtual.card.piv.slots import TouchPolicy
from authenticators.virtual.state import (
    DEFAULT_MANAGEMENT_KEY,
    DEFAULT_PIV_PIN,
    DEFAULT_PIV_PUK,
    PivState,
    fresh_piv,
)

if TYPE_CHECKING:
    from authenticators.virtual.card.piv.session import PivSession

ALGORITHM, POLICY, ORIGIN, PUBLIC_KEY, IS_DEFAULT, TRIES = range(1, 7)
PIN_ALGORITHM: Final = b"\xff"
GENERATED: Final = b"\x01"
IMPORTED: Final = b"\x02"


def get_metadata(session: PivSession, apdu: Apdu) -> bytes:
    """Return the metadata of the reference P2."""
    if session.key.profile.firmware < (5, 3, 0):
        raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
    state = session.state
    match apdu.p2:
        case references.PIN:
            return _reference(state.pin == DEFAULT_PIV_PIN, state.pin_tries, state.pin_left)
        case references.PUK:
            return _reference(state.puk == DEFAULT_PIV_PUK, state.puk_tries, state.puk_left)
        case management.REFERENCE:
            return _management(session, state)
        case slot:
            return _slot(session, slot)


def _reference(default: bool, tries: int, left: int) -> bytes:  # noqa: FBT001 - one call above each
    return (
        tlv(ALGORITHM, PIN_ALGORITHM) + tlv(IS_DEFAULT, bytes([default])) + tlv(TRIES, bytes([tries, left]))
    )


def _management(session: PivSession, state: PivState) -> bytes:
    touch = TouchPolicy.ALWAYS if state.management_touch else TouchPolicy.NEVER
    factory = fresh_piv(session.key.profile).management_algorithm
    default = state.management_key == DEFAULT_MANAGEMENT_KEY and state.management_algorithm == factory
    return (
        tlv(ALGORITHM, bytes([state.management_algorithm]))
        + tlv(POLICY, bytes([0, touch]))
        + tlv(IS_DEFAULT, bytes([default]))
    )


def _slot(session: PivSession, slot: int) -> bytes:
    entry = slots.find(session, slot)
    return (
        tlv(ALGORITHM, bytes([entry.algorithm]))
        + tlv(POLICY, bytes([entry.pin_policy, entry.touch_policy]))
        + tlv(ORIGIN, GENERATED if entry.generated else IMPORTED)
        + tlv(PUBLIC_KEY, algorithms.public_template(algorithms.restored(entry.private_key)))
    )
