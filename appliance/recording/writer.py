"""`Recorder`: what the proxy feeds from its event loop. No method but the awaited ones waits for anything.

Bytes are copied once, into the open batch; a batch of 256 KiB, or of 250 ms, is written by the
lane. Too much in the queue makes the recorder `full`: the relay stops reading until `drained`.

A strict recorder that fails calls `on_failure` once, and from then on raises `RecorderFailed` for
everything handed to it, so that a relay can't forget: what is not recorded does not pass. A
best-effort recorder calls `on_failure` (an alarm) too, counts what is lost, tries again every
second, and marks the gap in the recording when writing works again.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from appliance.recording.echo import EchoGuard, Hidden, Kept, Piece
from appliance.recording.feed import Limits
from appliance.recording.frames import (
    Bytes,
    Echo,
    Frame,
    Header,
    Kind,
    Outcome,
    Resize,
    SessionFacts,
    split,
    varint,
)
from appliance.recording.journal import Journal
from appliance.recording.scribe import Scribe, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.recording.errors import RecorderFailed
    from appliance.recording.lane import Lanes
    from appliance.recording.manifest import Manifest
    from appliance.recording.sinks import BlockSink
    from appliance.recording.ticks import Ticks

DEFAULT_LIMITS = Limits()


class Recorder:
    """One recording from `open` to `close`; used on one event loop, written on a lane."""

    def __init__(
        self,
        *,
        facts: SessionFacts,
        sink: BlockSink,
        lanes: Lanes,
        ticks: Ticks,
        on_failure: Callable[[RecorderFailed], None],
        on_drained: Callable[[], None] | None = None,
        guard_echo: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare a recording; nothing is written before `open`.

        `facts.strict` chooses the mode. `guard_echo` holds input back until it was seen echoed
        (`echo.py`); it is for sessions with a terminal, since nothing else echoes. Both callbacks
        are called on the loop, never from within a method of this class.
        """
        self.facts = facts
        self._lanes, self._lane = lanes, lanes.take()
        self._on_failure, self._on_drained = on_failure, on_drained
        self._guards = {0: EchoGuard(facts.columns)} if guard_echo else {}
        self._columns = facts.columns
        self._waiters: list[asyncio.Future[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scribe = Scribe(
            journal=Journal(facts.uuid, sink),
            strict=facts.strict,
            limits=limits,
            ticks=ticks,
            lane=self._lane,
            owner=self,
        )

    @property
    def full(self) -> bool:
        """Whether the relay has to stop reading until `drained`."""
        return self._scribe.full

    @property
    def failure(self) -> RecorderFailed | None:
        """What is wrong now; a best-effort recorder recovers from it."""
        return self._scribe.failure

    async def open(self) -> None:
        """Make the recording durable with its header; before this returns no byte may pass.

        Raises `RecorderFailed` in either mode: what can't even begin is the caller's decision.
        """
        self._loop = asyncio.get_running_loop()
        with self._scribe.lock:
            self._scribe.feed.add(*split(Header(self.facts)))
        try:
            await asyncio.wrap_future(self._lane.submit(self._scribe.create))
        except OSError as error:
            self._scribe.closed = True
            self._lanes.give_back(self._lane)
            raise translated(error) from error

    def output(self, data: Bytes) -> None:
        """Record bytes on their way to the person; they are copied. Raises `RecorderFailed` (strict)."""
        scribe = self._scribe
        with scribe.lock:
            scribe.append(Kind.OUTPUT, data)
            scribe.counts.output += len(data)
            for participant, guard in self._guards.items():
                if decided := guard.printed(data):
                    self._append_pieces(decided, participant)

    def error_output(self, data: Bytes) -> None:
        """Record bytes of standard error on their way to the person; raises as `output`."""
        with self._scribe.lock:
            self._scribe.append(Kind.ERROR_OUTPUT, data)
            self._scribe.counts.error += len(data)

    def input(self, data: Bytes, participant: int = 0) -> None:
        """Record bytes on their way to the node, as the echo guard allows; raises as `output`.

        `participant` is the number that a `Joined` event gave a person, 0 for who opened the session.
        """
        scribe = self._scribe
        with scribe.lock:
            scribe.refuse()
            scribe.counts.input += len(data)
            if not self._guards:
                scribe.append(Kind.INPUT, data, varint(participant))
                return
            guard = self._guards.setdefault(participant, EchoGuard(self._columns))
            self._append_pieces(guard.typed(bytes(data), scribe.feed.now_us()), participant)
            scribe.ask_for_turns()

    def resize(self, columns: int, rows: int) -> None:
        """Record a new size of the terminal in character cells; raises as `output`."""
        with self._scribe.lock:
            self._columns = columns
            for guard in self._guards.values():
                guard.resized(columns)
            self._scribe.append(*split(Resize(columns, rows)))

    def echo(self, *, on: bool) -> None:
        """Record what the node's own daemon knows for certain about echo; it overrules the guess."""
        with self._scribe.lock:
            for participant, guard in self._guards.items():
                self._append_pieces(guard.told(echo=on), participant)
            self._scribe.append(*split(Echo(on)))

    def record(self, frame: Frame) -> None:
        """Record any other frame: exec, environment, exit, events; raises as `output`."""
        with self._scribe.lock:
            self._scribe.append(*split(frame))

    async def drained(self) -> None:
        """Wait until the recorder is not full any more; raises `RecorderFailed` in strict mode."""
        while self.full and self._loop is not None:
            self._waiters.append(waiter := self._loop.create_future())
            await waiter
        with self._scribe.lock:
            self._scribe.refuse()

    async def close(self, reason: str = "", *, outcome: Outcome = Outcome.COMPLETE) -> Manifest:
        """Write the end, make everything durable, and return the manifest to sign.

        Raises `RecorderFailed` where that can't be done; the file then stays as it is, for recovery.
        Call it once, after a successful `open`, whatever happened in between.
        """
        job = functools.partial(self._scribe.finish, reason=reason, outcome=outcome)
        try:
            return await asyncio.wrap_future(self._lane.submit(job))
        except OSError as error:
            raise translated(error) from error
        finally:
            self._lanes.give_back(self._lane)

    # What the scribe calls, on any thread.

    def failed(self, error: RecorderFailed) -> None:
        """Pass a failure on to the loop."""
        self._on_loop(functools.partial(self._on_failure, error))

    def relieved(self) -> None:
        """Pass on that there is room again."""
        self._on_loop(self._announce_room)

    def settle(self, *, everything: bool) -> bool:
        """Append held input that is decided by now; return whether more is held."""
        now = self._scribe.feed.now_us()
        for participant, guard in self._guards.items():
            self._append_pieces(guard.flush() if everything else guard.waited(now), participant)
        return any(guard.holds for guard in self._guards.values())

    def _on_loop(self, call: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: whoever wanted to know is gone
                self._loop.call_soon_threadsafe(call)

    def _announce_room(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._on_drained is not None:
            self._on_drained()

    def _append_pieces(self, decided: Iterable[Piece], participant: int) -> None:
        for piece in decided:
            match piece:
                case Kept(data):
                    self._scribe.append(Kind.INPUT, data, varint(participant))
                case Hidden(count):
                    self._scribe.append(Kind.INPUT_HIDDEN, varint(count), varint(participant))
                case unknown:
                    assert_never(unknown)
