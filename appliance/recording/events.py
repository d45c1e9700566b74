"""What happens in a session beside bytes: files moved, ports forwarded, people coming and going.

An event stands in the recording as one JSON object with its class name as `is`. A path comes
from a peer and need not be UTF-8: it is kept as bytes, and written out for reading by `shown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.domain.codec import JSON, decode, dumps, parse_json, tagged
from appliance.domain.errors import Invalid
from appliance.recording.errors import FormatError


class FileVerb(StrEnum):
    """What was done to a file."""

    READ = "read"
    WRITE = "write"
    REMOVE = "remove"
    RENAME = "rename"
    MAKE_DIRECTORY = "mkdir"
    REMOVE_DIRECTORY = "rmdir"
    SET_ATTRIBUTES = "setstat"
    LINK = "link"
    LIST = "list"


class ForwardKind(StrEnum):
    """Which way a forward goes."""

    LOCAL = "local"
    REMOTE = "remote"
    DYNAMIC = "dynamic"
    AGENT = "agent"
    X11 = "x11"


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class FileMoved:
    """One operation on one file by SFTP or SCP, told when it ended (mission row X10)."""

    protocol: str
    verb: FileVerb
    path: bytes
    target: bytes | None = None
    """The new name of a rename, or the other end of a link."""
    size: int = 0
    """Bytes of contents that passed."""
    sha256: str | None = None
    """Hash in hex of the contents in file order; none where parts were skipped or written twice."""
    ok: bool = True
    reason: str = ""


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """A forwarded connection that has ended, with the bytes that went each way."""

    kind: ForwardKind
    destination: str
    bytes_to_destination: int
    bytes_from_destination: int


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A person came into the session; `participant` is the number that input frames carry."""

    participant: int
    user: str
    mode: str


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A person left the session."""

    participant: int
    reason: str = ""


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Nothing passes from here until `Resumed`, for instance because the moderator left."""

    reason: str


@tagged
@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Bytes pass again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event that a newer recorder wrote; kept as it is, shown by its name."""

    name: str
    fields: dict[str, JSON]


Event = FileMoved | Forwarded | Joined | Left | Paused | Resumed
_KNOWN: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (FileMoved, Forwarded, Joined, Left, Paused, Resumed)
}


def encode_event(event: Event) -> bytes:
    """Return the JSON text of an event, UTF-8."""
    return dumps(event)


def decode_event(data: bytes) -> Event | UnknownEvent:
    """Read an event; fields a newer peer added are ignored. Raises `FormatError`."""
    try:
        value = parse_json(data)
        if not isinstance(value, dict) or not isinstance(name := value.get("is"), str):
            raise FormatError("an event without a name")
        if name not in _KNOWN:
            return UnknownEvent(name, value)
        event: Event = decode(_KNOWN[name], value, lenient=True)
    except Invalid as error:
        raise FormatError(f"an event can't be read: {error}") from error
    return event


def shown(name: bytes) -> str:
    """Return a file name for reading: UTF-8 where it is, escaped in hex where it is not."""
    return name.decode("utf-8", "backslashreplace")
