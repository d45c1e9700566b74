"""Nothing typed without an echo is kept (X10, R05); what was echoed is."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.recording.echo import HOLD_US, MAX_HELD, EchoGuard, Hidden, Kept

MS = 1000


class Terminal:
    """A guard between a person and a line discipline that echoes, or does not."""

    def __init__(self, columns=80):
        self.guard, self.now, self.pieces = EchoGuard(columns), 0, []
        self.typed_bytes = b""

    def print(self, text):
        self.pieces += self.guard.printed(text.encode())

    def type(self, text, *, echo=None):
        """Type one key after the other, each echoed at once (or as `echo` says)."""
        for key in text:
            self.now += 80 * MS
            self.typed_bytes += key.encode()
            self.pieces += self.guard.typed(key.encode(), self.now)
            if echo is None:
                self.print({"\r": "\r\n", "\x7f": "\b \b"}.get(key, key))
            else:
                self.print(echo(key))

    def wait(self, seconds=1.5):
        self.now += int(seconds * 1_000_000)
        self.pieces += self.guard.waited(self.now)

    @property
    def kept(self):
        return b"".join(piece.data for piece in self.pieces if isinstance(piece, Kept))

    @property
    def hidden(self):
        return sum(piece.count for piece in self.pieces if isinstance(piece, Hidden))


def silent(key):
    return "\r\n" if key == "\r" else ""


def test_an_echoed_line_is_kept_when_enter_is_typed():
    terminal = Terminal()
    terminal.print("$ ")
    terminal.type("ls -l\r")
    assert terminal.pieces == [Kept(b"ls -l\r")]


def test_a_password_is_hidden_with_its_enter():
    terminal = Terminal()
    terminal.print("Password: ")
    terminal.type("hunter2\r", echo=silent)
    terminal.print("$ ")
    terminal.wait()
    assert terminal.pieces == [Hidden(8)]


def test_a_pasted_password_is_hidden():
    terminal = Terminal()
    terminal.print("Password: ")
    terminal.pieces += terminal.guard.typed(b"hunter2\r", 0)
    terminal.print("\r\nLast login: today\r\n$ ")
    terminal.wait()
    assert terminal.pieces == [Hidden(8)]


def test_a_password_shown_as_stars_is_hidden():
    terminal = Terminal()
    terminal.print("[sudo] password: ")
    terminal.type("hunter2\r", echo=lambda key: "\r\n" if key == "\r" else "*")
    terminal.wait()
    assert terminal.kept == b""


def test_the_line_after_a_password_is_kept_even_if_typed_at_once():
    terminal = Terminal()
    terminal.print("Password: ")
    terminal.type("hunter2\r", echo=silent)
    terminal.print("$ ")
    terminal.type("id\r")
    terminal.wait()
    assert terminal.pieces == [Hidden(8), Kept(b"id\r")]


def test_a_corrected_password_is_hidden_whole():
    terminal = Terminal()
    terminal.print("Password: ")
    terminal.type("hunter3\x7f2\x15hunter2\r", echo=silent)
    terminal.wait()
    assert terminal.kept == b""


def test_a_corrected_command_is_kept_with_its_corrections():
    terminal = Terminal()
    terminal.print("$ ")
    terminal.type("lx\x7fs\x7f\x7fid\r")
    assert terminal.kept == b"lx\x7fs\x7f\x7fid\r"


def test_a_password_is_hidden_while_other_output_runs_over_the_screen():
    terminal = Terminal()
    terminal.print("Password: ")
    for key in "hunter2":
        terminal.type(key, echo=silent)
        terminal.print(f"\r\n{key} is a letter of the alphabet: hunter\r\n")
    terminal.type("\r", echo=silent)
    terminal.wait()
    assert terminal.kept == b""


def test_a_password_that_is_part_of_the_prompt_is_hidden():
    terminal = Terminal()
    terminal.pieces += terminal.guard.typed(b"su\rword\r", 0)
    terminal.print("su\r\nPassword: \r\n$ ")
    terminal.wait()
    assert terminal.kept == b"su\r"
    assert terminal.hidden == 5


def test_a_line_typed_ahead_is_kept_when_the_shell_prints_it_at_last():
    terminal = Terminal()
    terminal.print("$ ")
    terminal.pieces += terminal.guard.typed(b"sleep 1\rid\r", 0)
    terminal.print("sleep 1\r\n")
    terminal.print("$ ")
    terminal.print("id\r\n")
    assert terminal.kept == b"sleep 1\rid\r"


def test_an_echo_that_wraps_at_the_edge_of_the_screen_is_followed():
    terminal = Terminal(columns=10)
    terminal.print("prompt> ")
    terminal.type("echo a long line that wraps\r")
    assert terminal.kept == b"echo a long line that wraps\r"


def test_redrawing_the_line_with_colours_counts_as_echo():
    terminal = Terminal()
    terminal.print("\x1b[1m%\x1b[0m ")
    line = ""

    def highlight(key):
        nonlocal line
        if key == "\r":
            return "\r\n"
        line += key
        return "\b" * (len(line) - 1) + f"\x1b[32m{line}\x1b[0m\x1b[K"

    terminal.type("make\r", echo=highlight)
    assert terminal.kept == b"make\r"


@pytest.mark.parametrize(
    "move",
    [
        "\x1b[12;40H",
        "\x1b[12;40f",
        "\x1b[5A\x1b[3C",
        "\x1b[2B\x1b[2D",
        "\x1b[30G",
        "\t",
        "\x1b[H",
        "\x1b]0;t\x07\x1b7",
    ],
)
def test_a_form_anywhere_on_the_screen_echoes_where_its_cursor_is(move):
    terminal = Terminal()
    terminal.print(f"name: {move}")
    terminal.type("joe\r")
    assert terminal.kept == b"joe\r"
    terminal.print(f"{move}\x1b[1;1Hstatus line: hunter{move}")
    terminal.type("hunter\r", echo=silent)
    terminal.wait()
    assert terminal.hidden == 7


def test_a_narrower_terminal_wraps_earlier():
    terminal = Terminal(columns=80)
    terminal.guard.resized(12)
    terminal.print("prompt> ")
    terminal.type("echo wraps\r")
    assert terminal.kept == b"echo wraps\r"


def test_arrow_keys_need_no_echo():
    terminal = Terminal()
    terminal.print("$ ")
    for key in (b"\x1b[A", b"\x1bOB", b"\r"):
        terminal.pieces += terminal.guard.typed(key, 0)
    terminal.print("\r\n")
    terminal.wait()
    assert terminal.kept == b"\x1b[A\x1bOB\r"


def test_keys_of_a_full_screen_program_are_hidden():
    terminal = Terminal()
    terminal.print("\x1b[?1049h\x1b[2J\x1b[H~\r\n~\r\n\x1b[1;1H")
    terminal.type("ddjp", echo=lambda _: "\x1b[2;1H\x1b[K")
    terminal.wait()
    assert terminal.pieces == [Hidden(4)]


def test_unicode_input_is_followed_across_split_characters():
    terminal = Terminal()
    terminal.print("$ ")
    for byte in "é世".encode():
        terminal.pieces += terminal.guard.typed(bytes([byte]), 0)
        terminal.pieces += terminal.guard.printed(bytes([byte]))
    terminal.type("\r")
    assert terminal.kept == "é世\r".encode()


def test_input_is_not_held_for_ever_nor_without_bound():
    terminal = Terminal()
    terminal.pieces += terminal.guard.typed(b"x" * 100_000, 0)
    assert terminal.hidden == 100_000
    for _ in range(40):
        terminal.pieces += terminal.guard.typed(b"y\r" * 2000, 0)
        terminal.print("z" * 500)
    assert sum(len(line.raw) for line in terminal.guard._lines) <= MAX_HELD
    terminal.guard.waited(HOLD_US)
    assert not terminal.guard.holds


def test_a_flood_of_input_and_output_costs_the_loop_little():
    terminal, started = Terminal(), time.process_time()
    for _ in range(20):
        terminal.pieces += terminal.guard.typed(b"y\r" * 2000, 0)
        terminal.print("y\r\n" * 20_000)
        terminal.pieces += terminal.guard.typed(b"x" * 32_768, 0)
    assert time.process_time() - started < 2.0


def test_a_flood_of_output_ends_the_wait():
    terminal = Terminal()
    terminal.pieces += terminal.guard.typed(b"q", 0)
    terminal.print("flood of text\r\n" * 1000)
    assert terminal.pieces == [Hidden(1)]


passwords = st.text("abcdefghijklm0123456789_", min_size=1, max_size=12)
commands = st.text("nopqrstuvwxyz -/.", min_size=1, max_size=30)
chatter = st.text("ABCDEFGHIJKLMNOP :\r\n", max_size=40)


@given(
    script=st.lists(
        st.tuples(st.booleans(), commands, passwords, chatter, st.booleans()), min_size=1, max_size=6
    ),
    columns=st.integers(20, 100),
)
@settings(max_examples=150, deadline=None)
def test_hidden_lines_never_come_out_and_echoed_ones_always_do(script, columns):
    terminal, expected = Terminal(columns), b""
    for echoes, command, password, output, pasted in script:
        terminal.print(output + "\r\n> ")
        line = (command if echoes else password) + "\r"
        if pasted:
            terminal.typed_bytes += line.encode()
            terminal.pieces += terminal.guard.typed(line.encode(), terminal.now)
            terminal.print((command if echoes else "") + "\r\n")
        else:
            terminal.type(line, echo=None if echoes else silent)
        expected += line.encode() if echoes else b""
        terminal.wait()
    assert terminal.kept == expected
    assert len(terminal.kept) + terminal.hidden == len(terminal.typed_bytes)


@given(
    steps=st.lists(st.tuples(st.sampled_from("tpw"), st.binary(max_size=12), st.integers(0, 700_000))),
)
@settings(max_examples=200)
def test_every_typed_byte_is_kept_or_counted_and_in_order(steps):
    guard, now, pieces, typed = EchoGuard(20), 0, [], b""
    for what, data, pause in steps:
        now += pause
        if what == "t":
            typed += data
            pieces += guard.typed(data, now)
        elif what == "p":
            pieces += guard.printed(data)
        else:
            pieces += guard.waited(now)
    pieces += guard.flush()
    at = 0
    for piece in pieces:
        if isinstance(piece, Kept):
            assert typed[at : at + len(piece.data)] == piece.data
            at += len(piece.data)
        else:
            at += piece.count
    assert at == len(typed)


@pytest.mark.functional
def test_with_a_real_shell_commands_are_kept_and_its_silent_read_is_hidden():
    """Drives bash with readline on a real pseudo-terminal, as the relay would see it."""
    guard, pieces = EchoGuard(80), []
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "PS1": "$ ", "HISTFILE": ""},
    )
    os.close(slave)
    printed = b""

    def pump(seconds):
        nonlocal printed, pieces
        if select.select([master], [], [], seconds)[0]:
            data = os.read(master, 4096)
            printed += data
            pieces += guard.printed(data)
        pieces += guard.waited(time.monotonic_ns() // 1000)

    def read_until(text, limit=20.0):
        nonlocal printed
        end = time.monotonic() + limit
        while text not in printed and time.monotonic() < end:
            pump(0.05)
        assert text in printed, printed
        printed = printed.partition(text)[2]

    def type_keys(text):
        nonlocal pieces
        for key in text:
            pieces += guard.typed(bytes([key]), time.monotonic_ns() // 1000)
            os.write(master, bytes([key]))
            pump(0.01)

    try:
        read_until(b"$ ")
        type_keys(b"echo oen\x7f\x7fne two\r")
        read_until(b"one two\r\n")
        read_until(b"$ ")
        type_keys(b"read -rsp 'Pass: ' secret\r")
        read_until(b"Pass: ")
        type_keys(b"correct horse\r")
        read_until(b"$ ")
        type_keys(b"exit\r")
        shell.wait(20)
    finally:
        shell.kill()
        shell.wait()
        os.close(master)
    pieces += guard.waited(time.monotonic_ns() // 1000 + HOLD_US)
    kept = b"".join(piece.data for piece in pieces if isinstance(piece, Kept))
    assert b"correct" not in kept
    assert b"horse" not in kept
    assert kept.startswith(b"echo oen\x7f\x7fne two\rread -rsp 'Pass: ' secret\r"), (kept, sys.version)
    assert Hidden(14) in pieces
