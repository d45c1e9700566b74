"""The PIV applet's commands (NIST SP 800-73-4 part 2, and Yubico's extensions) as functions of a card.

No state but the connection's: what the card remembers (selected applet, verified PIN) is the card's.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from hsm import softkey
from hsm.algorithm import Algorithm
from hsm.apdu import (
    SW_BLOCKED,
    SW_NO_REFERENCE,
    SW_NOT_FOUND,
    SW_OK,
    CardRefused,
    Connection,
    command,
    only,
    parse_tlvs,
    tlv,
)
from hsm.encoding.public_key import SigningPublicKey
from hsm.encoding.signature import Signature, digest
from hsm.errors import Malformed, PinLocked, PinRefused, TokenFault, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from hsm.secret import Secret

_PIV = bytes.fromhex("a000000308")
_PIN, _MANAGEMENT = 0x80, 0x9B
_PIN_SIZE = 8
MIN_PIN = 6
PIN_POLICY_ONCE, TOUCH_POLICY_NEVER = 2, 1
ALGORITHMS = {
    Algorithm.ED25519: 0xE0,
    Algorithm.P256: 0x11,
    Algorithm.P384: 0x14,
    Algorithm.RSA3072: 0x05,
    Algorithm.RSA4096: 0x16,
}
_NAMES = {number: algorithm for algorithm, number in ALGORITHMS.items()}
_SINCE_5_7 = frozenset({Algorithm.ED25519, Algorithm.RSA3072, Algorithm.RSA4096})
_SHA512_INFO = bytes.fromhex("3051300d060960864801650304020305000440")  # RFC 8017 §9.2
Version = tuple[int, int, int]


class Slot(IntEnum):
    """The key slots: four with a meaning in the standard, twenty retired ones without."""

    AUTHENTICATION = 0x9A
    SIGNATURE = 0x9C
    KEY_MANAGEMENT = 0x9D
    CARD_AUTHENTICATION = 0x9E
    ATTESTATION = 0xF9


RETIRED = range(0x82, 0x96)
_OBJECTS = {
    Slot.AUTHENTICATION: 0x5FC105,
    Slot.SIGNATURE: 0x5FC10A,
    Slot.KEY_MANAGEMENT: 0x5FC10B,
    Slot.CARD_AUTHENTICATION: 0x5FC101,
    Slot.ATTESTATION: 0x5FFF01,
    **{slot: 0x5FC10D + slot - RETIRED.start for slot in RETIRED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotKey:
    """A key in a slot: its algorithm, its public half, whether the card made it."""

    algorithm: Algorithm
    public_key: SigningPublicKey
    generated: bool


def select(card: Connection) -> None:
    """Select the PIV applet; forgets a verified PIN."""
    command(card, 0xA4, 0x04, 0x00, _PIV)


def version(card: Connection) -> Version:
    """Return the firmware version."""
    major, minor, patch = command(card, 0xFD)
    return major, minor, patch


def serial(card: Connection) -> int:
    """Return the key's serial number (firmware 5 and later)."""
    return int.from_bytes(command(card, 0xF8), "big")


def algorithms(firmware: Version) -> tuple[Algorithm, ...]:
    """Return what a firmware can make; Ed25519 and large RSA came with 5.7."""
    new = firmware >= (5, 7, 0)
    return tuple(algorithm for algorithm in Algorithm if new or algorithm not in _SINCE_5_7)


def pin_tries_left(card: Connection) -> int:
    """Return how many tries the PIN has left, without spending one."""
    try:
        answer = command(card, 0xF7, 0x00, _PIN)
        return only(answer, 0x06)[1]
    except (
        CardRefused
    ):  # before firmware 5.3 there is no metadata; an empty VERIFY tells, if not verified yet
        _, status = card.transmit(bytes((0, 0x20, 0, _PIN)))
        return 15 if status == SW_OK else _tries_of(status)


def _tries_of(status: int) -> int:
    if status == SW_BLOCKED:
        return 0
    if status & 0xFFF0 != 0x63C0:  # noqa: PLR2004  # SP 800-73-4 part 2 §3.2.1: 63CX, X tries left
        raise CardRefused(0x20, status)
    return status & 0x0F


def verify_pin(card: Connection, pin: Secret) -> None:
    """Present the PIN once; stops before the last try. Raises `PinRefused`, `PinLocked`."""
    raw = pin.reveal()
    if not MIN_PIN <= len(raw) <= _PIN_SIZE:
        raise PinRefused("a PIV PIN has six to eight characters; this one was not tried")
    tries = pin_tries_left(card)
    if tries == 0:
        raise PinLocked("the PIV PIN is locked; the PUK unlocks it")
    if tries == 1:
        raise PinRefused("one try is left for the PIN and is kept for a person", tries_left=1)
    try:
        command(card, 0x20, 0x00, _PIN, raw.ljust(_PIN_SIZE, b"\xff"))
    except CardRefused as error:
        left = _tries_of(error.status)
        raise PinRefused("the card refused the PIN", tries_left=left) from None


