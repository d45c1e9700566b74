"""What of a recorded session may reach the terminal of whoever replays it (threat L02). Sans-IO.

An allow-list. These pass, written anew in their plain 7-bit form:

    text             every character that is neither a control nor one that turns text around (bidi)
    BS HT LF CR      other controls do not, the bell included
    CSI ... m        colours and attributes
    CSI ... A-H d e f a `   cursor movement
    CSI ... J K X    erase;  CSI ... L M P @ S T b   insert, delete, scroll, repeat
    CSI r s u, ESC 7 8 D E M   scroll region, saved cursor, index
    CSI 4 h l        insert mode
    CSI ? 7 12 25 47 1047 1048 1049 h l   wrap, cursor, alternate screen

Everything else is dropped: reports (DSR, DA, DECRQSS, title), window operations, OSC (titles, links,
clipboard, colours), DCS, APC, PM, SOS, mouse and paste modes, resets, printing, keyboard
modes. Line drawing by character sets (SO, SI, `ESC ( 0`) is shown as the Unicode characters meant.
What comes out passes through unchanged if filtered again, whatever the pieces it comes in.
"""

from __future__ import annotations

import codecs
import re
from typing import assert_never

from appliance.recording.control import (
    Control,
    ControlParser,
    ControlString,
    Csi,
    Escape,
    Text,
    Token,
)

CONTROLS = frozenset("\b\t\n\r")
FINALS = frozenset("ABCDEFGHdefa`JKXmrLMP@STbsu")
ESCAPES = frozenset("78DEM")
MODES = frozenset({"7", "12", "25", "47", "1047", "1048", "1049"})
_PARAMETERS = re.compile(r"(?:\d{0,4}(?:[;:]\d{0,4}){0,31})\Z", re.ASCII)
_UNSAFE_TEXT = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ONE_NUMBER = frozenset("STb")
_BARE = frozenset("su")
_LINES = str.maketrans(
    "`abcdefghijklmnopqrstuvwxyz{|}~",
    "\u25c6\u2592\u2409\u240c\u240d\u240a\u00b0\u00b1\u2424\u240b\u2518\u2510\u250c\u2514\u253c\u23ba\u23bb\u2500"
    "\u23bc\u23bd\u251c\u2524\u2534\u252c\u2502\u2264\u2265\u03c0\u2260\u00a3\u00b7",
)
RESET = "\x1b[0m\x1b[r\x1b[4l\x1b[?7h\x1b[?25h\x1b[?1049l"
"""What a player writes at its end, so that the person's terminal is as before."""


class ScreenFilter:
    """One terminal's worth of state: feed it pieces of output, it returns what may be shown."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parser = ControlParser()
        self._drawing = [False, False]
        self._shift = 0

    def feed(self, data: bytes) -> str:
        """Filter bytes; what is no UTF-8 becomes U+FFFD."""
        return self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> str:
        """Filter text."""
        return "".join(map(self._allowed, self._parser.feed(text)))

    def _allowed(self, token: Token) -> str:
        match token:
            case Text(text):
                return self._text(text)
            case Control(char):
                return self._control(char)
            case Escape(intermediates, final):
                return self._escape(intermediates, final)
            case Csi():
                return sequence(token)
            case ControlString():
                return ""
            case unknown:
                assert_never(unknown)

    def _text(self, text: str) -> str:
        if self._drawing[self._shift]:
            text = text.translate(_LINES)
        return _UNSAFE_TEXT.sub("", text)

    def _control(self, char: str) -> str:
        if char in "\x0e\x0f":
            self._shift = 1 if char == "\x0e" else 0
        return char if char in CONTROLS else ""

    def _escape(self, intermediates: str, final: str) -> str:
        if intermediates in {"(", ")"}:
            self._drawing[intermediates == ")"] = final == "0"
        return f"\x1b{final}" if not intermediates and final in ESCAPES else ""


def sequence(token: Csi) -> str:
    """Return the control sequence in plain form if it is on the list, otherwise nothing."""
    if token.intermediates or not _PARAMETERS.match(token.parameters):
        return ""
    if token.prefix:
        return _private_mode(token)
    if token.final in "hl":
        return f"\x1b[4{token.final}" if token.parameters == "4" else ""
    return f"\x1b[{token.parameters}{token.final}" if _listed(token.final, token.parameters) else ""


def _listed(final: str, parameters: str) -> bool:
    if final in _BARE:  # with parameters these are margins and other things
        return not parameters
    if final in _ONE_NUMBER:  # with five, T is mouse tracking
        return ";" not in parameters and ":" not in parameters
    return final == "m" or (final in FINALS and ":" not in parameters)


def _private_mode(token: Csi) -> str:
    modes = [mode for mode in token.parameters.split(";") if mode in MODES]
    if token.prefix != "?" or token.final not in "hl" or not modes:
        return ""
    return f"\x1b[?{';'.join(modes)}{token.final}"
