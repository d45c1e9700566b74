"""The one notion of a pattern: a literal, a glob with `*`, or `^a regular expression$`.

Labels, trait filters and `regexp.match` all read their patterns here, so that a text means the same
everywhere. Matching is over the whole text for literals and globs; expressions carry their own anchors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from appliance.policy.regex import parse_regex

Pattern = Callable[[str], bool]
ANYTHING = "*"


def is_literal(source: str) -> bool:
    """Say whether the pattern matches exactly one text: itself."""
    return "*" not in source and not is_regex(source)


def is_regex(source: str) -> bool:
    """Say whether the pattern is a regular expression: it begins with `^` and ends with `$`."""
    return source.startswith("^") and source.endswith("$") and len(source) > 1


@lru_cache(maxsize=4096)
def parse_pattern(source: str) -> Pattern:
    """Return the test of a pattern; raises `Invalid` for a broken regular expression."""
    if is_regex(source):
        return parse_regex(source).search
    if "*" in source:
        return _Glob(source)
    return source.__eq__


class _Glob:
    """`*` stands for any characters, also none; nothing else is special."""

    def __init__(self, source: str) -> None:
        self._first, *middle, self._last = source.split("*")
        self._middle = tuple(piece for piece in middle if piece)
        self._shortest = len(source.replace("*", ""))

    def __call__(self, text: str) -> bool:
        """Find the pieces from left to right, each as early as it fits: linear, without going back."""
        if len(text) < self._shortest or not text.startswith(self._first) or not text.endswith(self._last):
            return False
        at, end = len(self._first), len(text) - len(self._last)
        for piece in self._middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True
