"""The management key: proved by GENERAL AUTHENTICATE on reference 9B, in either of its two manners."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord, parse_tlv_map, tlv
from authenticators.virtual.card.piv.session import required
from authenticators.virtual.state import TRIPLE_DES, PivState

if TYPE_CHECKING:
    from authenticators.virtual.card.piv.session import PivSession
    from authenticators.virtual.interaction import Steps

REFERENCE: Final = 0x9B
TEMPLATE, WITNESS, CHALLENGE, RESPONSE = 0x7C, 0x80, 0x81, 0x82
TOUCH: Final = 0xFE
KEY_LENGTHS: Final = {TRIPLE_DES: 24, 0x08: 16, 0x0A: 24, 0x0C: 32}


def authenticate(session: PivSession, apdu: Apdu) -> Steps[bytes]:
    """Take one step of the proof: mutual (witness) or of the host alone (challenge)."""
    state = session.state
    if apdu.p1 not in {state.management_algorithm, 0} or (
        apdu.p1 == 0 and state.management_algorithm != TRIPLE_DES
    ):
        raise StatusError(StatusWord.WRONG_DATA)
    fields = parse_tlv_map(required(parse_tlv_map(apdu.data), TEMPLATE))
    expected, session.expected_proof = session.expected_proof, None
    if fields.get(WITNESS) == b"":
        return _witness(session)
    if fields.get(CHALLENGE) == b"":
        return _challenge(session)
    proof = fields.get(WITNESS) or required(fields, RESPONSE)
    if expected is None or not hmac.compare_digest(expected, proof):
        raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)
    if state.management_touch:
        yield from session.require_touch()
    session.managed = True
    if CHALLENGE not in fields:
        return b""
    return tlv(TEMPLATE, tlv(RESPONSE, _encrypt(state, _block(state, fields[CHALLENGE]))))


def change(session: PivSession, apdu: Apdu) -> bytes:
    """Set a new management key: algorithm, tag 9B, key."""
    session.require_management()
    data = apdu.data
    expected = KEY_LENGTHS.get(data[0]) if data else None
    if expected is None or data[1:3] != bytes([REFERENCE, expected]) or len(data) != 3 + expected:
        raise StatusError(StatusWord.WRONG_DATA)
    session.keep(
        replace(
            session.state,
            management_algorithm=data[0],
            management_key=data[3:],
            management_touch=apdu.p2 == TOUCH,
        )
    )
    return b""


def _witness(session: PivSession) -> bytes:
    session.expected_proof = session.key.entropy(_block_length(session.state))
    return tlv(TEMPLATE, tlv(WITNESS, _encrypt(session.state, session.expected_proof)))


def _challenge(session: PivSession) -> bytes:
    challenge = session.key.entropy(_block_length(session.state))
    session.expected_proof = _encrypt(session.state, challenge)
    return tlv(TEMPLATE, tlv(CHALLENGE, challenge))


def _block_length(state: PivState) -> int:
    return 8 if state.management_algorithm == TRIPLE_DES else 16


def _block(state: PivState, data: bytes) -> bytes:
    if len(data) != _block_length(state):
        raise StatusError(StatusWord.WRONG_DATA)
    return data


def _encrypt(state: PivState, block: bytes) -> bytes:
    triple_des = state.management_algorithm == TRIPLE_DES
    algorithm = TripleDES(state.management_key) if triple_des else algorithms.AES(state.management_key)
    return Cipher(algorithm, modes.ECB()).encryptor().update(block)  # noqa: S305 - one block, as SP 800-73-4 has it