def authenticate(card: Connection, key: Secret, random: Callable[[int], bytes]) -> None:
    """Prove knowledge of the management key, and have the card prove it too (§3.2.4); AES only."""
    number = only(command(card, 0xF7, 0x00, _MANAGEMENT), 0x01)[0]
    if number not in {0x08, 0x0A, 0x0C}:
        raise Unsupported("the management key is 3DES; change it to AES first (ykman piv access)")
    cipher = Cipher(_aes(key), modes.ECB())  # noqa: S305  # one random block each, as the standard says
    witness = only(only(command(card, 0x87, number, _MANAGEMENT, tlv(0x7C, tlv(0x80, b""))), 0x7C), 0x80)
    challenge = random(len(witness))
    decryptor, encryptor = cipher.decryptor(), cipher.encryptor()
    proof = tlv(0x80, decryptor.update(witness)) + tlv(0x81, challenge)
    try:
        answer = command(card, 0x87, number, _MANAGEMENT, tlv(0x7C, proof))
    except CardRefused as error:
        raise PinRefused("the card refused the management key") from error
    if not hmac.compare_digest(only(only(answer, 0x7C), 0x82), encryptor.update(challenge)):
        raise TokenFault("the card does not know its own management key")


def _aes(key: Secret) -> AES:
    try:
        return AES(key.reveal())
    except ValueError as error:
        raise Malformed("an AES management key has 16, 24 or 32 bytes") from error


def slot_key(card: Connection, slot: int) -> SlotKey | None:
    """Return the key in a slot, or None for an empty one (firmware 5.3 and later)."""
    try:
        found = parse_tlvs(command(card, 0xF7, 0x00, slot))
    except CardRefused as error:
        if error.status == SW_NO_REFERENCE:
            return None
        raise
    number = found[0x01][0]
    if number not in _NAMES:
        raise Unsupported(f"slot {slot:02x} holds a key of a kind that is not used here")
    key = _public_key(_NAMES[number], found[0x04])
    return SlotKey(algorithm=_NAMES[number], public_key=key, generated=found.get(0x03) == b"\x01")


def generate(card: Connection, slot: int, algorithm: Algorithm) -> SigningPublicKey:
    """Make a key in a slot (replacing what is there: look first). PIN once, no touch."""
    wanted = (
        tlv(0x80, bytes((ALGORITHMS[algorithm],)))
        + tlv(0xAA, bytes((PIN_POLICY_ONCE,)))
        + tlv(0xAB, bytes((TOUCH_POLICY_NEVER,)))
    )
    return _public_key(algorithm, only(command(card, 0x47, 0x00, slot, tlv(0xAC, wanted)), 0x7F49))


def _public_key(algorithm: Algorithm, template: bytes) -> SigningPublicKey:
    found = parse_tlvs(template)
    try:
        if algorithm.is_rsa:
            exponent, modulus = (int.from_bytes(found[tag], "big") for tag in (0x82, 0x81))
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        if algorithm is Algorithm.ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(found[0x86])
        curve = ec.SECP256R1() if algorithm is Algorithm.P256 else ec.SECP384R1()
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, found[0x86])
    except (KeyError, ValueError) as error:
        raise TokenFault("the card gave a public key that cannot be one") from error


def sign(card: Connection, slot: int, algorithm: Algorithm, message: bytes) -> Signature:
    """Sign with the key in a slot; the hash, and the padding for RSA, are made here."""
    template = tlv(0x7C, tlv(0x82, b"") + tlv(0x81, _input(algorithm, message)))
    made = only(only(command(card, 0x87, ALGORITHMS[algorithm], slot, template), 0x7C), 0x82)
    try:
        return softkey.from_der(algorithm, made) if algorithm.is_ecdsa else Signature(algorithm, made)
    except (ValueError, OverflowError) as error:
        raise TokenFault("the card's signature cannot be one") from error


def _input(algorithm: Algorithm, message: bytes) -> bytes:
    if algorithm is Algorithm.ED25519:
        return message
    hashed = digest(algorithm, message)
    if not algorithm.is_rsa:
        return hashed
    block = _SHA512_INFO + hashed
    return b"\x00\x01" + b"\xff" * (algorithm.bits // 8 - len(block) - 3) + b"\x00" + block


def attest(card: Connection, slot: int) -> bytes:
    """Return the certificate (DER) with which the card says that it made the slot's key."""
    return command(card, 0xF9, slot)


def read_certificate(card: Connection, slot: int) -> bytes | None:
    """Return the certificate (DER) stored beside a slot, or None."""
    try:
        answer = command(card, 0xCB, 0x3F, 0xFF, tlv(0x5C, _object(slot)))
    except CardRefused as error:
        if error.status == SW_NOT_FOUND:
            return None
        raise
    content = parse_tlvs(only(answer, 0x53))
    if content.get(0x71, b"\x00") != b"\x00":
        return None  # compressed: not one of ours
    return content.get(0x70)


def write_certificate(card: Connection, slot: int, der: bytes | None) -> None:
    """Store a certificate beside a slot, or take it away."""
    content = b"" if der is None else tlv(0x70, der) + tlv(0x71, b"\x00") + tlv(0xFE, b"")
    command(card, 0xDB, 0x3F, 0xFF, tlv(0x5C, _object(slot)) + tlv(0x53, content))


def delete_key(card: Connection, slot: int) -> None:
    """Destroy the key in a slot (firmware 5.7 and later)."""
    command(card, 0xF6, 0xFF, slot)


def _object(slot: int) -> bytes:
    return _OBJECTS[slot].to_bytes(3, "big")
