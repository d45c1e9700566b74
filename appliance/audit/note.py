"""Signed notes: text, a blank line, signatures (C2SP signed-note), Ed25519 only. Pure.

A note can be checked by anybody's tool: `— name base64(key id || signature)`. The verifier key is
written `name+key id+base64(0x01 || public key)`, as Go's sumdb tools take it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.audit.errors import NoteInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

ED25519 = b"\x01"
KEY_SIZE = 32
SIGNATURE_SIZE = 64
ID_SIZE = 4
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 64
DASH = "\u2014"


class NoteSigner(Protocol):
    """Holds the audit key; in the product this asks the signer process."""

    def sign(self, text: bytes) -> bytes:
        """Return the 64 byte Ed25519 signature (RFC 8032) over the text of a note."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key with its name, e.g. `bastion.example.com/audit`."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or "+" in self.name or len(self.name.split()) != 1:
            raise NoteInvalid(f"a key name has neither spaces nor a plus: {self.name[:80]!r}")
        if len(self.public) != KEY_SIZE:
            raise NoteInvalid(f"an Ed25519 public key has {KEY_SIZE} bytes, not {len(self.public)}")

    @property
    def id(self) -> bytes:
        """The first four bytes of the hash over name, type and key."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:ID_SIZE]

    @property
    def text(self) -> str:
        """The verifier key in its usual form."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Return the key that `text` writes; raises `NoteInvalid`."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        material = _decode(encoded, "a verifier key")
        if material[:1] != ED25519:
            raise NoteInvalid("the verifier key is not an Ed25519 key")
        key = cls(name, material[1:])
        if key.id.hex() != key_id:
            raise NoteInvalid("the id of the verifier key does not belong to it")
        return key

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Return whether the signature over the text is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


def sign_note(text: str, key: NoteKey, signer: NoteSigner) -> str:
    """Return the signed note; raises `NoteInvalid` if what the signer gave is not a signature by `key`."""
    _check_text(text)
    signature = signer.sign(text.encode())
    if not key.verifies(text.encode(), signature):
        raise NoteInvalid(f"the signer did not return a signature by {key.name}")
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
