from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.recording.errors import FormatError
from appliance.recording.events import (
    FileMoved,
    FileVerb,
    Forwarded,
    ForwardKind,
    Joined,
    Left,
    Paused,
    Resumed,
    UnknownEvent,
)
from appliance.recording.frames import (
    Echo,
    End,
    Environment,
    ErrorOutput,
    Exec,
    ExitSignal,
    ExitStatus,
    Gap,
    Happened,
    Header,
    Input,
    InputHidden,
    Outcome,
    Output,
    Program,
    Resize,
    SessionFacts,
    Unknown,
    decode_frames,
    encode_frame,
    read_varint,
    varint,
)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
text = st.text(st.characters(codec="utf-8"), max_size=20)
events = st.one_of(
    st.builds(
        FileMoved,
        protocol=text,
        verb=st.sampled_from(FileVerb),
        path=st.binary(),
        target=st.none() | st.binary(),
        size=u64,
        sha256=st.none() | text,
        ok=st.booleans(),
        reason=text,
    ),
    st.builds(
        Forwarded,
        kind=st.sampled_from(ForwardKind),
        destination=text,
        bytes_to_destination=u64,
        bytes_from_destination=u64,
    ),
    st.builds(Joined, participant=u32, user=text, mode=text),
    st.builds(Left, participant=u32, reason=text),
    st.builds(Paused, reason=text),
    st.builds(Resumed, reason=text),
)
frames = st.one_of(
    st.builds(
        Header,
        st.builds(SessionFacts, session_id=text, user=text, login=text, node=text, columns=u32, rows=u32),
    ),
    st.builds(Output, st.binary()),
    st.builds(ErrorOutput, st.binary()),
    st.builds(Input, st.binary(), u32),
    st.builds(InputHidden, u32, u32),
    st.builds(Resize, u32, u32),
    st.builds(Exec, st.sampled_from(Program), st.binary()),
    st.builds(Environment, st.binary(), st.binary()),
    st.builds(ExitStatus, u32),
    st.builds(ExitSignal, signal=text, core_dumped=st.booleans(), message=text),
    st.builds(Happened, events),
    st.builds(Echo, st.booleans()),
    st.builds(Gap, lost_bytes=u64, reason=text),
    st.builds(End, outcome=st.sampled_from(Outcome), reason=text, output_bytes=u64),
    st.builds(Unknown, st.integers(15, 255), st.binary()),
)


@given(value=u64)
def test_a_varint_comes_back_and_says_where_it_ended(value):
    assert read_varint(b"x" + varint(value) + b"y", 1) == (value, 1 + len(varint(value)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 10, b"\x80" * 9 + b"\x02"])
def test_a_number_that_is_cut_off_or_over_64_bits_is_refused(data):
    with pytest.raises(FormatError):
        read_varint(data, 0)


@given(given_frames=st.lists(st.tuples(u64, frames), max_size=8))
def test_every_frame_comes_back_with_its_delta(given_frames):
    data = b"".join(encode_frame(frame, delta) for delta, frame in given_frames)
    assert list(decode_frames(data)) == given_frames


@given(frame=frames, cut=st.integers(1, 400))
def test_a_frame_that_is_cut_off_is_refused(frame, cut):
    data = encode_frame(frame, 5)
    with pytest.raises(FormatError):
        list(decode_frames(data[: max(1, len(data) - cut)]))


@given(data=st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_format_error(data):
    with suppress(FormatError):
        list(decode_frames(data))


def test_an_event_of_a_newer_recorder_is_kept_under_its_name():
    newer = Happened(UnknownEvent("Teleported", {"is": "Teleported", "to": "mars"}))
    assert [frame for _, frame in decode_frames(encode_frame(newer, 0))] == [newer]


def test_fields_a_newer_recorder_added_to_an_event_are_ignored():
    payload = b'{"is":"Paused","reason":"moderator left","colour":"red"}'
    data = bytes([11, 0, len(payload)]) + payload
    assert next(decode_frames(data))[1] == Happened(Paused(reason="moderator left"))


def test_a_session_id_that_is_no_uuid_is_refused():
    plain = SessionFacts(session_id="../etc", user="joe", login="root", node="web1")
    with pytest.raises(FormatError):
        _ = plain.uuid
    session_id = uuid4()
    assert SessionFacts(session_id=str(session_id), user="a", login="b", node="c").uuid == session_id
