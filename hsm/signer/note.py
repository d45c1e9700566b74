"""Checkpoints of the audit log (C2SP tlog-checkpoint) as signed notes (C2SP signed-note)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.encoding import public_key
from hsm.errors import Malformed, Unsupported
from hsm.provider import Algorithm

_ORIGIN = re.compile(r"[!-*,-~]{1,120}")  # printable, without space and plus: it is also the key's name
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
PREFERENCE = (Algorithm.ED25519, Algorithm.P256, Algorithm.P384)
"""The algorithms an audit key can have, the best first."""
ROOT_SIZE = 32
MAX_NOTE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a log: its origin, how many leaves it has, its root hash (32 bytes)."""

    origin: str
    size: int
    root: bytes


def parse(note: str) -> Checkpoint:
    """Read the text of a checkpoint: three lines, then extension lines; raises `Malformed`."""
    lines = note.split("\n")
    if len(note) > MAX_NOTE or len(lines) < 4 or lines.pop() or not all(lines):  # noqa: PLR2004  # 3 lines, each ended
        raise Malformed("a checkpoint is three or more lines, none empty, each ended")
    if not all(line.isprintable() for line in lines):
        raise Malformed("a control character in a checkpoint")
    origin, size, root = lines[:3]
    if not _ORIGIN.fullmatch(origin) or not _SIZE.fullmatch(size):
        raise Malformed("origin or size of the checkpoint is not one")
    return Checkpoint(origin=origin, size=int(size), root=_root(root))


def _root(text: str) -> bytes:
    try:
        root = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("the root hash is not base64") from error
    if len(root) != ROOT_SIZE:
        raise Malformed(f"a root hash has {ROOT_SIZE} bytes")
    return root


def key_id(name: str, blob: bytes) -> bytes:
    """Return the four bytes that name a key in a signature line; Ed25519 or ECDSA."""
    key = public_key.load(blob)
    match public_key.algorithm_of(blob):
        case Algorithm.ED25519:
            raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
            return hashlib.sha256(name.encode() + b"\n\x01" + raw).digest()[:4]
        case Algorithm.P256 | Algorithm.P384:
            return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()[
                :4
            ]
        case _:
            raise Unsupported("notes are signed with Ed25519 or ECDSA keys")


def sign_line(name: str, blob: bytes, signature: bytes) -> str:
    """Return the signature line; `signature` is raw for Ed25519, DER for ECDSA."""
    return f"— {name} {base64.b64encode(key_id(name, blob) + signature).decode()}\n"


def verifier_key(name: str, blob: bytes) -> str:
    """Return the key as a verifier's configuration wants it: `name+hash+base64(type ‖ key)`."""
    key = public_key.load(blob)
    if public_key.algorithm_of(blob) is Algorithm.ED25519:
        material = b"\x01" + key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        material = b"\x02" + key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{name}+{key_id(name, blob).hex()}+{base64.b64encode(material).decode()}"
