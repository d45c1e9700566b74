"""Frames: what a recording is made of, to bytes and back. No IO, no clock.

    frame    = kind (1 byte)  delta (varint, microseconds since the frame before)  length (varint)  payload
    varint   = 7 bits a byte, least significant first, top bit = more follow (as protobuf), at most 64 bits

The first frame of a block counts from the block's own time (`blocks.py`), so that every block can
be read alone. A reader skips a kind it does not know, since each frame says how long it is.

    kind  name           payload
    1     header         JSON SessionFacts
    2     output         bytes the person saw
    3     error output   bytes of the node's stderr, where there is no terminal
    4     input          participant (varint), bytes
    5     input hidden   participant (varint), count (varint): typed, but not echoed, so not kept
    6     resize         columns, rows (varints)
    7     exec           0 shell, 1 command, 2 subsystem (1 byte), command bytes
    8     environment    length of name (varint), name, value
    9     exit status    varint
    10    exit signal    JSON ExitSignal
    11    event          JSON, `events.py`
    12    echo           1 byte: whether the terminal echoes from here, where the node told us so
    13    gap            JSON Gap: best effort only; this much is missing here
    14    end            JSON End: the last frame of a recording that was closed or recovered
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, TypeVar, assert_never
from uuid import UUID

from appliance.domain.codec import dumps, loads
from appliance.domain.errors import Invalid
from appliance.recording.errors import FormatError
from appliance.recording.events import Event, UnknownEvent, decode_event, encode_event

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT_VERSION = 1
VARINT_LIMIT = 10
T = TypeVar("T")
Bytes = bytes | bytearray | memoryview


class Kind(IntEnum):
    """The number of a frame on disk."""

    HEADER = 1
    OUTPUT = 2
    ERROR_OUTPUT = 3
    INPUT = 4
    INPUT_HIDDEN = 5
    RESIZE = 6
    EXEC = 7
    ENVIRONMENT = 8
    EXIT_STATUS = 9
    EXIT_SIGNAL = 10
    EVENT = 11
    ECHO = 12
    GAP = 13
    END = 14


class Program(IntEnum):
    """What an SSH session channel was asked to run (RFC 4254 section 6.5)."""

    SHELL = 0
    COMMAND = 1
    SUBSYSTEM = 2


class Outcome(StrEnum):
    """How a recording ended."""

    COMPLETE = "complete"
    LOST = "lost"
    """The recorder died; everything up to this frame is there, what came after is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """Who recorded what, told in the first frame. Names are as policy decided on them."""

    session_id: str
    user: str
    login: str
    node: str
    cluster: str = ""
    source: str = ""
    terminal: str = ""
    """The value of TERM, empty where the session has no terminal."""
    columns: int = 80
    rows: int = 24
    strict: bool = True
    version: int = FORMAT_VERSION
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def uuid(self) -> UUID:
        """The session id; raises `FormatError` where it is not a UUID."""
        try:
            return UUID(self.session_id)
        except ValueError as error:
            raise FormatError("the session id is not a UUID") from error


@dataclass(frozen=True, slots=True)
class Header:
    """The first frame."""

    facts: SessionFacts


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes from the node to the person."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ErrorOutput:
    """Bytes of the node's standard error, apart from output (SSH_EXTENDED_DATA_STDERR)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes from a person to the node; participant 0 is who opened the session."""

    data: bytes
    participant: int = 0


@dataclass(frozen=True, slots=True)
class InputHidden:
    """So many bytes were typed here without an echo; they are not kept anywhere."""

    count: int
    participant: int = 0


@dataclass(frozen=True, slots=True)
class Resize:
    """The terminal's size in character cells."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Exec:
    """What runs."""

    program: Program
    command: bytes = b""


@dataclass(frozen=True, slots=True)
class Environment:
    """One variable that was let through."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How the program ended, 0 to 2^32 - 1."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitSignal:
    """The signal that ended the program, without SIG (RFC 4254 section 6.10)."""

    signal: str
    core_dumped: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something beside bytes."""

    event: Event | UnknownEvent


@dataclass(frozen=True, slots=True)
class Echo:
    """Whether the terminal echoes from here on, as the node's own daemon told."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Frames are missing here because they could not be written (best effort only)."""

    lost_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last frame, with what the recorder counted."""

    outcome: Outcome
    reason: str = ""
    output_bytes: int = 0
    error_bytes: int = 0
    input_bytes: int = 0
    """Bytes kept plus bytes hidden."""
    lost_bytes: int = 0
    """About what the gaps of a best-effort recording miss."""
    torn_bytes: int = 0
    """Of a lost recording: bytes of an unfinished block that recovery cut off."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a newer recorder."""

    kind: int
    payload: bytes


Frame = (
    Header
    | Output
    | ErrorOutput
    | Input
    | InputHidden
    | Resize
    | Exec
    | Environment
    | ExitStatus
    | ExitSignal
    | Happened
    | Echo
    | Gap
    | End
    | Unknown
)


