"""Runs scenarios on a bench and notes what became of them."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING

from rig.bench import NotPossibleError
from rig.report import Result
from rig.table import NOT_APPLICABLE, REAL, REHEARSAL, SCENARIOS, STANDS_IN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rig.bench import Bench

_log = logging.getLogger("rig")


def run_scenarios(bench: Bench, names: Iterable[str]) -> Iterator[Result]:
    """Run the scenarios of those names in order; yields each result as it comes."""
    for name in names:
        yield run_scenario(bench, name)


def run_scenario(bench: Bench, name: str) -> Result:
    """Run one scenario; whatever it raises is its failure."""
    transport = bench.transport
    role = REAL if transport == REHEARSAL else transport
    if (name, role) in NOT_APPLICABLE:
        return _result(name, transport, "not-applicable", NOT_APPLICABLE[name, role], 0.0)
    started = time.monotonic()
    try:
        SCENARIOS[name](bench)
    except NotPossibleError as error:
        return _result(name, transport, "skipped", str(error), time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - the border of a scenario: each failure becomes a result
        _log.debug("%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {error}"
        return _result(name, transport, "failed", reason, time.monotonic() - started)
    return _result(
        name, transport, "passed", STANDS_IN.get((name, transport), ""), time.monotonic() - started
    )


def _result(scenario, transport, outcome, reason, seconds) -> Result:
    return Result(
        scenario=scenario, transport=transport, outcome=outcome, reason=reason, seconds=round(seconds, 3)
    )
