"""How a core that never waits asks for time: it yields a pause and hears whether to go on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitTouch:
    """The key blinks. After `seconds` it was touched, or the time is over; the core knows which."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The key is busy for so many seconds."""

    seconds: float


Pause = AwaitTouch | Delay

Steps = Generator[Pause, bool, Answer]
"""A command under way: yields pauses, is sent True to go on or False when the platform cancelled, returns."""


def at_once(steps: Steps[Answer]) -> Answer:
    """Run a command to its end without waiting, as a card reader without keep-alives does."""
    return run(steps, lambda _pause: True)


def run(steps: Steps[Answer], wait: Callable[[Pause], bool]) -> Answer:
    """Run a command to its end; `wait` sleeps through a pause and returns False when cancelled."""
    try:
        pause = next(steps)
        while True:
            pause = steps.send(wait(pause))
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer
