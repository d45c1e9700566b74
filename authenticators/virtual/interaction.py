"""How a core that never waits asks for time: it yields a pause and hears whether to go on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

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

GO_ON: Final = True
Steps = Generator[Pause, bool, Answer]
"""A command under way: yields pauses, is sent True to go on or False when the platform cancelled, returns."""


def at_once(steps: Steps[Answer]) -> Answer:
    """Run a command to its end without waiting, as a card reader without keep-alives does."""
    return run(steps, lambda _pause: GO_ON)


def run(steps: Steps[Answer], wait: Callable[[Pause], bool]) -> Answer:
    """Run a command to its end; `wait` sleeps through a pause and returns False when cancelled."""
    try:
        pause = next(steps)
        while True:
            pause = steps.send(wait(pause))
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer


@dataclass(slots=True)
class Pending(Generic[Answer]):
    """A command under way behind a protocol that polls: it goes on when its pause is over."""

    steps: Steps[Answer]
    clock: Callable[[], float]
    pause: Pause | None = field(init=False, default=None)
    due: float = field(init=False, default=0.0)
    answer: Answer | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._proceed(lambda: next(self.steps))
        self.poll()

    def poll(self) -> bool:
        """Go on as far as time allows; return whether the command has ended and `answer` holds."""
        while self.pause is not None and self.clock() >= self.due:
            self._proceed(lambda: self.steps.send(GO_ON))
        return self.pause is None

    def cancel(self) -> None:
        """Tell the command that the platform gave up; it ends at once."""
        while self.pause is not None:
            self._proceed(lambda: self.steps.send(not GO_ON))

    @property
    def seconds_left(self) -> float:
        """How long the present pause lasts."""
        return max(0.0, self.due - self.clock())

    def _proceed(self, step: Callable[[], Pause]) -> None:
        try:
            self.pause = step()
            self.due = self.clock() + self.pause.seconds
        except StopIteration as stop:
            self.pause, self.answer = None, stop.value
