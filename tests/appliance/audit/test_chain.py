import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit.chain import GENESIS, ChainVerifier, FaultKind, Head, Place, leaf_hash, seal

COUNT = 9


def written(count=COUNT, start=GENESIS):
    head, lines = start, []
    for i in range(count):
        line, head = seal({"event": "e", "n": i}, head)
        lines.append(line)
    return lines, head


def check(lines, **options):
    verifier = ChainVerifier(**options)
    faults = []
    for number, line in enumerate(lines, 1):
        faults += verifier.feed(Place(file="f", line=number), line)
    return [(fault.kind, fault.place.line) for fault in [*faults, *verifier.finish()]]


def test_a_line_carries_its_number_and_the_hash_of_the_line_before():
    lines, head = written(2)
    first, second = map(json.loads, lines)
    assert (first["seq"], first["prev"]) == (1, "0" * 64)
    assert (second["seq"], second["prev"]) == (2, leaf_hash(lines[0]).hex())
    assert head == Head(2, leaf_hash(lines[1]).hex())


@settings(deadline=None)
@given(count=st.integers(0, 30))
def test_what_was_written_is_without_fault(count):
    lines, head = written(count)
    assert check(lines, anchors={head.seq: head.hash} if count else {}) == []


@settings(deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_found_at_its_line_or_the_one_beside(data):
    lines, head = written(5)
    index = data.draw(st.integers(0, 4))
    position = data.draw(st.integers(0, len(lines[index]) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(lines[index])
    flipped[position] ^= 1 << bit
    faults = check([*lines[:index], bytes(flipped), *lines[index + 1 :]], anchors={5: head.hash})
    assert faults
    assert min(abs(place - (index + 1)) for _, place in faults) <= 1


@pytest.mark.parametrize("index", [0, 4, COUNT - 2])
def test_an_edited_event_is_named_by_its_line(index):
    lines, _ = written()
    record = json.loads(lines[index])
    lines[index] = json.dumps({**record, "n": "forged"}, sort_keys=True, separators=(",", ":")).encode()
    assert check(lines) == [(FaultKind.EDITED, index + 1)]


def test_an_edited_last_event_is_found_by_an_anchor():
    lines, head = written()
    lines[-1] = lines[-1].replace(b'"n":8', b'"n":9')
    assert check(lines) == []
    assert check(lines, anchors={head.seq: head.hash}) == [(FaultKind.REPLACED, COUNT)]


@pytest.mark.parametrize("index", [0, 4, COUNT - 2])
def test_a_removed_event_is_named_by_the_line_that_now_stands_there(index):
    lines, _ = written()
    del lines[index]
    assert check(lines) == [(FaultKind.REMOVED, index + 1)]


def test_two_swapped_events_are_named():
    lines, _ = written()
    lines[3], lines[4] = lines[4], lines[3]
    assert check(lines) == [(FaultKind.MOVED, 5)]


def test_an_event_moved_and_edited_is_both():
    lines, _ = written()
    lines[3], lines[4] = lines[4], lines[3].replace(b'"n":3', b'"n":7')
    assert check(lines) == [(FaultKind.MOVED, 5), (FaultKind.EDITED, 5)]


def test_a_duplicated_event_is_named_by_its_second_place():
    lines, _ = written()
    assert check([*lines[:6], lines[2], *lines[6:]]) == [(FaultKind.REPEATED, 7)]


def test_a_cut_off_end_is_found_by_an_anchor_only():
    lines, head = written()
    assert check(lines[:-2]) == []
    assert check(lines[:-2], anchors={head.seq: head.hash}) == [(FaultKind.TRUNCATED, COUNT - 2)]
    assert check([], anchors={head.seq: head.hash}) == [(FaultKind.TRUNCATED, 0)]


def test_a_tail_written_anew_is_found_by_an_anchor():
    lines, head = written()
    kept = Head(5, leaf_hash(lines[4]).hex())
    forged, _ = written(COUNT - 5, start=kept)
    assert check(lines[:5] + forged) == []
    assert (FaultKind.REPLACED, COUNT) in check(lines[:5] + forged, anchors={head.seq: head.hash})


@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[]", b"null", b'{"seq":"1","prev":""}', b"\xff", b"[" * 100_000]
)
def test_a_line_that_is_no_event_is_named_and_the_rest_is_still_checked(rubbish):
    lines, _ = written()
    assert check([*lines[:4], rubbish, *lines[4:]]) == [(FaultKind.UNREADABLE, 5)]
