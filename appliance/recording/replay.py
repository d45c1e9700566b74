"""`sally play`: a recording as steps of harmless text with the pauses between them. Sans-IO.

The caller writes each step's text after waiting its delay, and `screen.RESET` at the end, also when it
is interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.recording.asciicast import TextDecoder, marker
from appliance.recording.frames import End, ErrorOutput, Frame, Gap, Header, Outcome, Output
from appliance.recording.screen import ScreenFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.recording.reader import Timed

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How to play."""

    factor: float = 1.0
    """2.0 plays twice as fast."""
    idle_limit: float | None = 2.0
    """The longest pause in seconds of the recording, before `factor`; None keeps all."""
    skip_to: float = 0.0
    """Seconds from the beginning; what is before is shown at once, so that the screen is right."""


NORMAL = Speed()


@dataclass(frozen=True, slots=True)
class Step:
    """Wait `delay` seconds, then write `text`. `at` is the recording's time in seconds."""

    delay: float
    text: str
    at: float


def steps(frames: Iterable[Timed], speed: Speed = NORMAL) -> Iterator[Step]:
    """Yield what to do; frames without anything to show lengthen the next pause only."""
    stage, last_us = _Stage(add_returns=False), 0
    for timed in frames:
        if isinstance(timed.frame, Header):
            stage = _Stage(add_returns=not timed.frame.facts.terminal)
        elif text := stage.shown(timed.frame):
            yield Step(_delay(timed.at_us - last_us, timed.at_us, speed), text, timed.at_us / SECOND_US)
            last_us = timed.at_us


class _Stage:
    """What has been decoded and filtered so far."""

    def __init__(self, *, add_returns: bool) -> None:
        self._output, self._error = TextDecoder(add_returns=add_returns), TextDecoder(add_returns=add_returns)
        self._screen = ScreenFilter()

    def shown(self, frame: Frame) -> str:
        match frame:
            case Output(data):
                return self._screen.feed_text(self._output.text(data))
            case ErrorOutput(data):
                return self._screen.feed_text(self._error.text(data))
            case Gap() | End(outcome=Outcome.LOST):
                # A filter of its own: a sequence that the session left open must not swallow the notice.
                return ScreenFilter().feed_text(f"\r\n[{marker(frame)}]\r\n")
            case _:
                return ""


def _delay(pause_us: int, at_us: int, speed: Speed) -> float:
    at, pause = at_us / SECOND_US, pause_us / SECOND_US
    if at <= speed.skip_to:
        return 0.0
    pause = min(pause, at - speed.skip_to)
    if speed.idle_limit is not None:
        pause = min(pause, speed.idle_limit)
    return pause / speed.factor
