"""Results that were kept: a section a benchmark in README.md, written again by each `--record`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.frame import Report, Row


def record(readme: Path, report: Report) -> None:
    """Replace the benchmark's section in a file, or add it at the end."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(replaced(text, report.name, section(report)), encoding="utf-8")


def replaced(text: str, name: str, body: str) -> str:
    """Return the text with one section exchanged; sections lie between two marks."""
    first, last = f"<!-- {name}: results -->", f"<!-- {name}: end -->"
    fresh = f"{first}\n{body}\n{last}\n"
    before, found, rest = text.partition(first)
    if not found:
        return f"{text.rstrip()}\n\n{fresh}"
    _, _, after = rest.partition(f"{last}\n")
    return before + fresh + after


def section(report: Report) -> str:
    """Return the result as Markdown."""
    facts, versions = report.machine.facts, report.machine.versions
    lines = [
        f"### `bench/run {report.name}`",
        "",
        _sentence(facts),
        _sentence(versions),
        "",
        "| row | median | from | to | judged | note |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_cells(identity, row) for identity, row in report.rows.items()])


def _sentence(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) + "."


def _cells(identity: str, row: Row) -> str:
    shown = row.document()
    judged = "yes" if row.judged else "no"
    note = row.note.replace("|", "/")
    middle = f"{shown['median']} {row.unit}"
    return f"| {identity} | {middle} | {shown['min']} | {shown['max']} | {judged} | {note} |"
