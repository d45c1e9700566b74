"""Two channels, tied back to back: what one says the other hears, at the pace of the slower.

    person's channel ──PersonEnd──┐        ┌──NodeEnd── node's channel
                                  └─ Pipe ─┘
                                      └── Watch: hears every byte before it passes, may hold or refuse it

A pipe reads from a channel only while nothing holds that end: not begun, the other side is slow, the
recorder is full. Closing, half-closing and requests go through in the order they came.
"""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from appliance.proxy.fast.channel import Answer, BridgeChannel

log = logging.getLogger(__name__)
STDERR = 1
BOTH = 2


class Hold(Enum):
    """Why an end does not read."""

    NOT_BEGUN = auto()
    OTHER_IS_SLOW = auto()
    RECORDER_IS_FULL = auto()
    LOG_IS_FULL = auto()
    PAUSED = auto()


class Watch(Protocol):
    """Hears what passes, before it passes."""

    def from_person(self, data: bytes) -> bool:
        """Bytes on their way to the node; False keeps them back for good."""

    def from_node(self, data: bytes, *, error: bool) -> bool:
        """Bytes on their way to the person, `error` for standard error; False keeps them back for good."""

    def person_asks(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A request of the person's."""

    def node_asks(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A request of the node's."""

    def person_done(self) -> None:
        """The person sends no more."""

    def ended(self) -> None:
        """Both ends are closed."""


class End:
    """One end: what stands behind one channel."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.channel: BridgeChannel | None = None
        self.closed = False
        self._holds = {Hold.NOT_BEGUN}

    @property
    def other(self) -> End:
        """The end that this one's bytes come out of."""
        return self._pipe.node if self._pipe.person is self else self._pipe.person

    def connection_made(self, chan: BridgeChannel) -> None:
        """The channel is open; it is read when nothing holds it."""
        self.channel = chan
        if self._holds:
            chan.pause_reading()
        else:
            chan.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed: close the other, once what waits in it has passed."""
        del exc
        self.closed = True
        self.channel = None
        self._pipe.lost(self)

    def hold(self, reason: Hold) -> None:
        """Stop reading from this end's channel."""
        self._holds.add(reason)
        if self.channel is not None:
            self.channel.pause_reading()

    def release(self, reason: Hold) -> None:
        """Read again, unless there is another reason not to."""
        self._holds.discard(reason)
        if not self._holds and self.channel is not None:
            self.channel.resume_reading()

    def pause_writing(self) -> None:
        """This end's peer is slow, so the other end is not read."""
        self.other.hold(Hold.OTHER_IS_SLOW)

    def resume_writing(self) -> None:
        """This end's peer takes more again."""
        self.other.release(Hold.OTHER_IS_SLOW)

    def write(self, data: bytes, datatype: int | None = None) -> None:
        """Send bytes out of this end; they are dropped where it is closing."""
        if self.channel is not None and not self.channel.is_closing():
            self.channel.write(data, datatype)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes came in at this end."""
        self._pipe.passing(self, data, datatype)

    def eof_received(self) -> bool:
        """No more comes in here; the other direction goes on."""
        self._pipe.half_closed(self)
        return True

    def request_received(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """A request came in here."""
        return self._pipe.asked(self, name, payload, want_reply)

    def close(self) -> None:
        """Close this end once what waits in it has been sent."""
        if self.channel is not None:
            self.channel.close()


class Pipe:
    """Two ends and who watches. `bytes_in` went to the node, `bytes_out` to the person.

    `closes_itself` when both directions have ended, as forwards do; a program's channel is closed by
    the node, after it has told how the program ended.
    """

    def __init__(self, watch: Watch, *, closes_itself: bool = False) -> None:
        self.watch = watch
        self.person = End(self)
        self.node = End(self)
        self.bytes_in = 0
        self.bytes_out = 0
        self.closes_itself = closes_itself
        self._halves = 0
        self._over = False

    def begin(self, *ends: End) -> None:
        """Begin to read from these ends, from both by default."""
        for end in ends or (self.person, self.node):
            end.release(Hold.NOT_BEGUN)

    def hold(self, reason: Hold) -> None:
        """Stop reading at both ends."""
        self.person.hold(reason)
        self.node.hold(reason)

    def release(self, reason: Hold) -> None:
        """Read at both ends, unless something else holds them."""
        self.person.release(reason)
        self.node.release(reason)

    def passing(self, source: End, data: bytes, datatype: int | None) -> None:
        """Tell the watch, then pass the bytes on."""
        if source is self.person:
            self.bytes_in += len(data)
            allowed = self.watch.from_person(data)
        else:
            self.bytes_out += len(data)
            allowed = self.watch.from_node(data, error=datatype == STDERR)
        if allowed:
            source.other.write(data, datatype)

    def half_closed(self, source: End) -> None:
        """Pass the end of one direction on."""
        if source is self.person:
            self.watch.person_done()
        if source.other.channel is not None:
            source.other.channel.write_eof()
        self._halves += 1
        if self._halves == BOTH and self.closes_itself:
            self.close()

    def asked(self, source: End, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """Let the watch decide a request."""
        if source is self.person:
            return self.watch.person_asks(name, payload, want_reply)
        return self.watch.node_asks(name, payload, want_reply)

    def lost(self, source: End) -> None:
        """One end is gone."""
        source.other.close()
        if source.other.channel is None and not self._over:
            self._over = True
            self.watch.ended()

    def close(self) -> None:
        """Close both ends."""
        self.person.close()
        self.node.close()
