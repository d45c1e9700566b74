"""The outcomes of a run, to be read by people (Markdown), programs (JSON) and CI (JUnit XML)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

Outcome = Literal["passed", "failed", "not-applicable", "skipped"]
_SIGNS = {"passed": "pass", "failed": "**FAIL**", "not-applicable": "n/a", "skipped": "skipped"}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one scenario on one transport; the reason says why not, or what stood in."""

    scenario: str
    transport: str
    outcome: Outcome
    reason: str
    seconds: float


def write_reports(folder: Path, results: list[Result], facts: dict[str, str]) -> None:
    """Write report.md, report.json and report.xml."""
    (folder / "report.md").write_text(markdown(results, facts))
    document = {"facts": facts, "results": [asdict(result) for result in results]}
    (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    ET.ElementTree(junit(results)).write(folder / "report.xml", encoding="utf-8", xml_declaration=True)


def markdown(results: list[Result], facts: dict[str, str]) -> str:
    """Return the table of scenario by transport, and every reason below it."""
    transports = list(dict.fromkeys(result.transport for result in results))
    cells = {(result.scenario, result.transport): result for result in results}
    lines = ["# Hardware test report", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += [f"| scenario | {' | '.join(transports)} |", f"|---|{'---|' * len(transports)}"]
    for scenario in dict.fromkeys(result.scenario for result in results):
        row = [_cell(cells.get((scenario, transport))) for transport in transports]
        lines.append(f"| {scenario} | {' | '.join(row)} |")
    lines += ["", "## Totals", "", *_totals(results, transports)]
    reasons = [
        f"- {each.scenario} / {each.transport}: {each.outcome}. {each.reason}"
        for each in results
        if each.reason
    ]
    lines += ["", "## Reasons", "", *(reasons or ["none"])]
    return "\n".join(lines) + "\n"


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    time = f" {result.seconds:.2f} s" if result.outcome in {"passed", "failed"} else ""
    return _SIGNS[result.outcome] + time


def _totals(results: list[Result], transports: list[str]) -> list[str]:
    lines = []
    for transport in transports:
        own = [result for result in results if result.transport == transport]
        counts = {sign: sum(result.outcome == sign for result in own) for sign in _SIGNS}
        numbers = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        lines.append(f"- {transport}: {numbers}; {sum(result.seconds for result in own):.1f} s")
    return lines


def junit(results: list[Result]) -> ET.Element:
    """Return the results as JUnit has them, a suite a transport."""
    suites = ET.Element("testsuites", name="hardware-tests")
    for transport in dict.fromkeys(result.transport for result in results):
        own = [result for result in results if result.transport == transport]
        suite = ET.SubElement(
            suites, "testsuite", name=transport, tests=str(len(own)),
            failures=str(sum(result.outcome == "failed" for result in own)),
            skipped=str(sum(result.outcome in {"skipped", "not-applicable"} for result in own)),
        )  # fmt: skip
        for result in own:
            _case(suite, result)
    return suites


def _case(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=result.transport, name=result.scenario, time=f"{result.seconds:.3f}"
    )
    if result.outcome == "failed":
        ET.SubElement(case, "failure", message=result.reason)
    elif result.outcome != "passed":
        ET.SubElement(case, "skipped", message=result.reason)
