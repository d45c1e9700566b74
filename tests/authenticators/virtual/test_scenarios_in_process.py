"""The in-process tier of the hardware tests is part of the ordinary suite; it takes seconds."""

import sys
from pathlib import Path

import pytest

RIG = Path(__file__).parents[3] / "hardware-tests"
sys.path.insert(0, str(RIG))

from rig.benches.in_process import InProcessBench  # noqa: E402 - the folder's name is no package name
from rig.report import Result, junit, markdown  # noqa: E402
from rig.runner import run_scenario  # noqa: E402
from rig.table import NOT_APPLICABLE, REAL, SCENARIOS, STANDS_IN, VIRTUAL  # noqa: E402


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_runs_on_a_key_in_this_process(name, tmp_path):
    result = run_scenario(InProcessBench(tmp_path), name)
    assert result.outcome == "passed", result.reason


def test_what_does_not_apply_is_decided_for_known_scenarios_and_transports_with_a_reason():
    for (scenario, transport), reason in {**NOT_APPLICABLE, **STANDS_IN}.items():
        assert scenario in SCENARIOS
        assert transport in (*VIRTUAL, REAL)
        assert len(reason) > 20


def test_every_scenario_runs_on_every_virtual_transport():
    assert not {transport for _, transport in NOT_APPLICABLE} & set(VIRTUAL)


def test_a_scenario_that_raises_is_a_failure_with_its_reason(tmp_path, monkeypatch):
    def broken(_bench):
        raise OSError("no such key")

    monkeypatch.setitem(SCENARIOS, "broken", broken)
    result = run_scenario(InProcessBench(tmp_path), "broken")
    assert (result.outcome, result.reason) == ("failed", "OSError: no such key")


def test_the_reports_say_what_happened():
    results = [
        Result(scenario="enrol", transport="pcsc", outcome="passed", reason="", seconds=1.0),
        Result(scenario="log-in", transport="pcsc", outcome="failed", reason="because", seconds=2.0),
    ]
    text = markdown(results, {"python": "3.11"})
    assert "| log-in | **FAIL** 2.00 s |" in text
    assert "log-in / pcsc: failed. because" in text
    (suite,) = junit(results)
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
