"""Frozen dataclasses to JSON values and back, strictly.

What a value may be: str, int, float, bool, None, bytes (base64), datetime (RFC 3339, UTC),
timedelta (seconds), StrEnum, Flag (its bits as a number), tuple, frozenset, dict with string keys,
Secret-like text is plain str,
dataclasses, and closed unions of dataclasses (told apart by `"is": <class name>`).

Decoding refuses what it does not expect and names the place (`$.devices[2].name`). From a newer
peer, unknown keys may be ignored (`lenient=True`); in anything that decides, they are errors.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Flag, StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from appliance.domain.errors import Invalid

T = TypeVar("T")
JSON = str | int | float | bool | None | list["JSON"] | dict[str, "JSON"]
TAG = "is"
_SURROGATES = ("\\ud", "\\uD")
"""How escaped halves of surrogate pairs begin; a text without them is not looked at twice."""
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)


def encode(value: object) -> JSON:  # noqa: C901 - a table, one case a kind of value
    """Return the JSON value of a frozen value."""
    match value:
        case None | bool() | int() | float():
            return value
        case Flag():
            return int(value.value)
        case StrEnum() | str():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(key): encode(item) for key, item in value.items()}
        case frozenset() | set():
            return [encode(item) for item in sorted(value)]
        case tuple() | list():
            return [encode(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _encode_dataclass(value)
    raise Invalid(f"a value of type {type(value).__name__} can't be written as JSON")


def _encode_dataclass(value: Any) -> dict[str, JSON]:
    kind: type = type(value)
    out: dict[str, JSON] = {TAG: kind.__name__} if getattr(kind, "__tagged__", False) else {}
    out.update((field.name, encode(getattr(value, field.name))) for field in fields(value))
    return out


def tagged(kind: type[T]) -> type[T]:
    """Mark a dataclass as a member of a closed union: its class name goes on the wire as `is`."""
    kind.__tagged__ = True  # type: ignore[attr-defined]
    return kind


def decode(kind: Any, value: JSON, *, at: str = "$", lenient: bool = False) -> Any:
    """Return the value of type `kind`; raises `Invalid` with the place and what was expected."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), value, at, lenient)
    if origin in (tuple, frozenset, list):
        return _decode_sequence(kind, origin, value, at, lenient)
    if origin in (dict, Mapping):
        return _decode_mapping(get_args(kind)[1], value, at, lenient)
    if is_dataclass(kind):
        return _decode_dataclass(kind, value, at, lenient)
    return _decode_plain(kind, value, at)


def _refuse(at: str, expected: str, value: JSON) -> Invalid:
    return Invalid(f"{at}: expected {expected}, not {type(value).__name__}")


def _decode_plain(kind: Any, value: JSON, at: str) -> object:
    kind = getattr(kind, "__supertype__", kind)
    if kind is type(None):
        return _exactly(value is None, None, at, "null", value)
    if kind is float:
        return _decode_float(value, at)
    if kind in (str, int, bool):
        return _exactly(type(value) is kind, value, at, kind.__name__, value)
    if kind is bytes:
        return _decode_bytes(value, at)
    if kind is datetime:
        return _decode_datetime(value, at)
    if kind is timedelta:
        return _decode_timedelta(value, at)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _decode_enum(kind, value, at)
    if isinstance(kind, type) and issubclass(kind, Flag):
        return _decode_flag(kind, value, at)
    raise Invalid(f"{at}: no value of type {kind} can be read")


def _exactly(ok: bool, result: Any, at: str, expected: str, value: JSON) -> Any:
    if not ok:
        raise _refuse(at, expected, value)
    return result


def _decode_enum(kind: type[StrEnum], value: JSON, at: str) -> StrEnum:
    members = [str(member) for member in kind]
    if value not in members:
        raise Invalid(f"{at}: expected one of {', '.join(members)}")
    return kind(str(value))


def _decode_flag(kind: type[Flag], value: JSON, at: str) -> Flag:
    try:
        return kind(_exactly(type(value) is int, value, at, "a number", value))
    except ValueError as error:
        raise Invalid(f"{at}: expected the bits of {kind.__name__}") from error


def _decode_float(value: JSON, at: str) -> float:
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    number = _exactly(ok, value, at, "a number", value)
    try:
        return float(number)
    except OverflowError as error:
        raise Invalid(f"{at}: expected a number that is not so large") from error


