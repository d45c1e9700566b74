"""Export to asciicast v2 (docs.asciinema.org/manual/asciicast/v2): a header line, then a line an event.

Bytes become text that is valid UTF-8: a character split over frames is put together, bytes that are
none become U+FFFD. Output and standard error are decoded apart. Unless asked otherwise, control
sequences that could harm a terminal are left out; the recording itself stays as it is. A session
without a terminal wrote bare line feeds, and a player needs a carriage return before each. What
happened beside bytes becomes markers ("m").
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from appliance.recording.events import (
    Event,
    FileMoved,
    Forwarded,
    Joined,
    Left,
    Paused,
    Resumed,
    UnknownEvent,
    shown,
)
from appliance.recording.frames import (
    Echo,
    End,
    Environment,
    ErrorOutput,
    Exec,
    ExitSignal,
    ExitStatus,
    Frame,
    Gap,
    Happened,
    Header,
    Input,
    InputHidden,
    Outcome,
    Output,
    Resize,
    SessionFacts,
    Unknown,
)
from appliance.recording.screen import ScreenFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.recording.reader import Timed

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CastOptions:
    """What the export contains."""

    with_input: bool = False
    """Add "i" events; what was hidden stays hidden."""
    idle_limit: float | None = None
    """Longest pause in seconds; longer ones are shortened to it, times behind them move up."""
    title: str = ""
    safe: bool = True
    """Pass output through `screen.ScreenFilter`: a cast may be played, or printed, in a real terminal."""


DEFAULT_OPTIONS = CastOptions()


class TextDecoder:
    """Bytes of one stream to text, whatever the frames' borders are."""

    def __init__(self, *, add_returns: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._add_returns, self._last = add_returns, ""

    def text(self, data: bytes, *, final: bool = False) -> str:
        """Return the characters that `data` completes; with `final` also what is left over."""
        text = self._decoder.decode(data, final)
        if not (self._add_returns and text):
            return text
        before, self._last = self._last, text[-1]
        # A carriage return at the end of the piece before belongs to a line feed at the beginning of this.
        return (before + text).replace("\r\n", "\n").replace("\n", "\r\n")[len(before) :]


class _Clock:
    """Times in seconds, with long pauses cut."""

    def __init__(self, limit: float | None) -> None:
        self._limit = None if limit is None else int(limit * SECOND_US)
        self._last = self._cut = 0

    def seconds(self, at_us: int) -> float:
        pause, self._last = at_us - self._last, at_us
        if self._limit is not None and pause > self._limit:
            self._cut += pause - self._limit
        return (at_us - self._cut) / SECOND_US


class _Caster:
    """Turns frames into (code, text) pairs."""

    def __init__(self, facts: SessionFacts, options: CastOptions) -> None:
        raw = not facts.terminal
        self._output, self._error = TextDecoder(add_returns=raw), TextDecoder(add_returns=raw)
        self._inputs: dict[int, TextDecoder] = {}
        self._screen = ScreenFilter() if options.safe else None
        self._options = options

    def events(self, frame: Frame) -> Iterator[tuple[str, str]]:
        match frame:
            case Output(data):
                yield "o", self._shown(self._output.text(data))
            case ErrorOutput(data):
                yield "o", self._shown(self._error.text(data))
            case Input(data, participant):
                decoder = self._inputs.setdefault(participant, TextDecoder(add_returns=False))
                yield "i", decoder.text(data) if self._options.with_input else ""
            case Resize(columns, rows):
                yield "r", f"{columns}x{rows}"
            case End():
                rest = self._output.text(b"", final=True) + self._error.text(b"", final=True)
                yield "o", self._shown(rest)
                yield "m", marker(frame)
            case _:
                yield "m", marker(frame)

    def _shown(self, text: str) -> str:
        return text if self._screen is None else self._screen.feed_text(text)


def export(frames: Iterable[Timed], options: CastOptions = DEFAULT_OPTIONS) -> Iterator[str]:
    """Yield the lines of a cast, each with its line feed, ASCII only; the first frame must be the header.

    The frames are read once and not kept, so a recording of any size can be exported.
    """
    caster: _Caster | None = None
    clock = _Clock(options.idle_limit)
    for timed in frames:
        if isinstance(timed.frame, Header):
            caster = _Caster(timed.frame.facts, options)
            yield _line(_head(timed, timed.frame.facts, options))
        elif caster is not None:
            for code, text in caster.events(timed.frame):
                if text:
                    yield _line([round(clock.seconds(timed.at_us), 6), code, text])


def parts(lines: Iterable[str], size: int = 1 << 20) -> Iterator[str]:
    """Yield the lines joined to texts of about `size` characters, always cut in the same places.

    So `next(islice(parts(export(frames)), cursor, None), None)` answers a request for part `cursor`.
    """
    held: list[str] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line)
        if length >= size:
            yield "".join(held)
            held, length = [], 0
    if held:
        yield "".join(held)


def _head(timed: Timed, facts: SessionFacts, options: CastOptions) -> dict[str, object]:
    return {
        "version": 2,
        "width": max(facts.columns, 1),
        "height": max(facts.rows, 1),
        "timestamp": timed.wall_us // SECOND_US,
        "title": options.title or f"{facts.login}@{facts.node} by {facts.user}",
        "env": {"TERM": facts.terminal or "dumb"},
    }


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def marker(frame: Frame) -> str:  # noqa: C901, PLR0911 - one line a kind
    """Return one line that tells what a frame without terminal bytes means, empty where there is nothing."""
    match frame:
        case Happened(event):
            return describe(event)
        case Exec(program, command):
            return f"{program.name.lower()} {shown(command)}".rstrip()
        case ExitStatus(status):
            return f"exit status {status}"
        case ExitSignal(signal=signal):
            return f"ended by signal {signal}"
        case InputHidden(count):
            return f"input hidden ({count} bytes)"
        case Gap(lost_bytes=lost, reason=reason):
            return f"about {lost} bytes are missing here: {reason}"
        case End(outcome=Outcome.LOST, reason=reason):
            return f"recording lost from here: {reason}"
        case End(reason=reason):
            return f"end of the recording: {reason}".rstrip(": ")
        case Environment(name, value):
            return f"{shown(name)}={shown(value)}"
        case Header() | Output() | ErrorOutput() | Input() | Resize() | Echo() | Unknown():
            return ""
        case unknown:
            assert_never(unknown)


def describe(event: Event | UnknownEvent) -> str:  # noqa: PLR0911 - one line a kind
    """Return one line about an event. Names in it are as the peer sent them: escape where it goes."""
    match event:
        case FileMoved(protocol=protocol, verb=verb, path=path, target=target, size=size, ok=ok):
            arrow = "" if target is None else f" -> {shown(target)}"
            return f"{protocol} {verb} {shown(path)}{arrow} ({size} bytes){'' if ok else ' failed'}"
        case Forwarded(kind=kind, destination=where, bytes_to_destination=up, bytes_from_destination=down):
            return f"{kind} forward to {where} ended ({up} bytes sent, {down} received)"
        case Joined(user=user, mode=mode):
            return f"{user} joined as {mode}"
        case Left(participant=participant, reason=reason):
            return f"participant {participant} left {reason}".rstrip()
        case Paused(reason=reason):
            return f"paused: {reason}"
        case Resumed(reason=reason):
            return f"resumed {reason}".rstrip()
        case UnknownEvent(name):
            return name
        case unknown:
            assert_never(unknown)
