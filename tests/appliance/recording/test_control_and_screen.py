"""No sequence outside the allow-list comes out, for any input in any pieces (threat L02)."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.recording.control import LONGEST, ControlParser
from appliance.recording.screen import ScreenFilter

ESC = "\x1b"
# Written without a look at the filter: what may come out, token by token.
ALLOWED = re.compile(
    r"[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
    r"|[\b\t\n\r]"
    r"|\x1b[78DEM]"
    r"|\x1b\[[0-9;:]*m"
    r"|\x1b\[[0-9;]*[A-Hdefa`JKXrLMP@]"
    r"|\x1b\[[0-9]*[STb]"
    r"|\x1b\[[su]"
    r"|\x1b\[4[hl]"
    r"|\x1b\[\?(?:(?:7|12|25|47|1047|1048|1049);?)+[hl]"
)
pieces_of_trouble = st.sampled_from(
    [
        "\x1b",
        "\x1b[",
        "\x1b]0;",
        "\x1b]52;c;",
        "\x1bP$q",
        "\x1bP1$r0m",
        "\x1b_G",
        "\x1b^",
        "\x1bX",
        "\x1b\\",
        "\x07",
        "\x9b",
        "\x9d",
        "\x90",
        "\x9c",
        "\x85",
        "\x18",
        "\x1a",
        "\x0e",
        "\x0f",
        "\x1b(0",
        "\x1b)B",
        "\x1b#8",
        "\x1bc",
        "6n",
        "c",
        ">c",
        "?1049h",
        "?1000;25h",
        "2J",
        "31;1m",
        "38:2::1:2:3m",
        "21t",
        "!p",
        "5i",
        ">4;2m",
        "1;2s",
        "99999b",
        "0;0;0;0;0T",
        "\u202e",
        "\u2028",
        "lqqk",
        "text",
        "\r\n",
        "\b",
        "é世🙂",
    ]
)
soup = st.lists(pieces_of_trouble | st.text(max_size=3), max_size=30).map("".join)


def filtered(text):
    return ScreenFilter().feed_text(text)


def whole(text):
    at = 0
    while at < len(text):
        found = ALLOWED.match(text, at)
        assert found, (text, text[at : at + 20])
        at = found.end()


@given(text=soup)
@settings(max_examples=400)
def test_nothing_outside_the_list_comes_out(text):
    whole(filtered(text))


@given(data=st.binary(max_size=200))
def test_nothing_outside_the_list_comes_out_of_any_bytes(data):
    whole(ScreenFilter().feed(data))


@given(text=soup, cuts=st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=300)
def test_the_result_does_not_depend_on_how_the_input_is_cut(text, cuts):
    data, screen = text.encode(), ScreenFilter()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts = [data[start:end] for start, end in pairwise(places)]
    assert "".join(map(screen.feed, parts)) == filtered(text)


@given(text=soup)
@settings(max_examples=300)
def test_filtering_again_changes_nothing(text):
    once = filtered(text)
    assert filtered(once) == once


@pytest.mark.parametrize(
    "harmful",
    [
        ESC + "[6n",
        ESC + "[5n",
        ESC + "[?6n",
        ESC + "[c",
        ESC + "[>c",
        ESC + "[=c",
        ESC + "Z",
        ESC + "P$qm" + ESC + "\\",
        ESC + "P+q544e" + ESC + "\\",
        ESC + "]52;c;ZXZpbA==\x07",
        ESC + "]52;c;?" + ESC + "\\",
        ESC + "]0;title\x07",
        ESC + "]2;title" + ESC + "\\",
        ESC + "]8;;file:///etc/passwd" + ESC + "\\",
        ESC + "]10;?\x07",
        ESC + "]1337;File=:AAAA\x07",
        ESC + "[21t",
        ESC + "[8;999;999t",
        ESC + "_Gf=100;AAAA" + ESC + "\\",
        ESC + "^message" + ESC + "\\",
        ESC + "Xstring" + ESC + "\\",
        "\x9b6n",
        "\x9d0;title\x9c",
        "\x90$qm\x9c",
        ESC + "[?1000h",
        ESC + "[?2004h",
        ESC + "[5i",
        ESC + "[?5i",
        ESC + "c",
        ESC + "[!p",
        ESC + "[?1;2$p",
        ESC + "[1;24;1;80$w",
        ESC + "[>4;2m",
        ESC + "[2;5s",
        ESC + "[12;34;56;78;90T",
        ESC + "[x",
        ESC + "#8",
        "\x05",
        "\x07",
        "\u202e",
    ],
)
def test_sequences_that_answer_back_or_harm_leave_nothing_behind(harmful):
    assert filtered("a" + harmful + "b") == "ab"
    data = ("a" + harmful + "b").encode()
    screen = ScreenFilter()
    assert "".join(screen.feed(data[at : at + 1]) for at in range(len(data))) == "ab"


def test_raw_8_bit_controls_are_no_controls():
    assert ScreenFilter().feed(b"a\x9b6nb") == "a\ufffd6nb"


@pytest.mark.parametrize(
    "harmless",
    [
        "plain é 世界 🙂",
        "a\r\n\tb\bc",
        ESC + "[1;38;5;208m" + ESC + "[m" + ESC + "[38:2::1:2:3m",
        ESC + "[2J" + ESC + "[H" + ESC + "[10;20H" + ESC + "[K" + ESC + "[3A" + ESC + "[5G" + ESC + "[2d",
        ESC + "[5;20r" + ESC + "M" + ESC + "D" + ESC + "7" + ESC + "8",
        ESC + "[?1049h" + ESC + "[?25l" + ESC + "[?25h" + ESC + "[?1049l",
        ESC + "[4h" + ESC + "[4l" + ESC + "[2L" + ESC + "[3P" + ESC + "[@",
    ],
)
def test_what_full_screen_programs_draw_passes_unchanged(harmless):
    assert filtered(harmless) == harmless


def test_a_set_of_modes_keeps_only_the_harmless_ones():
    assert filtered(ESC + "[?1000;1049;2004h") == ESC + "[?1049h"


def test_one_character_controls_come_out_in_their_plain_form():
    assert filtered("\x9b31mred") == ESC + "[31mred"


def test_line_drawing_is_shown_as_the_characters_meant():
    assert filtered(ESC + "(0lqk" + ESC + "(Blqk") == "┌─┐lqk"
    assert filtered(ESC + ")0\x0elqk\x0flqk") == "┌─┐lqk"


def test_an_endless_sequence_holds_no_memory_and_ends_somewhere():
    parser = ControlParser()
    assert list(parser.feed(ESC + "[" + "1;" * 100_000)) == []
    assert len(parser._held) <= LONGEST
    assert filtered(ESC + "[" + "1;" * 1000 + "mtext") == "text"


def test_a_string_that_is_never_ended_swallows_the_rest_as_a_terminal_would():
    assert filtered("a" + ESC + "]0;" + "x" * 100_000) == "a"
    assert filtered("a" + ESC + "]0;x\x18b") == "ab"
