"""The arithmetic every figure goes through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.frame import (
    MAX_DRIFT,
    BenchError,
    Better,
    Plan,
    Report,
    drift,
    failed_row,
    interleaved,
    percentile,
    quarters,
    ratio_row,
    value_row,
)
from bench.machine import Machine

figures = st.floats(min_value=0.001, max_value=1e6)
BUSY = [(1.0, 2.0), (1.0, 2.0), (1.0, 2.6)]


def report(**rows):
    machine = Machine(facts={"cores": 2}, versions={"python": "3.11"})
    return Report(name="ssh", machine=machine, rows=rows)


def test_a_value_is_the_median_of_its_samples():
    row = value_row([5.0, 1.0, 9.0], "ms", "of a note")
    assert (row.value, row.median, row.min, row.max) == (5.0, 5.0, 1.0, 9.0)
    assert row.judged
    assert row.ratio is None


@pytest.mark.parametrize(("better", "ratio"), [(Better.LESS, 2.0), (Better.MORE, 0.5)])
def test_a_ratio_above_one_means_that_ours_wins(better, ratio):
    row = ratio_row([(1.0, 2.0)], better=better, unit="s")
    assert row.ratio == ratio


def test_a_ratio_compares_the_two_of_one_round_only():
    # The medians of each side alone would be 2 and 2, and hide that ours took twice as long in every round.
    row = ratio_row([(2.0, 1.0), (4.0, 2.0), (2.0, 1.0)], better=Better.LESS, unit="s")
    assert (row.ratio, row.min, row.max) == (0.5, 0.5, 0.5)


def test_a_restless_baseline_is_shown_but_not_judged():
    row = ratio_row(BUSY, better=Better.LESS, unit="s", note="a note")
    assert not row.judged
    assert row.ratio == 2.0
    assert "NOT JUDGED: the baseline moved by 30%" in row.note
    assert "a note" in row.note


def test_ours_may_move_as_it_likes():
    row = ratio_row([(1.0, 2.0), (5.0, 2.0), (1.0, 2.0)], better=Better.LESS, unit="s")
    assert row.judged


def test_a_quarter_is_just_still_judged():
    assert ratio_row([(1.0, 1.0), (1.0, 1.0 + MAX_DRIFT)], better=Better.LESS, unit="s").judged


def test_a_baseline_of_nothing_is_never_judged():
    assert drift([0.0, 1.0]) > MAX_DRIFT


@given(st.lists(st.tuples(figures, figures), min_size=1))
def test_the_median_lies_within_the_spread_and_says_both_medians(pairs):
    row = ratio_row(pairs, better=Better.LESS, unit="s")
    assert row.min <= row.median <= row.max
    assert f"{len(pairs)} rounds" in row.note


@given(st.lists(figures, min_size=1), st.floats(min_value=1, max_value=100))
def test_a_percentile_is_a_sample_that_enough_others_do_not_exceed(samples, percent):
    found = percentile(samples, percent)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= len(samples) * percent / 100 - 1e-9


@given(st.integers(min_value=0, max_value=10_000))
def test_quarters_add_up(total):
    parts = quarters(total)
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_rounds_are_interleaved_and_take_turns_in_who_begins():
    order = []
    found = interleaved(3, lambda: order.append("A") or 1, lambda: order.append("B") or 2)
    assert "".join(order) == "ABBAAB"
    assert found == [(1, 2)] * 3


def test_json_has_the_promised_shape():
    found = report(
        A1=ratio_row([(1.0, 3.0)], better=Better.LESS, unit="CPU s/GiB"), E1=value_row([0.123456], "ms")
    )
    document = json.loads(json.dumps(found.document()))
    assert set(document) == {"machine", "versions", "rows"}
    assert set(document["rows"]["A1"]) == {"ratio", "unit", "median", "min", "max", "note", "judged"}
    assert set(document["rows"]["E1"]) == {"value", "unit", "median", "min", "max", "note", "judged"}
    assert document["rows"]["A1"]["ratio"] == 3.0
    assert document["rows"]["E1"]["value"] == 0.1235


def test_what_failed_has_no_figure_and_is_not_judged():
    row = failed_row(BenchError("the node\nis gone"))
    assert row.failed
    document = row.document()
    assert document["value"] is None
    assert not document["judged"]
    assert document["note"] == "FAILED: the node is gone"


@pytest.mark.parametrize(
    ("rows", "identity", "wanted"),
    [((), "A1", True), (("A1",), "A1", True), (("B1",), "B1.down", True), (("B1.up",), "B1.down", False)],
)
def test_rows_are_chosen_by_identity_or_by_group(rows, identity, wanted):
    assert Plan(rows=rows).wants(identity) is wanted
