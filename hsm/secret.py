"""A value that must not be printed, logged or compared carelessly."""

from __future__ import annotations

import hmac
from typing import Never, final


@final
class Secret:
    """A PIN, passphrase or key: text or bytes that show as `<secret>` wherever they are printed.

    It compares in constant time, is not hashable (a dict of secrets is a table of guesses) and
    refuses to be pickled or copied into one.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # deliberately not hashable

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes; call it in the expression that needs them, and keep no copy."""
        return self._value

    def reveal_text(self) -> str:
        """Return the value as text (UTF-8)."""
        return self._value.decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format("<secret>", spec)

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a secret is not pickled")
