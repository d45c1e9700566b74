"""Nothing that was typed while the terminal did not echo is kept (X10). Sans-IO.

A proxy does not see the terminal's ECHO flag; it sees what was typed and what was printed. So
input is held back until it has been seen where an echo stands, and is otherwise replaced by its length.

A typed character counts as echoed when it is printed, after it was typed, at the cell where the cursor
stood when it was typed, or directly behind the character typed before it. A line typed ahead (while
earlier input still waited for its echo) has no such cell; it counts when it is printed in one piece
and followed by a line end. A line is kept or hidden as a whole, so that chance hits tell nothing:

    kept     every printable character of the line was echoed
    hidden   one second after the last key something is still not echoed, or 1024 characters were
             printed meanwhile, or more than 4 KiB came at once (a large paste, piped data)

What this means, honestly: passwords at prompts of ssh, sudo, passwd, `read -s`, gpg and the like are hidden;
so is everything else that does not echo where it is typed: commands of full-screen programs, single keys in
menus, masked input, and typing over links slower than a second. Output is recorded in full either way.
Cursor keys and other control sequences are no characters: they follow the fate of their line. A
password can be kept if the program itself prints it at the cursor at the time it is typed; then it
stands in the recorded output too. A character typed alone, with a second of silence around it, is a line
of its own here, so one that chance output puts at the cursor at that moment is kept.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, assert_never

from appliance.recording.control import Control, ControlParser, ControlString, Csi, Escape, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.recording.frames import Bytes

HOLD_US = 1_000_000
MAX_LINE = 4096
MAX_HELD = 64 * 1024
MAX_PRINTED = 1024
TAIL = 1024
MAX_LINES = 256
LINES_WATCHED = 4
"""Lines an echo is looked for at the same time; echoes come in the order of typing."""
ERASE = ("\x7f", "\b")
_PARTS = re.compile(rb"[^\r\n]+|[\r\n]")
_KEYS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~]|[ -~])?|.", re.DOTALL)
Position = tuple[int, int]
NOWHERE: Position = (-1, -1)


@dataclass(frozen=True, slots=True)
class Kept:
    """Input that was echoed, as typed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hidden:
    """So many bytes of input that were not."""

    count: int


Piece = Kept | Hidden


