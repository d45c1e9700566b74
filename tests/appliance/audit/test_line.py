import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit.errors import Unrecordable
from appliance.audit.line import MAX_LINE, SEAL_ROOM, canonical, prepare

HOSTILE = [
    "a\r\nb",
    "\x1b[2J\x1b]52;c;aGk=\x07",
    "\x1bP1$r\x1b\\",
    "\x9b31m",
    "\x7f\x00\x08",
    "\u202egnp.exe",
    "\u2028\u2029\x85",
    '","event":"x',
    "\ud800\udfff lone",
    "\U0001f600",
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
records = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: name not in {"seq", "prev", "truncated", "rest"}),
    values,
    max_size=10,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_typed_one_event_stays_one_harmless_line_that_parses(text):
    line = canonical(prepare({"event": "exec", "command": text, text[:20] or "x": [text]}))
    assert set(line.decode("ascii")) <= set(string.printable) - set("\t\n\r\x0b\x0c")
    parsed = json.loads(line)
    assert parsed["event"] == "exec"
    if text.isprintable():
        assert parsed["command"] == text


@settings(deadline=None)
@given(record=records)
def test_any_record_becomes_one_line_of_printable_ascii_within_the_limit(record):
    line = canonical(prepare({**record, "event": "x"}))
    assert len(line) <= MAX_LINE - SEAL_ROOM
    assert all(0x20 <= byte < 0x7F for byte in line)
    assert canonical(json.loads(line)) == line


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])), number=st.integers(-(2**63), 2**63 - 1))
def test_ordinary_values_come_back_as_they_were(text, number):
    record = {"event": "e", "text": text, "number": number, "list": [text, True, None]}
    assert json.loads(canonical(prepare(record))) == record


def hex_or_text(value):
    return hex(value)[:20] if isinstance(value, int) else str(value)


@pytest.mark.parametrize("value", [2**63, -(2**70), 10**5000, float("nan"), float("inf")], ids=hex_or_text)
def test_numbers_that_other_readers_would_spoil_become_text(value):
    assert isinstance(prepare({"event": "e", "n": value})["n"], str)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"event": ""},
        {"event": 7},
        {"event": "e", "seq": 1},
        {"event": "e", "prev": ""},
        {"event": "e", "truncated": []},
        {"event": "e", "x": b"bytes"},
        {"event": "e", "x": {"y": object()}},
        {"event": "e", 7: "x"},
        {"event": "e", "": "x"},
        {"event": "e", "n" * 65: "x"},
    ],
)
def test_what_is_no_event_is_refused(record):
    with pytest.raises(Unrecordable):
        prepare(record)


def filled(size):
    """An event whose line has exactly this many bytes before sealing."""
    empty = len(canonical({"event": "exec", "command": ""}))
    return {"event": "exec", "command": "x" * (size - empty)}


def test_an_event_of_the_largest_size_is_kept_whole_and_one_byte_more_is_shortened_and_says_so():
    largest = filled(MAX_LINE - SEAL_ROOM)
    assert prepare(largest) == largest
    shortened = prepare(filled(MAX_LINE - SEAL_ROOM + 1))
    assert shortened["truncated"] == ["command"]
    assert "[truncated: " in shortened["command"]
    assert len(canonical(shortened)) <= MAX_LINE - SEAL_ROOM


@pytest.mark.parametrize("character", ["x", "\n", "\U0001f600", "\u202e"])
def test_many_long_fields_are_shortened_longest_first_and_who_and_what_stay(character):
    record = {"event": "exec", "user": "joe", "sid": "s1", **{f"f{i}": character * 9000 for i in range(50)}}
    shortened = prepare(record)
    assert {"event": "exec", "user": "joe", "sid": "s1"}.items() <= shortened.items()
    assert set(shortened) == set(record) | {"truncated"}
    assert len(canonical(shortened)) <= MAX_LINE - SEAL_ROOM


def test_fields_beyond_the_limit_go_into_one():
    shortened = prepare({"event": "e", "user": "joe", **{f"field{i}": i for i in range(5000)}})
    assert len(shortened) <= 64
    assert shortened["user"] == "joe"
    assert "rest" in shortened
    assert shortened["truncated"] == ["rest"]


def test_a_nested_bomb_is_cut():
    bomb = []
    for _ in range(10_000):
        bomb = [bomb]
    line = canonical(prepare({"event": "e", "bomb": bomb}))
    assert b"[nested too deeply]" in line
    assert len(line) < 100
