"""base64url, JSON and CBOR read strictly: one meaning for each byte string, or a refusal.

Lenient readers let two programs see two things in one message: a padded challenge, the last of two equal
keys, a CBOR string that ends early. python-fido2 is lenient in all of these, so its decoders run only after
these checks.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from authenticators.errors import WebAuthnError, WebAuthnErrorCode

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_DEEPEST_CBOR: Final = 8
_CBOR_FALSE_TRUE: Final = (20, 21)
_CBOR_LENGTH_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_CBOR_IN_PLACE: Final = 24
_CBOR_TEXT: Final = 3


def encode_base64url(data: bytes) -> str:
    """Return base64url without padding (RFC 4648 §5), WebAuthn's Base64URLString."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: object) -> bytes:
    """Return the bytes of an unpadded base64url string; raises PADDED_BASE64 or BAD_BASE64.

    Only the one canonical spelling is read: no padding, no white space, no stray bits in the last character.
    """
    if not isinstance(text, str):
        raise WebAuthnError(WebAuthnErrorCode.BAD_BASE64)
    if text.endswith("="):
        raise WebAuthnError(WebAuthnErrorCode.PADDED_BASE64)
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise WebAuthnError(WebAuthnErrorCode.BAD_BASE64)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise WebAuthnError(WebAuthnErrorCode.BAD_BASE64)
    return data


def decode_json(data: bytes, malformed: WebAuthnErrorCode) -> dict[str, Any]:
    """Return the JSON object in UTF-8 `data`; raises BYTE_ORDER_MARK, DUPLICATE_KEY, or `malformed`."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise WebAuthnError(WebAuthnErrorCode.BYTE_ORDER_MARK)
    try:
        value = json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise WebAuthnError(malformed) from error
    if not isinstance(value, dict):
        raise WebAuthnError(malformed)
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise WebAuthnError(WebAuthnErrorCode.DUPLICATE_KEY)
    return members


def _no_constants(name: str) -> Any:
    message = f"{name} is no JSON"
    raise ValueError(message)


def check_cbor(data: bytes) -> None:
    """Refuse anything but one well-formed CBOR item and nothing after it; raises MALFORMED_CBOR."""
    if end_of_cbor(data, 0) != len(data):
        raise _malformed_cbor()


def end_of_cbor(data: bytes, start: int, depth: int = 0) -> int:
    """Return the offset after the CBOR item at `start`; raises MALFORMED_CBOR.

    Read is what CTAP2 canonical CBOR has: integers, strings, arrays, maps of integer and string keys
    without equal ones, false and true, all of definite length, at most 8 deep (CTAP 2.1 §8 allows 4). Key
    order and shortest form are not demanded, as browsers and platforms re-encode.
    """
    if depth > _DEEPEST_CBOR:
        raise _malformed_cbor()
    major, value, offset = _cbor_head(data, start)
    match major:
        case 0 | 1:
            return offset
        case 2 | 3:
            return _end_of_string(data, offset, value, text=major == _CBOR_TEXT)
        case 4:
            return _end_of_array(data, offset, value, depth)
        case 5:
            return _end_of_map(data, offset, value, depth)
        case 7 if value in _CBOR_FALSE_TRUE and offset == start + 1:
            return offset
    raise _malformed_cbor()


def _cbor_head(data: bytes, start: int) -> tuple[int, int, int]:
    if start >= len(data):
        raise _malformed_cbor()
    major, info = data[start] >> 5, data[start] & 0x1F
    if info < _CBOR_IN_PLACE:
        return major, info, start + 1
    end = start + 1 + _CBOR_LENGTH_BYTES.get(info, len(data))
    if end > len(data):
        raise _malformed_cbor()
    return major, int.from_bytes(data[start + 1 : end], "big"), end


def _end_of_string(data: bytes, start: int, length: int, *, text: bool) -> int:
    end = start + length
    if end > len(data):
        raise _malformed_cbor()
    if text:
        try:
            data[start:end].decode()
        except UnicodeDecodeError as error:
            raise _malformed_cbor() from error
    return end


def _end_of_array(data: bytes, start: int, length: int, depth: int) -> int:
    offset = start
    for _ in range(length):
        offset = end_of_cbor(data, offset, depth + 1)
    return offset


def _end_of_map(data: bytes, start: int, length: int, depth: int) -> int:
    offset, keys = start, set[bytes]()
    for _ in range(length):
        end_of_key = end_of_cbor(data, offset, depth + 1)
        key = data[offset:end_of_key]
        if key[0] >> 5 > _CBOR_TEXT or key in keys:
            raise _malformed_cbor()
        keys.add(key)
        offset = end_of_cbor(data, end_of_key, depth + 1)
    return offset


def _malformed_cbor() -> WebAuthnError:
    return WebAuthnError(WebAuthnErrorCode.MALFORMED_CBOR)
