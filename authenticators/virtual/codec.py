"""Frozen dataclasses to JSON and back, by their type hints; unknown or missing keys are refused."""

from __future__ import annotations

import base64
import binascii
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from authenticators.virtual.errors import KeyFileError

Value = TypeVar("Value")


def to_json(value: object) -> Any:
    """Return the value as what `json.dumps` takes; bytes become base64, a mapping keeps text keys."""
    match value:
        case Enum():
            return value.value
        case UUID() | bytes():
            return str(value) if isinstance(value, UUID) else base64.b64encode(value).decode()
        case tuple():
            return [to_json(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _ if is_dataclass(value):
            return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(kind: type[Value], data: object) -> Value:
    """Return the value of that type; raises `KeyFileError` when the data does not fit it."""
    try:
        result: Value = _read(kind, data)
    except (TypeError, ValueError, KeyError, binascii.Error) as error:
        raise KeyFileError(f"not a {kind.__name__}: {error}") from error
    return result


def _read(kind: Any, data: Any) -> Any:
    if is_dataclass(kind):
        return _read_dataclass(kind, data)
    origin = get_origin(kind)
    if origin in {Union, types.UnionType}:
        return _read_optional(get_args(kind), data)
    if origin is tuple:
        return _read_tuple(get_args(kind), data)
    return _read_scalar(kind, data)


def _read_scalar(kind: Any, data: Any) -> Any:
    if kind is bytes:
        return base64.b64decode(data, validate=True)
    if issubclass(kind, UUID | Enum):
        return kind(data)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise TypeError(f"{kind.__name__} expected, {type(data).__name__} found")
    return data


def _read_optional(kinds: tuple[Any, ...], data: Any) -> Any:
    (kind,) = (option for option in kinds if option is not types.NoneType)
    return None if data is None else _read(kind, data)


def _read_tuple(kinds: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise TypeError("list expected")
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], item) for item in data)
    return tuple(_read(kind, item) for kind, item in zip(kinds, data, strict=True))


def _read_dataclass(kind: Any, data: Any) -> Any:
    if not isinstance(data, dict):
        raise TypeError(f"an object expected for {kind.__name__}")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    unknown = data.keys() - known.keys()
    missing = {name for name, field in known.items() if field.default is MISSING} - data.keys()
    if unknown or missing:
        raise KeyError(f"{kind.__name__}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    return kind(**{name: _read(hints[name], item) for name, item in data.items()})
