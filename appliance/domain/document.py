"""Strict reading of one resource document, field by field, with the path of every mistake.

The reader learns which fields exist from what it was asked for, so that an unknown one can be named
together with the nearest known one. Errors carry the *path* (`("spec", "allow", "rules", 0, "verbs")`)
for the layer that knows lines; their text names it as well.

    Invalid
    └── DocumentError    path, and what was expected there
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from appliance.domain.errors import Invalid

Path = tuple[str | int, ...]
E = TypeVar("E", bound=StrEnum)

MAX_TEXT = 4096
MAX_ITEMS = 4096
_DURATION = re.compile(r"(?:\d{1,6}(?:d|h|ms|m|s))+", re.ASCII)
_PART = re.compile(r"(\d+)(d|ms|h|m|s)", re.ASCII)
_UNIT = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
    type(None): "nothing",
}


class DocumentError(Invalid):
    """A document says something it may not; `path` says where, the text says what was expected."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path_text(path)}: {problem}")
        self.path = path
        self.problem = problem


def path_text(path: Path) -> str:
    """Return a path as people write it: `spec.allow.rules[0].verbs`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "document"


def parse_duration(text: str) -> timedelta:
    """Parse `8h`, `15m`, `1h30m`, `2d`, `90s`; raises `ValueError` for anything else."""
    if _DURATION.fullmatch(text) is None:
        raise ValueError("expected a duration such as 30s, 15m, 8h or 2d")
    return sum((int(count) * _UNIT[unit] for count, unit in _PART.findall(text)), timedelta())


def duration_text(duration: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same one back."""
    rest, parts = duration, []
    for unit in ("h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNIT[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def kind_of(value: object) -> str:
    """Name a value's type in the words of the document."""
    return _KINDS.get(type(value), type(value).__name__)


class Reader:
    """One mapping of a document. Ask for each field once, then call `done`."""

    def __init__(self, value: object, path: Path = ()) -> None:
        if not isinstance(value, Mapping):
            raise DocumentError(path, f"expected a mapping, not {kind_of(value)}")
        self.path = path
        self._value: Mapping[object, object] = value
        self._known: list[str] = []

    def done(self) -> None:
        """Raise `DocumentError` for the first field that nobody asked for."""
        for name in self._value:
            if name not in self._known:
                raise DocumentError((*self.path, str(name)), self._unknown(str(name)))

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self._known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self._known))}"
        return f"unknown field; {hint}"

    def error(self, name: str, problem: str) -> DocumentError:
        """Return the error that says what is wrong with a field."""
        return DocumentError((*self.path, name), problem)

    def has(self, name: str) -> bool:
        """Say whether the field is given, and count it as known."""
        self._known.append(name)
        return name in self._value

    def _get(self, name: str, kind: type, expected: str) -> object | None:
        if not self.has(name):
            return None
        value = self._value[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(name, f"expected {expected}, not {kind_of(value)}")
        return value

    def text(self, name: str, default: str = "", *, limit: int = MAX_TEXT) -> str:
        """Return a text of at most `limit` characters."""
        value = self._get(name, str, "text")
        if value is None:
            return default
        if len(str(value)) > limit:
            raise self.error(name, f"longer than {limit} characters")
        return str(value)

    def missing(self, name: str) -> DocumentError:
        """Return the error of a required field; it names the misspelt one, where there is one."""
        unasked = [str(key) for key in self._value if key not in self._known]
        near = get_close_matches(name, unasked, n=1, cutoff=0.6)
        if near:
            return DocumentError((*self.path, near[0]), f"unknown field; did you mean {name}?")
        return self.error(name, "is required and may not be empty")

    def required(self, name: str) -> str:
        """Return a text that must be given and not be empty."""
        value = self.text(name)
        if not value:
            raise self.missing(name)
        return value

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of texts; one text alone stands for a list of one."""
        if not self.has(name):
            return default
        return texts_of(self._value[name], (*self.path, name))

    def flag(self, name: str) -> bool | None:
        """Return true or false (also yes, no, on, off), or None where nothing is said."""
        if not self.has(name):
            return None
        value = self._value[name]
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _FLAGS:
            return _FLAGS[value.lower()]
        raise self.error(name, f"expected true or false, not {kind_of(value)}")

    def number(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number between two bounds, both allowed."""
        value = self._get(name, int, f"a whole number from {least} to {most}")
        if value is None:
            return None
        if not isinstance(value, int) or not least <= value <= most:
            raise self.error(name, f"expected a whole number from {least} to {most}, not {value}")
        return value

    def duration(self, name: str, *, least: timedelta, most: timedelta) -> timedelta | None:
        """Return a duration between two bounds. Zero is never 'for ever': leave the field out instead."""
        text = self._get(name, str, "a duration such as 15m or 8h")
        if text is None:
            return None
        try:
            duration = parse_duration(str(text))
        except ValueError as error:
            raise self.error(name, str(error)) from error
        if not least <= duration <= most:
            bounds = f"from {duration_text(least)} to {duration_text(most)}"
            raise self.error(name, f"expected a duration {bounds}, not {text}")
        return duration

    def moment(self, name: str) -> datetime | None:
        """Return a time with its zone; YAML's own timestamps and RFC 3339 texts are both read."""
        if not self.has(name):
            return None
        value = self._value[name]
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError as error:
            raise self.error(name, "expected a time such as 2026-01-31T12:00:00Z") from error
        if moment.tzinfo is None or moment.year <= 1:
            raise self.error(name, "expected a time with its zone; leave the field out for no end")
        return moment.astimezone(UTC)

    def choice(self, name: str, kind: type[E]) -> E | None:
        """Return one of the members of an enumeration."""
        text = self.text(name)
        if not text:
            return None
        try:
            return kind(text)
        except ValueError as error:
            raise self.error(name, f"expected one of {', '.join(kind)}, not {text[:64]!r}") from error

    def section(self, name: str) -> Reader:
        """Return a reader of the mapping under a field; of an empty one, where there is none."""
        value = self._value[name] if self.has(name) else {}
        return Reader({} if value is None else value, (*self.path, name))

    def sections(self, name: str) -> Iterator[Reader]:
        """Yield a reader for each mapping of the list under a field."""
        items = self._get(name, list, "a list of mappings")
        if isinstance(items, list):
            if len(items) > MAX_ITEMS:
                raise self.error(name, f"more than {MAX_ITEMS} items")
            for index, item in enumerate(items):
                yield Reader(item, (*self.path, name, index))

    def patterns(self, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return a mapping of texts to one or several texts, in the order of its keys."""
        section = self.section(name)
        pairs = [(str(key), texts_of(value, (*section.path, str(key)))) for key, value in section.items()]
        return tuple(sorted(pairs))

    def items(self) -> Iterator[tuple[str, object]]:
        """Yield every field with its value; keys that are not text are errors."""
        for key, value in self._value.items():
            if not isinstance(key, str):
                raise DocumentError((*self.path, str(key)), f"expected a key of text, not {kind_of(key)}")
            yield key, value


def texts_of(value: object, path: Path) -> tuple[str, ...]:
    """Return a text or a list of texts as a tuple; raises `DocumentError`."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise DocumentError(path, f"expected text or a list of texts, not {kind_of(value)}")
    if len(value) > MAX_ITEMS:
        raise DocumentError(path, f"more than {MAX_ITEMS} items")
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise DocumentError((*path, index), f"expected text, not {kind_of(item)}")
        if len(item) > MAX_TEXT:
            raise DocumentError((*path, index), f"longer than {MAX_TEXT} characters")
    return tuple(value)
