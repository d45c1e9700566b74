"""Signed notes: text, a blank line, signatures (C2SP signed-note). Pure.

A note can be checked by anybody's tool: `— name base64(key id || signature)`. The verifier key is
written `name+key id+base64(type || public key)`, as Go's sumdb tools take it. Ed25519 is the rule;
ECDSA on P-256 is for tokens that have no Edwards curve.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, assert_never

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from appliance.audit.errors import NoteInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_SIZE = 4
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 64
DASH = "\u2014"


class NoteAlgorithm(IntEnum):
    """The type byte of a key (C2SP signed-note, signature types)."""

    ED25519 = 1
    ECDSA = 2


class NoteSigner(Protocol):
    """Holds the audit key; in the product this asks the signer process."""

    def sign_note(self, text: str) -> str:
        """Return the signed note over the text, which ends in a line feed."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key with its name, e.g. `bastion.example.com/audit`.

    `public` is the 32 byte key of RFC 8032 for Ed25519, a DER SubjectPublicKeyInfo for ECDSA.
    """

    name: str
    public: bytes
    algorithm: NoteAlgorithm = NoteAlgorithm.ED25519

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or "+" in self.name or len(self.name.split()) != 1:
            raise NoteInvalid(f"a key name has neither spaces nor a plus: {self.name[:80]!r}")
        self._load()

    @property
    def id(self) -> bytes:
        """The four bytes that stand for the key in a signature line."""
        match self.algorithm:
            case NoteAlgorithm.ED25519:
                hashed = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
            case NoteAlgorithm.ECDSA:
                hashed = self.public
            case _:
                assert_never(self.algorithm)
        return hashlib.sha256(hashed).digest()[:ID_SIZE]

    @property
    def text(self) -> str:
        """The verifier key in its usual form."""
        material = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Return the key that `text` writes; raises `NoteInvalid`."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        material = _decode(encoded, "a verifier key")
        if material[:1] not in {bytes([algorithm]) for algorithm in NoteAlgorithm}:
            raise NoteInvalid("the verifier key is neither an Ed25519 nor an ECDSA key")
        key = cls(name, material[1:], NoteAlgorithm(material[0]))
        if key.id.hex() != key_id:
            raise NoteInvalid("the id of the verifier key does not belong to it")
        return key

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Return whether the signature over the text is this key's."""
        key = self._load()
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, text)
            else:
                key.verify(signature, text, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def _load(self) -> Ed25519PublicKey | EllipticCurvePublicKey:
        try:
            match self.algorithm:
                case NoteAlgorithm.ED25519:
                    return Ed25519PublicKey.from_public_bytes(self.public)
                case NoteAlgorithm.ECDSA:
                    return _p256(self.public)
                case _:
                    assert_never(self.algorithm)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise NoteInvalid(f"the public key of {self.name} can't be read") from error


def _p256(spki: bytes) -> EllipticCurvePublicKey:
    key = load_der_public_key(spki)
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise NoteInvalid("an ECDSA key of a note is on the curve P-256")
    return key


def signed_note(text: str, key: NoteKey, signature: bytes) -> str:
    """Return the note of a text and its signature: 64 bytes for Ed25519, DER for ECDSA."""
    _check_text(text)
    if not key.verifies(text.encode(), signature):
        raise NoteInvalid(f"this is not a signature by {key.name}")
    return f"{text}\n{DASH} {key.name} {base64.b64encode(key.id + signature).decode()}\n"


def open_note(note: str, keys: Sequence[NoteKey]) -> str:
    """Return the text of a note that at least one of the keys has signed; raises `NoteInvalid`.

    Signatures by other keys are ignored; a wrong one by a known key spoils the note.
    """
    text, signatures = _parse(note)
    known = {(key.name, key.id): key for key in keys}
    signed = False
    for name, blob in signatures:
        key = known.get((name, blob[:ID_SIZE]))
        if key is None:
            continue
        if not key.verifies(text.encode(), blob[ID_SIZE:]):
            raise NoteInvalid(f"the signature by {name} is wrong")
        signed = True
    if not signed:
        raise NoteInvalid("no known key has signed this note")
    return text


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(ord(character) < ord(" ") and character != "\n" for character in text):
        raise NoteInvalid("the text of a note ends in a line feed and has no other control characters")


def _parse(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > MAX_NOTE:
        raise NoteInvalid("this note is too long")
    head, separator, tail = note.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteInvalid("a note is a text, a blank line, and signatures")
    text = head + "\n"
    _check_text(text)
    _check_text(tail)
    lines = tail.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid("this note has too many signatures")
    return text, [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != DASH or not parts[1] or "+" in parts[1]:  # noqa: PLR2004 - dash, name, blob
        raise NoteInvalid("a signature line is a dash, a name and base64 text")
    blob = _decode(parts[2], "a signature")
    if len(blob) <= ID_SIZE:
        raise NoteInvalid("a signature is longer than its key id")
    return parts[1], blob


def _decode(text: str, what: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid(f"{what} is base64 text") from error
    if base64.b64encode(found).decode() != text:
        raise NoteInvalid(f"{what} is base64 text in its one canonical form")
    return found
