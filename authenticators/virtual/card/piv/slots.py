"""Key slots: generate, import, move, use and attest."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from authenticators.virtual.attestation import PivStatement, piv_attestation
from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord, parse_tlv_map, tlv
from authenticators.virtual.card.piv import algorithms
from authenticators.virtual.card.piv.session import required
from authenticators.virtual.state import PivKey

if TYPE_CHECKING:
    from authenticators.virtual.card.piv.session import PivSession
    from authenticators.virtual.interaction import Steps

ATTESTATION: Final = 0xF9
SLOTS: Final = frozenset({0x9A, 0x9C, 0x9D, 0x9E, *range(0x82, 0x96)})
CACHE_SECONDS: Final = 15.0
DELETE: Final = 0xFF
TEMPLATE, RESPONSE, CHALLENGE, EXPONENTIATION = 0x7C, 0x82, 0x81, 0x85
CONTROL, ALGORITHM, PIN_POLICY, TOUCH_POLICY, PUBLIC_KEY = 0xAC, 0x80, 0xAA, 0xAB, 0x7F49


class PinPolicy(IntEnum):
    """When a key wants the PIN."""

    NEVER = 1
    ONCE = 2
    ALWAYS = 3


class TouchPolicy(IntEnum):
    """When a key wants a touch; CACHED: not again within 15 s."""

    NEVER = 1
    ALWAYS = 2
    CACHED = 3


_DEFAULT_PIN: Final = {0x9C: PinPolicy.ALWAYS, 0x9E: PinPolicy.NEVER}


def generate(session: PivSession, apdu: Apdu) -> bytes:
    """Make a key in a slot and return its public part."""
    session.require_management()
    fields = parse_tlv_map(required(parse_tlv_map(apdu.data), CONTROL))
    number = int.from_bytes(required(fields, ALGORITHM), "big")
    algorithm = algorithms.algorithm_numbered(number, session.key.profile.firmware)
    made = algorithms.generate(algorithm, session.key.entropy)
    _store(session, _entry(apdu.p2, algorithm, made, fields, generated=True))
    return tlv(PUBLIC_KEY, algorithms.public_template(made))


def import_key(session: PivSession, apdu: Apdu) -> bytes:
    """Put a key that was made elsewhere into a slot."""
    session.require_management()
    algorithm = algorithms.algorithm_numbered(apdu.p1, session.key.profile.firmware)
    fields = parse_tlv_map(apdu.data)
    key = algorithms.imported(algorithm, fields)
    _store(session, _entry(apdu.p2, algorithm, key, fields, generated=False))
    return b""


def move(session: PivSession, apdu: Apdu) -> bytes:
    """Move a key from slot P2 to slot P1, or delete it when P1 is FF (firmware 5.7)."""
    session.require_management()
    if session.key.profile.firmware < (5, 7, 0):
        raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
    entry = find(session, apdu.p2)
    others = tuple(kept for kept in session.state.keys if kept.slot not in {apdu.p1, apdu.p2})
    if apdu.p1 == DELETE:
        session.keep(replace(session.state, keys=others))
    elif apdu.p1 in SLOTS:
        session.keep(replace(session.state, keys=(*others, replace(entry, slot=apdu.p1))))
    else:
        raise StatusError(StatusWord.WRONG_P1P2)
    return b""


def use(session: PivSession, apdu: Apdu) -> Steps[bytes]:
    """Sign, decrypt or agree with the key of a slot, as its policies allow."""
    entry = find(session, apdu.p2)
    if entry.algorithm != apdu.p1:
        raise StatusError(StatusWord.WRONG_DATA)
    fields = parse_tlv_map(required(parse_tlv_map(apdu.data), TEMPLATE))
    yield from session.key.begin_operation()
    _require_pin(session, entry)
    yield from _require_touch(session, entry)
    key = algorithms.restored(entry.private_key)
    if EXPONENTIATION in fields:
        result = algorithms.agree(key, fields[EXPONENTIATION])
    else:
        signature = algorithms.use(key, algorithms.Algorithm(entry.algorithm), required(fields, CHALLENGE))
        result = session.key.spoil(signature)
    return tlv(TEMPLATE, tlv(RESPONSE, result))


def attest(session: PivSession, apdu: Apdu) -> bytes:
    """Return the certificate that says the key of slot P1 was made here."""
    entry = find(session, apdu.p1)
    if not entry.generated:
        raise StatusError(StatusWord.WRONG_DATA)
    statement = PivStatement(
        slot=entry.slot,
        firmware=session.key.profile.firmware,
        serial=session.key.state.serial,
        pin_policy=entry.pin_policy,
        touch_policy=entry.touch_policy,
    )
    return piv_attestation(statement, algorithms.restored(entry.private_key).public_key())


def find(session: PivSession, slot: int) -> PivKey:
    """Return the key of a slot; raises `StatusError` when it is empty."""
    for entry in session.state.keys:
        if entry.slot == slot:
            return entry
    raise StatusError(StatusWord.REFERENCE_NOT_FOUND)


def _entry(
    slot: int,
    algorithm: algorithms.Algorithm,
    key: algorithms.PivPrivateKey,
    fields: dict[int, bytes],
    *,
    generated: bool,
) -> PivKey:
    if slot not in SLOTS:
        raise StatusError(StatusWord.WRONG_P1P2)
    pin, touch = fields.get(PIN_POLICY, b"\0"), fields.get(TOUCH_POLICY, b"\0")
    return PivKey(
        slot=slot,
        algorithm=algorithm,
        private_key=algorithms.stored(key),
        pin_policy=int.from_bytes(pin, "big") or _DEFAULT_PIN.get(slot, PinPolicy.ONCE),
        touch_policy=int.from_bytes(touch, "big") or TouchPolicy.NEVER,
        generated=generated,
    )


def _store(session: PivSession, entry: PivKey) -> None:
    if entry.pin_policy not in set(PinPolicy) or entry.touch_policy not in set(TouchPolicy):
        raise StatusError(StatusWord.WRONG_DATA)
    others = tuple(kept for kept in session.state.keys if kept.slot != entry.slot)
    session.keep(replace(session.state, keys=(*others, entry)))


def _require_pin(session: PivSession, entry: PivKey) -> None:
    fresh, session.pin_fresh = session.pin_fresh, False
    satisfied = {
        PinPolicy.NEVER: True,
        PinPolicy.ONCE: session.pin_verified,
        PinPolicy.ALWAYS: fresh,
    }
    if not satisfied[PinPolicy(entry.pin_policy)]:
        raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)


def _require_touch(session: PivSession, entry: PivKey) -> Steps[None]:
    touched = session.touched_at
    cached = touched is not None and session.key.clock() - touched < CACHE_SECONDS
    if entry.touch_policy == TouchPolicy.ALWAYS or (entry.touch_policy == TouchPolicy.CACHED and not cached):
        yield from session.require_touch()
