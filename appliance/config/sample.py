"""The commented sample file and the reference page, both made from the schema."""

from __future__ import annotations

import textwrap
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from appliance.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100
HEAD = """\
# Sallyport configuration. By default this file is /etc/sallyport.yaml.
# Every key is shown with its default; a line that is commented out has none, or one worked out at start.
"""


def sample(overrides: dict[str, Any] | None = None) -> str:
    """Return a commented configuration with every key, which loads unchanged.

    `overrides` maps dotted keys (`sallyport.data_dir`) to values that differ from the default.
    """
    return HEAD + "".join(f"{line}\n" for line in _section(Config(), 0, "", overrides or {}))


def _section(model: BaseModel, depth: int, prefix: str, overrides: dict[str, Any]) -> Iterator[str]:
    pad = "  " * depth
    for name, field in type(model).model_fields.items():
        dotted = f"{prefix}{name}"
        if depth == 0:
            yield ""
        yield from textwrap.wrap(
            field.description or "", WIDTH, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# "
        )
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield f"{pad}{name}:"
            yield from _section(value, depth + 1, f"{dotted}.", overrides)
        elif dotted in overrides:
            yield f"{pad}{name}: {yaml_value(overrides[dotted])}"
        elif value is None or field.default is PydanticUndefined:
            yield f"{pad}# {name}:"
        else:
            yield f"{pad}{name}: {yaml_value(value)}"


def yaml_value(value: object) -> str:
    """Return a plain value as YAML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return duration_text(value)
        case Enum():
            return str(value.value)
        case tuple() | list():
            return "[" + ", ".join(yaml_value(item) for item in value) + "]"
        case str() | Path():
            text = str(value)
            return f'"{text}"' if ":" in text or not text else text
    return str(value)


def duration_text(seconds: float) -> str:
    """Return `23h`, `2m` or `1s` for a number of seconds."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0 and not (unit == "d" and seconds <= 2 * size):
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{round(1000 * seconds)}ms"


def reference() -> str:
    """Return docs/configuration.md: a table a section."""
    parts = [
        "# Configuration reference\n",
        "One YAML file, `/etc/sallyport.yaml` unless `--config` names another. `sallyport configure` prints",
        "a commented sample that loads unchanged. An unknown key is an error, with its line and the nearest",
        "known key. Durations are written `30s`, `15m`, `8h`, `1h30m`.\n",
        "This page is made from the schema by `make docs`.\n",
    ]
    parts += list(_tables(Config, ""))
    return "\n".join(parts).rstrip() + "\n"


def _tables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    nested: list[tuple[str, type[BaseModel]]] = []
    rows: list[str] = []
    for name, field in model.model_fields.items():
        models = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)]
        if models:
            nested += [(f"{prefix}{name}", kind) for kind in models]
        else:
            rows.append(_row(f"{prefix}{name}", field))
    if rows:
        yield f"## `{prefix.rstrip('.')}`\n\n{' '.join((model.__doc__ or '').split())}\n"
        yield "| key | default | meaning |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    for name, kind in nested:
        yield from _tables(kind, f"{name}.")


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _row(name: str, field: Any) -> str:
    default = "" if field.default in (None, PydanticUndefined) else f"`{yaml_value(field.default)}`"
    return f"| `{name}` | {default} | {' '.join((field.description or '').split())}{_bounds(field)} |"


def _bounds(field: Any) -> str:
    low = next((item.ge for item in field.metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in field.metadata if hasattr(item, "le")), None)
    if low is None and high is None:
        return ""
    show = [
        duration_text(edge) if isinstance(edge, float) else str(edge)
        for edge in (low, high)
        if edge is not None
    ]
    return f" ({' to '.join(show)})" if low is not None and high is not None else f" (at most {show[0]})"
