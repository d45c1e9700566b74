import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from webui.present import duration, moment, qr, shown, size


@given(st.text())
def test_nothing_that_hides_or_moves_text_is_shown_as_it_is(text):
    out = shown(text)
    assert all(
        unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or char in "\n\t" for char in out
    )


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs", "M"))))
def test_ordinary_text_of_any_script_is_left_alone(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("a\u202eb", "a\\u{202e}b"),
        ("\x1b]0;x\x07", "\\u{1b}]0;x\\u{7}"),
        ("ad\u200bmin", "ad\\u{200b}min"),
        ("\x9b31m", "\\u{9b}31m"),
        ("a\u2028b", "a\\u{2028}b"),
    ],
)
def test_hiding_characters_are_spelled_out(text, out):
    assert shown(text) == out


def test_own_markup_is_not_touched():
    assert shown(Markup("<b>\u200b</b>")) == Markup("<b>\u200b</b>")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (5400, "90 minutes"),
        (3600, "1 hour"),
        (82800, "23 hours"),
        (172800, "2 days"),
        (3599, "60 minutes"),
    ],
)
def test_lengths_of_time_in_words(seconds, text):
    assert duration(seconds) == text


def test_sizes():
    assert [size(1), size(2048), size(5 << 20)] == ["1 B", "2.0 KiB", "5.0 MiB"]


def test_a_moment_is_machine_readable_and_in_utc():
    out = moment(datetime(2026, 1, 31, 12, 0, tzinfo=UTC))
    assert out == '<time datetime="2026-01-31T12:00:00Z">31 Jan 2026, 12:00 UTC</time>'


def test_a_moment_that_is_none_is_escaped():
    assert moment("<script>") == "&lt;script&gt;"


def test_a_qr_code_has_no_script_and_no_style_attribute():
    out = qr("otpauth://totp/x?secret=ABC&issuer=<script>")
    assert "<script" not in out
    assert "style=" not in out
    assert "<svg" in out
