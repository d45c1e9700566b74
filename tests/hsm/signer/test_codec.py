"""What may cross the signer's border, and that nothing else does."""

from __future__ import annotations

import json
import struct
from dataclasses import fields
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm.errors import Malformed
from hsm.signer import codec
from hsm.signer.protocol import ANSWERS, REQUESTS, Code, SignerError, Status
from tests.support.certificates import session_request

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
_BASIC = {str: texts, int: st.integers(-(2**70), 2**70), bytes: st.binary(max_size=40)}
for basic, strategy in _BASIC.items():
    st.register_type_strategy(basic, strategy)
requests = st.one_of([st.builds(kind) for kind in REQUESTS.values()])
answers = st.one_of([st.tuples(st.just(request), st.builds(kind)) for request, kind in ANSWERS.items()])


def _payload(frame):
    (payload,) = codec.Deframer().feed(frame)
    return payload


@settings(max_examples=200)
@given(requests, st.integers(0, 2**40))
def test_every_request_arrives_as_it_was_sent(request, number):
    assert codec.read_request(_payload(codec.write_request(number, request))) == (number, request)


@settings(max_examples=200)
@given(answers)
def test_every_answer_arrives_as_it_was_sent(pair):
    request, answer = pair
    assert codec.read_answer(_payload(codec.write_answer(3, answer)), request) == (3, answer)


@pytest.mark.parametrize("code", Code)
def test_a_refusal_keeps_code_words_and_waiting_time(code):
    frame = codec.write_refusal(3, SignerError(code, "why", wait=1.5))
    number, error = codec.read_answer(_payload(frame), Status)
    assert (number, error.code, error.args, error.wait) == (3, code, ("why",), 1.5)


def _request(**changes):
    data = json.loads(_payload(codec.write_request(1, session_request())))
    data["args"].update(changes)
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": 7},
        {"principals": "joe,root"},
        {"principals": ["joe", 3]},
        {"principals": ["joe"] * 5000},
        {"valid_before": "1"},
        {"valid_before": True},
        {"valid_before": None},
        {"public_key": "not base64!"},
        {"public_key": ["x"]},
        {"ca": "root"},
        {"extensions": [{"name": "permit-pty", "value": "", "critical": True}]},
        {"extensions": [["permit-pty", ""]]},
    ],
)
def test_a_field_that_is_unknown_or_of_another_type_is_refused_by_name_and_not_repeated(changes):
    number, refused = codec.read_request(_request(**changes))
    assert number == 1
    assert isinstance(refused, Malformed)
    assert "joe" not in str(refused)


@pytest.mark.parametrize("name", [field.name for field in fields(session_request())])
def test_a_field_that_is_missing_is_refused_unless_it_has_a_default(name):
    data = json.loads(_request())
    del data["args"][name]
    _, result = codec.read_request(json.dumps(data).encode())
    optional = name in {"critical_options", "extensions", "lane"}
    assert isinstance(result, Malformed) != optional


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id":"1","op":"status","args":{}}',
        b'{"id":1.5,"op":"status","args":{}}',
        b'{"id":1,"id":2,"op":"status","args":{}}',
        b'{"id":1,"op":"status","args":{},"x":NaN}',
        b"\xff" * 9,
        b"[" * 60_000,
    ],
)
def test_a_frame_without_a_number_is_not_answered(payload):
    with pytest.raises(Malformed):
        codec.read_request(payload)


@pytest.mark.parametrize("operation", ["sign", "__class__", "", 7, None, ["status"]])
def test_no_other_request_exists(operation):
    _, refused = codec.read_request(json.dumps({"id": 1, "op": operation, "args": {}}).encode())
    assert isinstance(refused, Malformed)


def test_no_request_has_a_field_of_bytes_that_would_be_signed_as_they_are():
    carried = {
        (name, field.name)
        for name, kind in REQUESTS.items()
        for field in fields(kind)
        if get_type_hints(kind)[field.name] is bytes
    }
    assert {field for _, field in carried} == {"public_key"}


@given(st.binary(max_size=300), st.integers(1, 40))
def test_frames_are_cut_the_same_however_they_arrive(data, step):
    frames = b"".join(struct.pack(">I", len(part)) + part for part in (data, b"x") if part)
    whole, slow = codec.Deframer().feed(frames), codec.Deframer()
    pieces = [payload for at in range(0, len(frames), step) for payload in slow.feed(frames[at : at + step])]
    assert pieces == whole == [part for part in (data, b"x") if part]


@pytest.mark.parametrize("length", [0, codec.MAX_FRAME + 1, 2**32 - 1])
def test_a_frame_of_impossible_length_is_refused_before_it_is_read(length):
    with pytest.raises(Malformed):
        codec.Deframer().feed(struct.pack(">I", length))
