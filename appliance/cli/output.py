"""What commands print: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from ruamel.yaml import YAML
from tabulate import tabulate

from appliance.domain import codec

if TYPE_CHECKING:
    from datetime import datetime

FORMAT_KEY = "sallyport.format"
FORMATS = ("text", "json", "yaml")
Columns = Sequence[tuple[str, Callable[[Any], object]]]


def show(value: object, text: Callable[[], str]) -> None:
    """Print a value in the format that was asked for; `text` makes the form for people."""
    chosen = click.get_current_context().meta.get(FORMAT_KEY, FORMATS[0])
    if chosen == "text":
        click.echo(text())
    elif chosen == "json":
        click.echo(json.dumps(codec.encode(value), indent=2, ensure_ascii=True))
    else:
        click.echo(yaml(codec.encode(value)), nl=False)


def table(rows: Iterable[Any], columns: Columns, *, empty: str) -> str:
    """Return rows as a table; every cell is escaped, whatever somebody named their node."""
    cells = [[plain(column(row)) for _, column in columns] for row in rows]
    return tabulate(cells, headers=[name for name, _ in columns], disable_numparse=True) if cells else empty


def plain(value: object) -> str:
    """Return a text that can't do anything to a terminal."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def when(moment: datetime) -> str:
    """Return a moment in local time."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def labels(pairs: dict[str, str]) -> str:
    """Return labels as `env=dev,os=debian`."""
    return ",".join(f"{key}={value}" for key, value in sorted(pairs.items()))


def yaml(value: object) -> str:
    """Return a value as a YAML document, its keys in their order."""
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(value, stream)
    return stream.getvalue()
