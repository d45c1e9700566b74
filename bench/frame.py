"""What every benchmark is made of: interleaved rounds, rows, the rule when not to judge, and the report.

    Plan      how much to measure: rounds, a quick look or a whole one, which rows
    Row       one figure with its spread, as `--json` prints it
    Report    machine, versions and rows of one run

A comparison takes a *pair* from each round, ours and the peer's, measured next to each other (ABAB…), and
a ratio only ever compares the two of one round. The row's figure is the median of these ratios. When the
peer, who has not changed, moved by more than a quarter between rounds, then the machine was not quiet
enough: the figures are shown, but the row says that it is no verdict.

    BenchError
      └── NotEqualError     what arrived is not what was sent: such a run has no figure
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from bench.machine import Machine

ROUNDS, QUICK_ROUNDS = 5, 2
MAX_DRIFT = 0.25
"""How far the peer's own figure may move between rounds: greatest / least - 1."""
DIGITS = 4

T = TypeVar("T")
Pair = tuple[float, float]
"""Ours and the peer's, of one round."""


class BenchError(Exception):
    """A benchmark could not be run, with what to do about it."""


class NotEqualError(BenchError):
    """What arrived is not what was sent."""


class Better(Enum):
    """Which figure wins; a ratio above 1 always means that we do."""

    LESS = "less"
    MORE = "more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure. `rows` empty means all of them."""

    rounds: int = ROUNDS
    quick: bool = False
    rows: tuple[str, ...] = ()

    def wants(self, identity: str) -> bool:
        """Whether a row is asked for; `B1` stands for `B1.down` and `B1.up` as well."""
        group = identity.partition(".")[0]
        return not self.rows or identity in self.rows or group in self.rows

    def size(self, whole: int, quick: int) -> int:
        """Return the one or the other amount."""
        return quick if self.quick else whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: a `ratio` to a peer, or a `value`; neither where it could not be measured."""

    unit: str
    median: float | None
    min: float | None
    max: float | None
    note: str = ""
    ratio: float | None = None
    value: float | None = None
    judged: bool = True
    failed: bool = False

    def document(self) -> dict[str, Any]:
        """Return the row as `--json` prints it."""
        kind = "value" if self.ratio is None else "ratio"
        return {
            kind: _rounded(self.ratio if kind == "ratio" else self.value),
            "unit": self.unit,
            "median": _rounded(self.median),
            "min": _rounded(self.min),
            "max": _rounded(self.max),
            "note": self.note,
            "judged": self.judged,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run found."""

    name: str
    machine: Machine
    rows: Mapping[str, Row]

    def document(self) -> dict[str, Any]:
        """Return the one object that `--json` prints."""
        return {
            "machine": self.machine.facts,
            "versions": self.machine.versions,
            "rows": {identity: row.document() for identity, row in self.rows.items()},
        }


def _rounded(number: float | None) -> float | None:
    if number is None or number == 0:
        return number
    return float(f"{number:.{DIGITS}g}")


def drift(baseline: Sequence[float]) -> float:
    """Return how far a figure moved between rounds, as greatest / least - 1."""
    least = min(baseline)
    return max(baseline) / least - 1 if least > 0 else float("inf")


def value_row(samples: Sequence[float], unit: str, note: str = "") -> Row:
    """Return a figure that stands by itself: the median of the samples, and their spread."""
    middle = statistics.median(samples)
    return Row(value=middle, median=middle, min=min(samples), max=max(samples), unit=unit, note=note)


def ratio_row(pairs: Sequence[Pair], *, better: Better, unit: str, note: str = "") -> Row:
    """Return the median of the rounds' ratios. `unit` is that of the two figures, for the note."""
    ratios = [peer / ours if better is Better.LESS else ours / peer for ours, peer in pairs]
    middle = statistics.median(ratios)
    moved = drift([peer for _, peer in pairs])
    judged = moved <= MAX_DRIFT
    notes = [_medians(pairs, unit), note, "" if judged else _refusal(moved)]
    return Row(
        ratio=middle,
        median=middle,
        min=min(ratios),
        max=max(ratios),
        unit="x",
        note="; ".join(one for one in notes if one),
        judged=judged,
    )


def _medians(pairs: Sequence[Pair], unit: str) -> str:
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    return f"{_rounded(ours):g} against {_rounded(peer):g} {unit}, {len(pairs)} rounds"


def _refusal(moved: float) -> str:
    return f"NOT JUDGED: the baseline moved by {moved:.0%} between rounds (at most {MAX_DRIFT:.0%})"


def failed_row(problem: BaseException) -> Row:
    """Return the row of a measurement that did not come to an end."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    return Row(unit="", median=None, min=None, max=None, judged=False, failed=True, note=f"FAILED: {text}")


def interleaved(rounds: int, ours: Callable[[], T], peer: Callable[[], T]) -> list[tuple[T, T]]:
    """Measure ours and the peer's in turn, and begin with the other one in every second round."""
    return [_round(ours, peer, ours_first=number % 2 == 0) for number in range(rounds)]


def _round(ours: Callable[[], T], peer: Callable[[], T], *, ours_first: bool) -> tuple[T, T]:
    if ours_first:
        one = ours()
        return one, peer()
    other = peer()
    return ours(), other


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the least sample that so many per cent are not above."""
    ordered = sorted(samples)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def quarters(total: int) -> list[int]:
    """Return how much has to be added to reach each quarter of a total."""
    marks = [total * quarter // 4 for quarter in range(5)]
    return [after - before for before, after in itertools.pairwise(marks)]
