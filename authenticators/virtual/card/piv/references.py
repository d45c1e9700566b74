"""PIN and PUK (SP 800-73-4, part 2, sections 3.2.1 to 3.2.3, and setting the number of tries)."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord
from authenticators.virtual.state import DEFAULT_PIV_PIN, DEFAULT_PIV_PUK, PivState

if TYPE_CHECKING:
    from authenticators.virtual.card.piv.session import PivSession

PIN: Final = 0x80
PUK: Final = 0x81
LENGTH: Final = 8
SHORTEST: Final = 6
PADDING: Final = b"\xff"
UNVERIFY: Final = 0xFF
MOST_REPORTED: Final = 15


def verify(session: PivSession, apdu: Apdu) -> bytes:
    """Check the PIN, or without data say how many tries are left."""
    if apdu.p2 != PIN:
        raise StatusError(StatusWord.REFERENCE_NOT_FOUND)
    if apdu.p1 == UNVERIFY:
        session.pin_verified = session.pin_fresh = False
    elif apdu.data:
        check(session, PIN, apdu.data)
        session.pin_verified = session.pin_fresh = True
    elif not session.pin_verified:
        raise _tries_left(session.state, PIN)
    return b""


def change(session: PivSession, apdu: Apdu) -> bytes:
    """Change PIN or PUK, knowing the old one (8 bytes each)."""
    if apdu.p2 not in {PIN, PUK}:
        raise StatusError(StatusWord.REFERENCE_NOT_FOUND)
    old, new = _halves(apdu.data)
    check(session, apdu.p2, old)
    _store(session, apdu.p2, new)
    return b""


def unblock(session: PivSession, apdu: Apdu) -> bytes:
    """Set a new PIN, knowing the PUK."""
    if apdu.p2 != PIN:
        raise StatusError(StatusWord.REFERENCE_NOT_FOUND)
    puk, new = _halves(apdu.data)
    check(session, PUK, puk)
    _store(session, PIN, new)
    return b""


def set_tries(session: PivSession, apdu: Apdu) -> bytes:
    """Set the number of tries of both; this puts both back to their defaults."""
    session.require_management()
    if not session.pin_verified:
        raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)
    if not apdu.p1 or not apdu.p2:
        raise StatusError(StatusWord.WRONG_P1P2)
    session.keep(
        replace(
            session.state,
            pin=DEFAULT_PIV_PIN,
            puk=DEFAULT_PIV_PUK,
            pin_tries=apdu.p1,
            pin_left=apdu.p1,
            puk_tries=apdu.p2,
            puk_left=apdu.p2,
        )
    )
    return b""


def check(session: PivSession, which: int, given: bytes) -> None:
    """Compare and count; the try is spent before the comparison. Raises `StatusError`."""
    state = session.state
    left = state.pin_left if which == PIN else state.puk_left
    if len(given) != LENGTH:
        raise StatusError(StatusWord.WRONG_DATA)
    if left == 0:
        raise StatusError(StatusWord.AUTH_BLOCKED)
    session.keep(_with_left(state, which, left - 1))
    stored = state.pin if which == PIN else state.puk
    if not hmac.compare_digest(stored.ljust(LENGTH, PADDING), given):
        if which == PIN:
            session.pin_verified = session.pin_fresh = False
        raise _tries_left(session.state, which)
    session.keep(_with_left(state, which, state.pin_tries if which == PIN else state.puk_tries))


def _tries_left(state: PivState, which: int) -> StatusError:
    left = state.pin_left if which == PIN else state.puk_left
    if left == 0:
        return StatusError(StatusWord.AUTH_BLOCKED)
    return StatusError(StatusWord.VERIFY_FAILED, left=min(left, MOST_REPORTED))


def _with_left(state: PivState, which: int, left: int) -> PivState:
    return replace(state, pin_left=left) if which == PIN else replace(state, puk_left=left)


def _store(session: PivSession, which: int, padded: bytes) -> None:
    value = padded.rstrip(PADDING)
    if len(value) < SHORTEST:
        raise StatusError(StatusWord.WRONG_DATA)
    state = session.state
    if which == PIN:
        session.keep(replace(state, pin=value, pin_left=state.pin_tries))
    else:
        session.keep(replace(state, puk=value, puk_left=state.puk_tries))


def _halves(data: bytes) -> tuple[bytes, bytes]:
    if len(data) != 2 * LENGTH:
        raise StatusError(StatusWord.WRONG_LENGTH)
    return data[:LENGTH], data[LENGTH:]
