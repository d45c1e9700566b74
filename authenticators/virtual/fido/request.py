"""A CTAP2 request parsed at the border: a CBOR map whose members are asked for by number and type."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, TypeVar

from fido2 import cbor

from authenticators.virtual.fido.status import Refusal, Status

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Members:
    """A CBOR map of a request; a member of the wrong type is refused when it is asked for."""

    values: dict[Any, Any]

    @classmethod
    def parse(cls, encoded: bytes) -> Members:
        """Return the map; raises `Refusal` for anything else."""
        if not encoded:
            return cls({})
        try:
            decoded = cbor.decode(encoded)
        except (ValueError, IndexError, KeyError, TypeError, struct.error, RecursionError):
            raise Refusal(Status.INVALID_CBOR) from None
        # Its decoder is lenient; CTAP2 wants the one canonical form (CTAP 2.1, section 8).
        if cbor.encode(decoded) != encoded:
            raise Refusal(Status.INVALID_CBOR)
        return cls(typed(decoded, dict))

    def required(self, key: int | str, kind: type[Kind]) -> Kind:
        """Return the member; raises `Refusal` when it is missing or of another type."""
        if key not in self.values:
            raise Refusal(Status.MISSING_PARAMETER)
        return typed(self.values[key], kind)

    def optional(self, key: int | str, kind: type[Kind]) -> Kind | None:
        """Return the member or None; raises `Refusal` when it is of another type."""
        return typed(self.values[key], kind) if key in self.values else None

    def within(self, key: int | str) -> Members:
        """Return the map that is a member, empty when it is missing."""
        return Members(self.optional(key, dict) or {})

    def option(self, name: str) -> bool | None:
        """Return a member that is true, false or missing."""
        return self.optional(name, bool)

    def each(self, key: int | str) -> list[Members]:
        """Return the maps of a list, empty when it is missing."""
        return [Members(typed(item, dict)) for item in self.optional(key, list) or []]


def typed(value: object, kind: type[Kind]) -> Kind:
    """Return the value if it is of that very type (a bool is no int); raises `Refusal`."""
    if type(value) is not kind:
        raise Refusal(Status.CBOR_UNEXPECTED_TYPE)
    return value
