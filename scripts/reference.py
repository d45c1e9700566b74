"""Write the reference pages from their sources: docs/configuration.md, docs/cli.md, docs/openapi.json.

`python -m scripts.reference --check` writes nothing and leaves with 1 when a page is not what it should be.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.api.openapi import text as openapi
from appliance.config.sample import reference

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = {
    "sallyport": "appliance.cli.sallyport:cli",
    "sallyctl": "appliance.cli.sallyctl:cli",
    "sally": "appliance.cli.sally:cli",
    "sallyport-vkey": "authenticators.virtual.cli:commands",
}
HEAD = """\
# Command reference

Four commands. `--help` says the same as this page, which is made from it by `make docs`; `make man` makes
manual pages from it in `build/man`. Answers go to stdout, questions and progress to stderr. Most commands
that show something take `--format text|json|yaml`.

Exit statuses: 0 done; 1 it went wrong; 2 wrong usage or configuration; 3 denied; 4 slowed down after failed
attempts; 5 something that is needed does not answer, or the token is sealed; 6 not found; 7 it exists
already, or somebody changed it meanwhile; 130 cancelled.
"""


def program(name: str) -> click.Command:
    """Return the click command of one of our programs."""
    module, _, attribute = PROGRAMS[name].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{PROGRAMS[name]} is no click command")
    return command


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield a command and all below it."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from walk(below, click.Context(below, info_name=name, parent=context))


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [HEAD]
    for name in PROGRAMS:
        command = program(name)
        for one, context in walk(command, click.Context(command, info_name=name)):
            parts.append(_entry(one, context))
    return "\n".join(parts)


def _entry(command: click.Command, context: click.Context) -> str:
    names = _names_only(context)
    title = ("## " if len(names) == 1 else "### ") + " ".join(names)
    usage = " ".join([*names, *command.collect_usage_pieces(context)])
    paragraphs = [" ".join(one.split()) for one in inspect.cleandoc(command.help or "").split("\n\n")]
    head = f"{title}\n\n```text\n{usage}\n```\n"
    return "\n".join([head, "\n\n".join(paragraphs), _options(command, context)])


def _names_only(context: click.Context) -> list[str]:
    names: list[str] = []
    place: click.Context | None = context
    while place is not None:
        names.insert(0, place.info_name or "")
        place = place.parent
    return names


def _options(command: click.Command, context: click.Context) -> str:
    rows = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts
        for record in [parameter.get_help_record(context)]
        if record is not None
    ]
    if not rows:
        return ""
    lines = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
    return "\n| option | meaning |\n| --- | --- |\n" + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def pages() -> dict[Path, str]:
    """Return what each generated page should be."""
    return {
        DOCS / "configuration.md": reference(),
        DOCS / "cli.md": cli_page(),
        DOCS / "openapi.json": openapi(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is not what its source says: make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path])
        print(f"wrote {path.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