class _Cursor:
    """Where the next character is printed, as far as an echo needs it: rows count from any place."""

    def __init__(self, columns: int) -> None:
        self.columns = max(columns, 1)
        self.row = self.column = 0
        self._parser = ControlParser()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def position(self) -> Position:
        return (self.row, self.column)

    def feed(self, data: bytes) -> Iterator[tuple[str, Position]]:
        """Yield each printed character and its cell; line ends as they are, with no cell."""
        for token in self._parser.feed(self._decoder.decode(data)):
            match token:
                case Text(text):
                    yield from self._print(text)
                case Control(char):
                    self._control(char)
                    if char in "\r\n":
                        yield char, NOWHERE
                case Csi("", parameters, "", final):
                    self._csi(parameters, final)
                case Csi() | Escape() | ControlString():
                    pass
                case unknown:
                    assert_never(unknown)

    def _print(self, text: str) -> Iterator[tuple[str, Position]]:
        for char in text:
            if self.column >= self.columns:  # a terminal wraps when the next character comes
                self.row, self.column = self.row + 1, 0
            yield char, self.position
            self.column += 1

    def _control(self, char: str) -> None:
        if char == "\n":
            self.row += 1
        elif char == "\r":
            self.column = 0
        elif char == "\b":
            self.column = max(min(self.column, self.columns) - 1, 0)
        elif char == "\t":
            self.column = min(self.column // 8 * 8 + 8, self.columns - 1)

    def _csi(self, parameters: str, final: str) -> None:
        numbers = [int(number) if number.isdigit() else 0 for number in parameters.split(";")]
        count = max(numbers[0], 1)
        if final in "AB":
            self.row += count if final == "B" else -count
        elif final in "CD":
            self.column += count if final == "C" else -count
        elif final == "G":
            self.column = count - 1
        elif final in "Hf":
            # Absolute rows are kept apart from counted ones, of which nobody knows the origin.
            self.row = (1 << 30) + count
            self.column = max(numbers[1] if len(numbers) > 1 else 1, 1) - 1
        self.column = max(0, min(self.column, self.columns - 1)) if final in "CDGHf" else self.column


@dataclass(slots=True)
class _Line:
    """What was typed between two decisions.

    `keys` are its characters and erasures, with the cursor's cell.
    """

    ahead: bool
    """Whether it was begun while earlier input still waited for its echo."""
    raw: bytearray = field(default_factory=bytearray)
    keys: list[tuple[str, Position]] = field(default_factory=list)
    seen: int = 0
    """How many of the keys were echoed."""
    cells: list[Position] = field(default_factory=list)
    next_cell: Position = NOWHERE
    loose: bool = False
    """Found without a cell to stand in, so it counts only before a line end."""
    ended: bool = False
    typed_us: int = 0

    @property
    def waits(self) -> bool:
        return self.seen < len(self.keys) or self.loose

    def key(self, char: str, cursor: Position) -> None:
        self.keys.append((char, NOWHERE if self.waits else cursor))
        self._pass_erasures()

    def show(self, char: str, cell: Position) -> None:
        """Take one printed character, or line end, into account."""
        if self.seen == len(self.keys) and self.loose and char in "\r\n":
            self.loose = False
        elif self.waits and not self._match(char, cell) and self.loose:
            self.seen, self.cells, self.loose = 0, [], False
            self._match(char, cell)

    def _match(self, char: str, cell: Position) -> bool:
        if self.seen == len(self.keys) or cell == NOWHERE or char != self.keys[self.seen][0]:
            return False
        row, column = self.next_cell
        placed = cell in {self.keys[self.seen][1], (row, column), (row + 1, 0)}
        if not placed and not (self.ahead and self.seen == 0):
            return False
        self.loose = self.loose or not placed
        self.cells.append(cell)
        self.next_cell = (cell[0], cell[1] + 1)
        self.seen += 1
        self._pass_erasures()
        return True

    def _pass_erasures(self) -> None:
        """The next character is expected where the erased one stood."""
        while self.seen < len(self.keys) and self.keys[self.seen][0] in ERASE:
            self.seen += 1
            if self.cells:
                self.next_cell = self.cells.pop()


class EchoGuard:
    """Holds input back until its echo was seen. Times are microseconds of one clock that never goes back."""

    def __init__(self, columns: int = 80) -> None:
        self._columns = columns
        self._told: bool | None = None
        self._tail = b""
        self._lines: deque[_Line] = deque()
        self._held = self._printed = 0
        self._cursor = _Cursor(columns)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def holds(self) -> bool:
        """Whether input waits here for a decision."""
        return bool(self._lines)

    def resized(self, columns: int) -> None:
        """Take notice of the terminal's new width."""
        self._columns = self._cursor.columns = max(columns, 1)

    def told(self, *, echo: bool | None) -> list[Piece]:
        """Take certain knowledge over guessing (None: guess again); decides about all that is held."""
        pieces = self.flush()
        self._told = echo
        return pieces

    def typed(self, data: bytes, now_us: int) -> list[Piece]:
        """Take input; returns what is decided, in the order of typing."""
        if self._told is not None:
            return [Kept(data) if self._told else Hidden(len(data))]
        if len(data) > MAX_LINE:  # nobody's fingers; looking at each byte would hold up the loop
            return [*self.flush(), Hidden(len(data))]
        if not self._lines:
            self._start_cursor()
        self._printed = 0
        for part in _PARTS.findall(data):
            self._type(part, now_us)
        return self._decide(lambda line: line.ended and not line.waits)

    def _start_cursor(self) -> None:
        """Find the cursor's column from the last row of output; before input nobody followed it."""
        self._cursor = _Cursor(self._columns)
        deque(self._cursor.feed(self._tail.rpartition(b"\n")[2]), maxlen=0)

    def _type(self, part: bytes, now_us: int) -> None:
        if not self._lines or self._lines[-1].ended:
            self._lines.append(_Line(ahead=bool(self._lines)))
        line = self._lines[-1]
        line.raw += part
        self._held += len(part)
        line.typed_us = now_us
        line.ended = part in b"\r\n"
        for key in _KEYS.findall(self._decoder.decode(part)):
            if key in ERASE or key.isprintable():
                line.key(key, self._cursor.position)

    def printed(self, data: Bytes) -> list[Piece]:
        """Take output; returns the input that it decides about."""
        self._tail = (self._tail + bytes(data[-TAIL:]))[-TAIL:]
        if not self._lines:
            return []
        watched = self._watched()
        for char, cell in self._cursor.feed(bytes(data)):
            for line in watched:
                line.show(char, cell)
            if watched and watched[0].ended and not watched[0].waits:
                watched = self._watched()
            self._printed += 1
            if self._printed > MAX_PRINTED or not watched:
                return self.flush()
        return self._decide(lambda line: line.ended and not line.waits)

    def _watched(self) -> list[_Line]:
        return [*islice((line for line in self._lines if line.waits or not line.ended), LINES_WATCHED)]

    def waited(self, now_us: int) -> list[Piece]:
        """Decide about lines whose last key is a second old, or that grew too long to hold."""
        return self._decide(lambda line: now_us - line.typed_us >= HOLD_US)

    def flush(self) -> list[Piece]:
        """Decide about everything now."""
        return self._decide(lambda _: True)

    def _decide(self, ripe: Callable[[_Line], bool]) -> list[Piece]:
        pieces: list[Piece] = []
        while self._lines and (ripe(self._lines[0]) or self._too_much()):
            line = self._lines.popleft()
            self._held -= len(line.raw)
            pieces.append(Hidden(len(line.raw)) if line.waits else Kept(bytes(line.raw)))
        return pieces

    def _too_much(self) -> bool:
        return len(self._lines[0].raw) > MAX_LINE or self._held > MAX_HELD or len(self._lines) > MAX_LINES
