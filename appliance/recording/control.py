"""A terminal's input, told apart: text, controls, escape sequences, strings. Sans-IO, any chunking.

The states are those of a DEC terminal (ECMA-48 sections 5 and 8.3; the C1 controls are also
understood in their one-character form U+0080 to U+009F, as terminals in UTF-8 mode do). Nothing a
peer sends makes the parser hold more than `LONGEST` characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 64
"""How many characters may stand between the introducer and the final one of a sequence."""
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
_IN_STRING = re.compile(r"[^\x07\x18\x1a\x1b\x80-\x9f]+")
_STRINGS = "PX]^_"
_CSI = re.compile(r"([<-?]*)([0-;]*)([ -/]*)\Z")


@dataclass(frozen=True, slots=True)
class Text:
    """Characters to show."""

    text: str


@dataclass(frozen=True, slots=True)
class Control:
    """One C0 control: newline, backspace and the like."""

    char: str


@dataclass(frozen=True, slots=True)
class Escape:
    """ESC, intermediates, a final character."""

    intermediates: str
    final: str


@dataclass(frozen=True, slots=True)
class Csi:
    """A control sequence: `ESC [`, private prefix, parameters, intermediates, final character."""

    prefix: str
    parameters: str
    intermediates: str
    final: str


@dataclass(frozen=True, slots=True)
class ControlString:
    """The beginning of an OSC (`]`), DCS (`P`), APC (`_`), PM (`^`) or SOS (`X`).

    Its contents are not kept.
    """

    kind: str


Token = Text | Control | Escape | Csi | ControlString


class _State(Enum):
    GROUND = auto()
    ESCAPE = auto()
    CSI = auto()
    STRING = auto()


class ControlParser:
    """Feed it text, in pieces of any size; it yields what was finished."""

    def __init__(self) -> None:
        self._state = _State.GROUND
        self._held = ""
        self._osc = False

    def feed(self, text: str) -> Iterator[Token]:
        """Yield the tokens that `text` completes. Runs of text may be split where pieces are."""
        at = 0
        while at < len(text):
            run = _TEXT.match(text, at) if self._state is _State.GROUND else None
            if self._state is _State.STRING:
                run = _IN_STRING.match(text, at)
            if run is None:
                yield from self._step(text[at])
                at += 1
                continue
            if self._state is _State.GROUND:
                yield Text(run.group())
            at = run.end()

    def _step(self, char: str) -> Iterator[Token]:
        if "\x80" <= char <= "\x9f":
            yield from self._introduce(chr(ord(char) - 0x40))
        elif char == "\x1b":
            self._state, self._held = _State.ESCAPE, ""
        elif char in "\x18\x1a":  # CAN, SUB: whatever was begun is void
            self._state = _State.GROUND
        elif self._state is _State.STRING:
            self._in_string(char)
        elif char < " ":
            yield Control(char)
        elif char != "\x7f":
            yield from self._graphic(char)

    def _in_string(self, char: str) -> None:
        if char == "\x07" and self._osc:
            self._state = _State.GROUND

    def _graphic(self, char: str) -> Iterator[Token]:
        if char > "\x7f" or len(self._held) >= LONGEST:
            yield from self._give_up(char)
        elif self._state is _State.CSI:
            yield from self._csi(char)
        elif char <= "/":
            self._held += char
        elif self._held:
            self._state = _State.GROUND
            yield Escape(self._held, char)
        else:
            yield from self._introduce(char)

    def _give_up(self, char: str) -> Iterator[Token]:
        """End a sequence that can't be one. What is too long is skipped up to its final character."""
        if char > "\x7f":
            self._state = _State.GROUND
            yield Text(char)
        elif "@" <= char <= "~" or (self._state is _State.ESCAPE and char >= "0"):
            self._state = _State.GROUND

    def _introduce(self, char: str) -> Iterator[Token]:
        self._held = ""
        if char == "[":
            self._state = _State.CSI
        elif char in _STRINGS:
            self._state, self._osc = _State.STRING, char == "]"
            yield ControlString(char)
        else:
            self._state = _State.GROUND
            yield Escape("", char)

    def _csi(self, char: str) -> Iterator[Token]:
        if char < "@":
            self._held += char
            return
        self._state = _State.GROUND
        if (parts := _CSI.match(self._held)) is not None:
            yield Csi(parts[1], parts[2], parts[3], char)
