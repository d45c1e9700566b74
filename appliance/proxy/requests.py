"""What a person may ask on a session channel (RFC 4254 section 6), and what of it reaches the node. No IO.

Everything that is not known here is refused; what is known is parsed, checked, and handed on as it
came. A verdict says what to do; the facts in it go to the recording and the log (threats S03, S06, S07).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.wire import Reader, string

if TYPE_CHECKING:
    from appliance.proxy.permits import Permits

ENVIRONMENT = re.compile(rb"LANG|LANGUAGE|LC_[A-Z]{1,24}|TZ|NO_COLOR|COLORTERM|GIT_PROTOCOL", re.ASCII)
"""Variables a client may set; nothing that a shell, a loader or an interpreter takes for a command."""
VALUE = re.compile(rb"[A-Za-z0-9_.,:;=@+/ -]{0,128}", re.ASCII)
TERMINAL = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}|", re.ASCII)
SUBSYSTEM = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.@:-]{0,127}", re.ASCII)
MAX_COMMAND = 256 * 1024
MAX_CELLS = 10000
SFTP = b"sftp"
FILE_COPY = re.compile(rb"\s*(?:\S*/)?(?:scp|sftp-server|rsync)(?:\s|$)")
"""Commands that are refused where copying is not allowed. A courtesy: what counts is what is spoken."""
HANDED_ON = frozenset({"signal", "break", "eow@openssh.com", "xon-xoff"})
FROM_NODE = frozenset({"exit-status", "exit-signal", "eow@openssh.com", "xon-xoff"})


class Program(Enum):
    """The three things that a session channel can run."""

    SHELL = "shell"
    EXEC = "exec"
    SUBSYSTEM = "subsystem"


@dataclass(frozen=True, slots=True)
class Refuse:
    """No; the node hears nothing of it."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandOn:
    """Send it to the node as it is."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A pseudo-terminal of this type and size, in character cells."""

    term: str
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Resized:
    """The terminal has this size now."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that may pass."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Run:
    """Begin: `payload` is what the node is asked, which a forced command makes another than was sent."""

    program: Program
    command: bytes
    name: str
    payload: bytes


Verdict = Refuse | HandOn | Terminal | Resized | Variable | Run


def judge(name: str, payload: bytes, permits: Permits) -> Verdict:
    """Decide one request of a person."""
    try:
        return _judge(name, Reader(payload), payload, permits)
    except CertificateInvalid as error:
        return Refuse(f"{name} that can't be read: {error}")


def _judge(  # noqa: PLR0911 - one line a request
    name: str, reader: Reader, payload: bytes, permits: Permits
) -> Verdict:
    match name:
        case "env":
            return _variable(reader.string(), reader.string())
        case "pty-req":
            return _terminal(reader, permits)
        case "window-change":
            return Resized(_cells(reader.uint32()), _cells(reader.uint32()))
        case "shell" | "exec" | "subsystem":
            return _run(name, reader, payload, permits)
        case "auth-agent-req@openssh.com":
            return HandOn() if permits.agent else Refuse("agent forwarding is not allowed")
        case "x11-req":
            return HandOn() if permits.x11 else Refuse("X11 forwarding is not allowed")
        case _ if name in HANDED_ON:
            return HandOn()
        case _:
            return Refuse("not a request that is known here")


def _cells(number: int) -> int:
    return min(number, MAX_CELLS)


def _variable(name: bytes, value: bytes) -> Verdict:
    if ENVIRONMENT.fullmatch(name) is None or VALUE.fullmatch(value) is None:
        return Refuse(f"the variable {name[:64]!r} does not pass")
    return Variable(name, value)


def _terminal(reader: Reader, permits: Permits) -> Verdict:
    term = reader.string()
    if not permits.terminal:
        return Refuse("a terminal is not allowed")
    if TERMINAL.fullmatch(term) is None:
        return Refuse("a terminal type of other characters than letters, digits and _.+-")
    return Terminal(term.decode("ascii"), _cells(reader.uint32()), _cells(reader.uint32()))


def _run(name: str, reader: Reader, payload: bytes, permits: Permits) -> Verdict:
    asked = reader.string() if name != "shell" else b""
    reader.end()
    if permits.forced_command is not None:
        forced = permits.forced_command.encode()
        return Run(Program.EXEC, forced, "exec", string(forced))
    if len(asked) > MAX_COMMAND or b"\0" in asked:
        return Refuse("a command that is too long or has a NUL")
    program = Program(name)
    if program is Program.SUBSYSTEM and SUBSYSTEM.fullmatch(asked) is None:
        return Refuse("not the name of a subsystem")
    if not permits.file_copy and _copies(program, asked):
        return Refuse("copying files is not allowed")
    return Run(program, asked, name, payload)


def _copies(program: Program, asked: bytes) -> bool:
    if program is Program.SUBSYSTEM:
        return asked == SFTP
    return program is Program.EXEC and FILE_COPY.match(asked) is not None