def _decode_timedelta(value: JSON, at: str) -> timedelta:
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return timedelta(seconds=_exactly(ok, value, at, "seconds", value))
    except OverflowError as error:
        raise Invalid(f"{at}: expected seconds, not so many") from error


def _decode_bytes(value: JSON, at: str) -> bytes:
    text = _exactly(isinstance(value, str), value, at, "base64 text", value)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"{at}: expected base64 text") from error


def _decode_datetime(value: JSON, at: str) -> datetime:
    text = _exactly(isinstance(value, str), value, at, "an RFC 3339 time", value)
    if _RFC_3339.fullmatch(text) is None:
        raise Invalid(f"{at}: expected an RFC 3339 time with its zone, as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{at}: expected an RFC 3339 time") from error


def _decode_sequence(kind: Any, origin: Any, value: JSON, at: str, lenient: bool) -> object:
    if not isinstance(value, list):
        raise _refuse(at, "a list", value)
    args = get_args(kind)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):  # noqa: PLR2004 - tuple[X, ...]
        if len(args) != len(value):
            raise Invalid(f"{at}: expected {len(args)} items, not {len(value)}")
        return tuple(
            decode(arg, item, at=f"{at}[{i}]", lenient=lenient)
            for i, (arg, item) in enumerate(zip(args, value, strict=True))
        )
    return origin(decode(args[0], item, at=f"{at}[{i}]", lenient=lenient) for i, item in enumerate(value))


def _decode_mapping(kind: Any, value: JSON, at: str, lenient: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refuse(at, "an object", value)
    return {key: decode(kind, item, at=f"{at}.{key}", lenient=lenient) for key, item in value.items()}


def _decode_union(kinds: tuple[Any, ...], value: JSON, at: str, lenient: bool) -> Any:
    if value is None and type(None) in kinds:
        return None
    rest: list[Any] = [kind for kind in kinds if kind is not type(None)]
    if len(rest) == 1:
        return decode(rest[0], value, at=at, lenient=lenient)
    classes: dict[str, Any] = {getattr(kind, "__name__", ""): kind for kind in rest if is_dataclass(kind)}
    if isinstance(value, dict) and classes:
        name = value.get(TAG)
        if not isinstance(name, str) or name not in classes:
            raise Invalid(f"{at}.{TAG}: expected one of {', '.join(classes)}")
        return decode(classes[name], value, at=at, lenient=lenient)
    for kind in rest:
        if not is_dataclass(kind) and type(value) is kind:
            return value
    raise _refuse(at, " or ".join(getattr(kind, "__name__", str(kind)) for kind in rest), value)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode_dataclass(kind: Any, value: JSON, at: str, lenient: bool) -> Any:
    if not isinstance(value, dict):
        raise _refuse(at, f"a {kind.__name__} object", value)
    hints, known = _hints(kind), {field.name: field for field in fields(kind)}
    tags = {TAG} if getattr(kind, "__tagged__", False) else set()
    if tags and value.get(TAG, kind.__name__) != kind.__name__:
        raise Invalid(f"{at}.{TAG}: expected {kind.__name__}")
    if not lenient and (unknown := sorted(set(value) - set(known) - tags)):
        raise Invalid(f"{at}.{unknown[0]}: unknown field of {kind.__name__}")
    given: dict[str, Any] = {}
    for name, field in known.items():
        if name in value:
            given[name] = decode(hints[name], value[name], at=f"{at}.{name}", lenient=lenient)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise Invalid(f"{at}.{name}: missing field of {kind.__name__}")
    return kind(**given)


def dumps(value: object) -> bytes:
    """Return compact UTF-8 JSON of a frozen value, keys sorted."""
    return json.dumps(encode(value), separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def loads(kind: Any, data: bytes | str, *, lenient: bool = False) -> Any:
    """Parse JSON into a value of type `kind`; duplicate keys and NaN are errors (threat W13)."""
    return decode(kind, parse_json(data), lenient=lenient)


def parse_json(data: bytes | str) -> JSON:
    """Parse JSON text strictly; raises `Invalid`.

    No duplicate keys, no NaN, nothing that is infinite, no halves of surrogate pairs, which are no text.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        parsed: JSON = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
        if any(half in text for half in _SURROGATES):
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Invalid(f"not valid JSON: {_meaning(error)}") from error
    return parsed


def _meaning(error: Exception) -> str:
    return "a part of a surrogate pair" if isinstance(error, UnicodeEncodeError) else str(error)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_duplicates(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return out


def _no_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not a JSON number")
