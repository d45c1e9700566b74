"""Functions over trait values: the local part of an address, and replacement by expression.

Values that a function can't take are dropped, not passed through: a login made of half a match
must not become a login.
"""

from __future__ import annotations

from functools import lru_cache
from typing import overload

from appliance.policy.regex import Regex, parse_regex

_regex = lru_cache(maxsize=512)(parse_regex)


@overload
def email_local(value: str) -> str: ...
@overload
def email_local(value: tuple[str, ...]) -> tuple[str, ...]: ...
def email_local(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return what stands before the `@` of each address; a text without exactly one `@` gives nothing."""
    if isinstance(value, str):
        local, at, domain = value.partition("@")
        return local if at and domain and "@" not in domain else ""
    return tuple(local for one in value if (local := email_local(one)))


@overload
def replaced(value: str, pattern: str, replacement: str) -> str: ...
@overload
def replaced(value: tuple[str, ...], pattern: str, replacement: str) -> tuple[str, ...]: ...
def replaced(value: str | tuple[str, ...], pattern: str, replacement: str) -> str | tuple[str, ...]:
    """Return each text with its matches replaced; a text that does not match gives nothing."""
    regex: Regex = _regex(pattern)
    if isinstance(value, str):
        return regex.replace(value, replacement) if regex.search(value) else ""
    return tuple(new for one in value if (new := replaced(one, pattern, replacement)))
