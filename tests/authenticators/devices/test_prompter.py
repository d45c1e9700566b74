import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.devices import prompter as module
from authenticators.devices.prompter import TerminalPrompter, printable


@pytest.fixture
def stream():
    return io.StringIO()


def test_each_prompt_says_what_to_do(stream):
    prompter = TerminalPrompter(stream)
    prompter.insert()
    prompter.choose(["A", "B"])
    prompter.touch("A")
    prompter.verify("A")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("No security key found")
    assert lines[1] == "2 security keys found (A, B). Touch the one to use."
    assert lines[2] == "Touch the key (A)."
    assert "fingerprint" in lines[3]


@pytest.mark.parametrize(
    ("tries_left", "wrong", "question"),
    [
        (8, False, "PIN of the key (A, 8 tries left): "),
        (1, True, "Wrong PIN. PIN of the key (A, 1 try left): "),
        (None, False, "PIN of the key (A): "),
    ],
)
def test_a_pin_is_asked_for_without_echo_and_with_the_tries_left(
    monkeypatch, stream, tries_left, wrong, question
):
    asked = []
    monkeypatch.setattr(module.getpass, "getpass", lambda text, where: asked.append((text, where)) or "1234")
    assert TerminalPrompter(stream).pin("A", tries_left=tries_left, wrong=wrong) == "1234"
    assert asked == [(question, stream)]


def test_an_empty_pin_gives_up(monkeypatch, stream):
    monkeypatch.setattr(module.getpass, "getpass", lambda *_: "")
    assert TerminalPrompter(stream).pin("A", tries_left=8, wrong=False) is None


@pytest.mark.parametrize(
    ("typed", "chosen"), [("2\n", 1), ("0\n", None), ("3\n", None), ("x\n", None), ("", None)]
)
def test_an_account_is_chosen_by_number(monkeypatch, stream, typed, chosen):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert TerminalPrompter(stream).account(["joe", "ann"]) == chosen
    assert "  2. ann" in stream.getvalue()


def test_a_key_s_name_commands_no_terminal(stream):
    TerminalPrompter(stream).touch("evil\x1b]0;title\x07\u202e")
    assert stream.getvalue() == "Touch the key (evil?]0;title??).\n"


@given(st.text())
def test_printable_text_has_no_control_characters(text):
    assert all(letter.isprintable() for letter in printable(text))