def varint(value: int) -> bytes:
    """Encode a number from 0 to 2^64 - 1 in 1 to 10 bytes."""
    if value < 0x80:  # noqa: PLR2004 - 7 bits a byte
        return _SHORT[value]
    out = bytearray()
    while value >= 0x80:  # noqa: PLR2004 - 7 bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SHORT = [bytes([value]) for value in range(0x80)]


def read_varint(data: Bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and the place behind it; raises `FormatError`."""
    value = 0
    for index in range(VARINT_LIMIT):
        if at + index >= len(data):
            raise FormatError("a number is cut off", offset=at)
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - 7 bits a byte
            if value >> 64:
                break
            return value, at + index + 1
    raise FormatError("a number is too long", offset=at)


def append_frame(batch: bytearray, kind: int, delta: int, payload: Bytes, prefix: bytes = b"") -> None:
    """Add one frame to a batch; `prefix` begins the payload, so that large data is copied once only."""
    batch.append(kind)
    batch += varint(delta)
    batch += varint(len(prefix) + len(payload))
    batch += prefix
    batch += payload


def encode_frame(frame: Frame, delta: int) -> bytes:
    """Return the bytes of one frame that comes `delta` microseconds after the one before."""
    out = bytearray()
    kind, payload = split(frame)
    append_frame(out, kind, delta, payload)
    return bytes(out)


def split(frame: Frame) -> tuple[int, bytes]:  # noqa: C901, PLR0911, PLR0912 - one line a kind
    """Return the kind and the payload of a frame."""
    match frame:
        case Header(facts):
            return Kind.HEADER, dumps(facts)
        case Output(data):
            return Kind.OUTPUT, data
        case ErrorOutput(data):
            return Kind.ERROR_OUTPUT, data
        case Input(data, participant):
            return Kind.INPUT, varint(participant) + data
        case InputHidden(count, participant):
            return Kind.INPUT_HIDDEN, varint(participant) + varint(count)
        case Resize(columns, rows):
            return Kind.RESIZE, varint(columns) + varint(rows)
        case Exec(program, command):
            return Kind.EXEC, bytes([program]) + command
        case Environment(name, value):
            return Kind.ENVIRONMENT, varint(len(name)) + name + value
        case ExitStatus(status):
            return Kind.EXIT_STATUS, varint(status)
        case ExitSignal():
            return Kind.EXIT_SIGNAL, dumps(frame)
        case Happened(event):
            return Kind.EVENT, dumps(event.fields) if isinstance(event, UnknownEvent) else encode_event(event)
        case Echo(on):
            return Kind.ECHO, bytes([on])
        case Gap():
            return Kind.GAP, dumps(frame)
        case End():
            return Kind.END, dumps(frame)
        case Unknown(kind, payload):
            return kind, payload
        case unknown:
            assert_never(unknown)


def decode_frames(data: bytes) -> Iterator[tuple[int, Frame]]:
    """Yield (delta, frame) for the frames of one block; raises `FormatError` at the first that is cut off."""
    at = 0
    while at < len(data):
        kind = data[at]
        delta, at = read_varint(data, at + 1)
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise FormatError("a frame is cut off", offset=at)
        yield delta, join(kind, data[at : at + length])
        at += length


def join(kind: int, payload: bytes) -> Frame:  # noqa: C901, PLR0911, PLR0912 - one line a kind
    """Return the frame of a kind and a payload; raises `FormatError`."""
    match kind:
        case Kind.OUTPUT:
            return Output(payload)
        case Kind.ERROR_OUTPUT:
            return ErrorOutput(payload)
        case Kind.INPUT:
            participant, at = read_varint(payload, 0)
            return Input(payload[at:], participant)
        case Kind.INPUT_HIDDEN:
            participant, count = _two(payload)
            return InputHidden(count, participant)
        case Kind.RESIZE:
            return Resize(*_two(payload))
        case Kind.EXEC:
            return _exec(payload)
        case Kind.ENVIRONMENT:
            length, at = read_varint(payload, 0)
            return Environment(payload[at : at + length], payload[at + length :])
        case Kind.EXIT_STATUS:
            return ExitStatus(read_varint(payload, 0)[0])
        case Kind.EVENT:
            return Happened(decode_event(payload))
        case Kind.ECHO:
            return Echo(payload != b"\0")
        case Kind.HEADER:
            return Header(_json(SessionFacts, payload))
        case Kind.EXIT_SIGNAL:
            return _json(ExitSignal, payload)
        case Kind.GAP:
            return _json(Gap, payload)
        case Kind.END:
            return _json(End, payload)
        case _:
            return Unknown(kind, payload)


def _two(payload: bytes) -> tuple[int, int]:
    first, at = read_varint(payload, 0)
    second, _ = read_varint(payload, at)
    return first, second


def _exec(payload: bytes) -> Exec:
    if not payload or payload[0] not in set(Program):
        raise FormatError("an exec frame names no known program")
    return Exec(Program(payload[0]), payload[1:])


def _json(kind: type[T], payload: bytes) -> T:
    try:
        value: T = loads(kind, payload, lenient=True)
    except Invalid as error:
        raise FormatError(f"a {kind.__name__} frame can't be read: {error}") from error
    return value
