"""Public keys in the one-line form of `.pub` files."""

from __future__ import annotations

import base64
import binascii

from appliance.domain.errors import Invalid
from hsm.encoding import public_key
from hsm.encoding.wire import Reader
from hsm.errors import Malformed

MAX_LINE = 16384
TYPE_AND_KEY = 2


def read_line(text: str, what: str) -> bytes:
    """Return the SSH blob of `type base64 [comment]`.

    Raises `Invalid` for anything but a sound public key.
    """
    parts = text.strip().split(maxsplit=2)
    expected = f"{what}: expected one line such as 'ssh-ed25519 AAAA…', as in a .pub file"
    if len(text) > MAX_LINE or len(parts) < TYPE_AND_KEY or "\n" in text.strip():
        raise Invalid(expected)
    try:
        blob = base64.b64decode(parts[1], validate=True)
        kind = Reader(blob).text()
        public_key.check_subject(blob)
    except binascii.Error as error:
        raise Invalid(expected) from error
    except Malformed as error:
        raise Invalid(f"{what}: {error}") from error
    if kind != parts[0]:
        raise Invalid(f"{what}: the line says {parts[0]!r}, the key is {kind!r}")
    return blob
