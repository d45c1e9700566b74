"""Frames on the signer's socket: a length (uint32, big endian) and that many bytes of JSON.

Each class of `protocol` gets its reader and writer once, from its own annotations. A field that is
missing without a default, unknown, twice there, or of another type than announced, is an error: the text
says which field, never what stood in it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import struct
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hsm.errors import Malformed
from hsm.signer.protocol import ANSWERS, REQUESTS, Answer, Code, Request, SignerError

MAX_FRAME = 64 * 1024
MAX_ITEMS = 1024
_LENGTH = struct.Struct(">I")

Value = TypeVar("Value")
_Read = Callable[[Any], Any]
_Write = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """How one class is read and written."""

    kind: type
    readers: Mapping[str, _Read]
    writers: Mapping[str, _Write]
    needed: frozenset[str]

    def read(self, data: Any) -> Any:
        if type(data) is not dict:
            raise Malformed(f"{self.kind.__name__} is an object")
        if unknown := data.keys() - self.readers.keys():
            raise Malformed(f"{self.kind.__name__} has no field {min(unknown)[:40]!r}")
        if missing := self.needed - data.keys():
            raise Malformed(f"{self.kind.__name__}.{min(missing)} is missing")
        return self.kind(**{name: self._field(name, value) for name, value in data.items()})

    def _field(self, name: str, value: Any) -> Any:
        try:
            return self.readers[name](value)
        except (TypeError, ValueError) as error:
            raise Malformed(f"{self.kind.__name__}.{name} is not of its type") from error

    def write(self, value: Any) -> dict[str, Any]:
        return {name: write(getattr(value, name)) for name, write in self.writers.items()}


def _plain(kind: type) -> _Read:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _read_bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise TypeError
    return base64.b64decode(value, validate=True)


def _write_bytes(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


def _read_tuple(item: _Read) -> _Read:
    def read(value: Any) -> Any:
        if type(value) is not list or len(value) > MAX_ITEMS:
            raise TypeError
        return tuple(map(item, value))

    return read


def _read_optional(item: _Read) -> _Read:
    return lambda value: None if value is None else item(value)


def _write_optional(item: _Write) -> _Write:
    return lambda value: None if value is None else item(value)


def _write_tuple(item: _Write) -> _Write:
    return lambda value: [item(each) for each in value]


def _same(value: Any) -> Any:
    return value


def _pair(hint: Any) -> tuple[_Read, _Write]:
    """Return reader and writer for an annotation; raises TypeError at import for one not known here."""
    if hint in {str, int, bool}:
        return _plain(hint), _same
    if hint is bytes:
        return _read_bytes, _write_bytes
    if get_origin(hint) is tuple:
        read, write = _pair(get_args(hint)[0])
        return _read_tuple(read), _write_tuple(write)
    if get_origin(hint) is UnionType and NoneType in get_args(hint):
        read, write = _pair(get_args(hint)[0])
        return _read_optional(read), _write_optional(write)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint, _same
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        shape = _shape(hint)
        return shape.read, shape.write
    raise TypeError(f"no codec for {hint}")


def _shape(kind: type) -> _Shape:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    pairs = {field.name: _pair(hints[field.name]) for field in fields}
    return _Shape(
        kind=kind,
        readers={name: read for name, (read, _) in pairs.items()},
        writers={name: write for name, (_, write) in pairs.items()},
        needed=frozenset(field.name for field in fields if field.default is dataclasses.MISSING),
    )


_SHAPES: dict[type, _Shape] = {kind: _shape(kind) for kind in {*REQUESTS.values(), *ANSWERS.values()}}
_NAMES = {kind: name for name, kind in REQUESTS.items()}


def operation_of(request: Request) -> str:
    """Return a request's name on the wire, which is also its name in the limit table."""
    return _NAMES[type(request)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a field twice")
    return found


def _refuse_number(_: str) -> Any:
    raise Malformed("numbers are whole")


_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one for each call
_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_refuse_number, parse_constant=_refuse_number
).decode


def _load(payload: bytes) -> dict[str, Any]:
    try:
        data = _decode(payload.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if type(data) is not dict or type(data.get("id")) is not int:
        raise Malformed("a frame is an object with a whole number as id")
    return data


def _frame(data: Mapping[str, Any]) -> bytes:
    payload = _encode(data).encode()
    if len(payload) > MAX_FRAME:
        raise Malformed("too long for a frame")
    return _LENGTH.pack(len(payload)) + payload


def write_request(number: int, request: Request) -> bytes:
    """Return the frame of a request; `number` comes back with its answer."""
    body = _SHAPES[type(request)].write(request)
    return _frame({"id": number, "op": operation_of(request), "args": body})


def read_request(payload: bytes) -> tuple[int, Request | Malformed]:
    """Read a frame's payload; raises `Malformed` where not even its number can be read.

    What is wrong with the request itself comes back as a value, so that it can be answered.
    """
    data = _load(payload)
    kind = REQUESTS.get(data["op"]) if type(data.get("op")) is str else None
    if kind is None or data.keys() != {"id", "op", "args"}:
        return data["id"], Malformed("no such request")
    try:
        return data["id"], _SHAPES[kind].read(data["args"])
    except Malformed as error:
        return data["id"], error


def write_answer(number: int, answer: Answer) -> bytes:
    """Return the frame of an answer."""
    return _frame({"id": number, "ok": _SHAPES[type(answer)].write(answer)})


def write_refusal(number: int, error: SignerError) -> bytes:
    """Return the frame of a refusal."""
    body = {"code": error.code, "message": error.args[0], "wait_ms": round(error.wait * 1000)}
    return _frame({"id": number, "error": body})


def read_answer(payload: bytes, request: type[Request]) -> tuple[int, Answer | SignerError]:
    """Read the answer to a request of that class; raises `Malformed`."""
    data = _load(payload)
    if "error" in data:
        body = data["error"]
        return data["id"], SignerError(Code(body["code"]), body["message"], wait=body["wait_ms"] / 1000)
    return data["id"], _SHAPES[ANSWERS[request]].read(data.get("ok"))


class Deframer:
    """Cuts a stream into payloads; raises `Malformed` for a frame that is too long or empty."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes and return the payloads that are complete."""
        self._buffer += data
        found = list[bytes]()
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if not 0 < size <= MAX_FRAME:
                raise Malformed("no frame has that length")
            if len(self._buffer) < _LENGTH.size + size:
                break
            found.append(bytes(self._buffer[_LENGTH.size : _LENGTH.size + size]))
            del self._buffer[: _LENGTH.size + size]
        return found
