"""Bytes that must not be seen: printed, compared in variable time, hashed into a dict, or pickled."""

from __future__ import annotations

import hmac
from typing import Never, final


@final
class Secret:
    """A secret of any length. `reveal()` is the only way to its bytes, so that a search finds every use."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes; call it where they are used, and keep nothing."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> Never:
        message = "a secret is not pickled"
        raise TypeError(message)
