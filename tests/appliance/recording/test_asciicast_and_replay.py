"""Exports that every player reads, and a replay that can't hurt."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.recording.asciicast import CastOptions, describe, export, parts
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
)
from appliance.recording.reader import Timed
from appliance.recording.replay import Speed, steps
from tests.appliance.recording.studio import facts

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


def timed(*frames, header=None):
    everything = [(0, Header(header or facts())), *frames]
    return [Timed(at_us=int(at * SECOND), wall_us=START + int(at * SECOND), frame=f) for at, f in everything]


def cast(*frames, header=None, **options):
    lines = list(export(timed(*frames, header=header), CastOptions(**options)))
    assert all(line.endswith("\n") and line.isascii() for line in lines)
    return [json.loads(line) for line in lines]


def test_the_header_tells_size_time_and_who():
    head = cast(header=facts(columns=132, rows=50))[0]
    assert head == {
        "version": 2,
        "width": 132,
        "height": 50,
        "timestamp": 1_700_000_000,
        "title": "root@web1 by joe",
        "env": {"TERM": "xterm"},
    }
    assert cast(title="mine")[0]["title"] == "mine"


def test_output_resizes_and_markers_become_events():
    events = cast(
        (0.5, Exec(Program.COMMAND, b"ls")),
        (1, Output(b"a\r\n")),
        (1.25, Resize(100, 40)),
        (2, InputHidden(7)),
        (3, ExitStatus(3)),
    )[1:]
    assert events == [
        [0.5, "m", "command ls"],
        [1.0, "o", "a\r\n"],
        [1.25, "r", "100x40"],
        [2.0, "m", "input hidden (7 bytes)"],
        [3.0, "m", "exit status 3"],
    ]


def test_input_is_left_out_unless_it_is_asked_for():
    frames = [(1, Input(b"id\r")), (1, Output(b"id\r\n"))]
    assert [event[1] for event in cast(*frames)[1:]] == ["o"]
    assert cast(*frames, with_input=True)[1] == [1.0, "i", "id\r"]


@given(text=st.text(max_size=30), cuts=st.lists(st.integers(0, 120), max_size=10))
def test_characters_split_over_frames_are_put_together(text, cuts):
    data = text.encode("utf-8", "surrogatepass")
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    frames = [(1, Output(data[a:b])) for a, b in pairwise(places)]
    shown = "".join(event[2] for event in cast(*frames, (2, End(outcome=Outcome.COMPLETE)), safe=False)[1:-1])
    assert shown == data.decode("utf-8", "replace")


def test_invalid_bytes_become_the_replacement_character():
    events = cast((1, Output(b"a\xff\xfeb\xc3")), (2, End(outcome=Outcome.COMPLETE)))[1:]
    assert events[:2] == [[1.0, "o", "a\ufffd\ufffdb"], [2.0, "o", "\ufffd"]]


def test_split_characters_of_output_and_stderr_do_not_mix():
    events = cast((1, Output(b"\xc3")), (2, ErrorOutput(b"!")), (3, Output(b"\xa9")))[1:]
    assert events == [[2.0, "o", "!"], [3.0, "o", "é"]]


def test_without_a_terminal_line_feeds_get_their_carriage_return():
    plain = facts(terminal="")
    frames = [(1, Output(b"a\nb\r")), (2, Output(b"\nc\n"))]
    assert "".join(event[2] for event in cast(*frames, header=plain)[1:]) == "a\r\nb\r\nc\r\n"
    assert cast((1, Output(b"a\nb")), header=facts())[1][2] == "a\nb"


def test_long_pauses_are_cut_and_times_move_up():
    frames = [(1, Output(b"a")), (3601, Output(b"b")), (3602, Output(b"c"))]
    assert [event[0] for event in cast(*frames, idle_limit=2.0)[1:]] == [1.0, 3.0, 4.0]
    assert [event[0] for event in cast(*frames)[1:]] == [1.0, 3601.0, 3602.0]


def test_control_sequences_that_answer_back_are_left_out_unless_the_raw_bytes_are_wanted():
    hostile = b"a\x1b]52;c;ZXZpbA==\x07\x1b[6nb\x1b[31m"
    assert cast((1, Output(hostile)))[1][2] == "ab\x1b[31m"
    assert cast((1, Output(hostile)), safe=False)[1][2] == hostile.decode()


def test_an_export_read_in_parts_is_the_same_text():
    rng = random.Random(3)
    frames = timed(*((i / 10, Output(rng.randbytes(3000))) for i in range(100)))
    whole = "".join(export(frames))
    pieces = list(parts(export(frames), size=50_000))
    assert "".join(pieces) == whole
    assert all(50_000 <= len(piece) < 80_000 for piece in pieces[:-1])
    assert list(parts([], size=10)) == []


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            Happened(
                FileMoved(protocol="sftp", verb=FileVerb.WRITE, path=b"/tmp/\xff", size=3, sha256="ab" * 32)
            ),
            r"sftp write /tmp/\xff (3 bytes)",
        ),
        (
            Happened(FileMoved(protocol="sftp", verb=FileVerb.RENAME, path=b"a", target=b"b", ok=False)),
            "sftp rename a -> b (0 bytes) failed",
        ),
        (
            Happened(
                Forwarded(
                    kind=ForwardKind.LOCAL,
                    destination="db:5432",
                    bytes_to_destination=1,
                    bytes_from_destination=2,
                )
            ),
            "local forward to db:5432 ended (1 bytes sent, 2 received)",
        ),
        (Happened(Joined(participant=1, user="ann", mode="observer")), "ann joined as observer"),
        (Happened(Left(participant=1)), "participant 1 left"),
        (Happened(Paused(reason="no moderator")), "paused: no moderator"),
        (Happened(Resumed()), "resumed"),
        (ExitSignal(signal="KILL"), "ended by signal KILL"),
        (Gap(lost_bytes=5, reason="disk full"), "about 5 bytes are missing here: disk full"),
        (Environment(b"LANG", b"C"), "LANG=C"),
        (Exec(Program.SHELL), "shell"),
        (End(outcome=Outcome.LOST, reason="crash"), "recording lost from here: crash"),
        (End(outcome=Outcome.COMPLETE), "end of the recording"),
    ],
)
def test_what_happened_beside_bytes_is_told_in_a_line(frame, text):
    assert cast((1, frame))[1:] == [[1.0, "m", text]]


def test_frames_that_show_nothing_make_no_event():
    assert cast((1, Echo(on=False)))[1:] == []
    assert describe(UnknownEvent("Teleported", {})) == "Teleported"


def test_a_replay_waits_between_steps_as_long_as_the_session_did():
    frames = timed((1, Output(b"a")), (1.5, Input(b"x")), (2, Output(b"b")), (60, Output(b"c")))
    assert [(step.delay, step.text) for step in steps(frames, Speed(idle_limit=None))] == [
        (1.0, "a"),
        (1.0, "b"),
        (58.0, "c"),
    ]
    assert [step.delay for step in steps(frames, Speed(factor=2, idle_limit=2.0))] == [0.5, 0.5, 1.0]


def test_a_replay_that_skips_shows_everything_before_at_once():
    frames = timed((1, Output(b"a")), (10, Output(b"b")), (12, Output(b"c")), (15, Output(b"d")))
    assert [step.delay for step in steps(frames, Speed(skip_to=11, idle_limit=None))] == [0, 0, 1.0, 3.0]


def test_a_replay_neutralises_what_would_answer_back_even_when_it_is_split():
    frames = timed(
        (1, Output(b"a\x1b")), (2, Output(b"]52;c;ZXZ")), (3, Output(b"pbA==\x07b\x1b[")), (4, Output(b"6nc"))
    )
    assert "".join(step.text for step in steps(frames)) == "abc"


def test_a_replay_says_where_something_is_missing_and_nothing_in_the_session_can_hide_it():
    frames = timed(
        (1, Output(b"\x1b]0;never ended")),
        (2, Gap(lost_bytes=9, reason="\x1b[6ndisk")),
        (3, End(outcome=Outcome.LOST, reason="crash")),
    )
    assert [step.text for step in steps(frames)] == [
        "\r\n[about 9 bytes are missing here: disk]\r\n",
        "\r\n[recording lost from here: crash]\r\n",
    ]


def test_a_replay_of_a_session_without_a_terminal_starts_each_line_at_the_left():
    frames = timed((1, Output(b"a\nb\n")), header=facts(terminal=""))
    assert next(steps(frames)).text == "a\r\nb\r\n"
