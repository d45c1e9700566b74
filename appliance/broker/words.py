"""An action in words: what people are shown before they agree to it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from appliance.broker.documents import read_documents
from appliance.domain.operations.resources import Documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.domain.operations import Operation

MAX_LINE = 200
MAX_LINES = 70


def words_of(operation: Operation[Any, Any], request: object) -> tuple[str, ...]:
    """Return the operation's summary, then what it is asked to do, a line each; texts are escaped."""
    if isinstance(request, Documents):
        lines = [_named(one.content) for one in read_documents(request.text)]
    elif is_dataclass(request):
        lines = [
            f"{field.name}: {_said(getattr(request, field.name))}"
            for field in fields(request)
            if getattr(request, field.name) not in (None, "", ())
        ]
    else:
        lines = []
    return tuple(_plain(line) for line in (operation.summary, *lines)[:MAX_LINES])


def _named(content: dict[str, Any]) -> str:
    metadata = content.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{content.get('kind', '')}/{name}"


def _said(value: object) -> str:
    match value:
        case bytes():
            return f"{len(value)} bytes"
        case tuple() | list():
            return ", ".join(str(one) for one in value)
        case dict():
            return ", ".join(f"{key}={one}" for key, one in sorted(value.items()))
    return str(value)


def _plain(text: str) -> str:
    return "".join(_shown(text[:MAX_LINE])) + ("…" if len(text) > MAX_LINE else "")


def _shown(text: str) -> Iterator[str]:
    return (char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)
