"""What a client calls the thing it wants to reach, parsed once (threats S01, S09).

A node is asked for by its name, `web1` or `web1.<cluster>`, never by an address: an IP address in
any spelling, a name of another form, or an option in disguise is refused here already.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from appliance.domain import names
from appliance.domain.errors import Invalid
from appliance.proxy.errors import TargetInvalid

SSH_PORT = 22
SUBSYSTEM = "proxy:"
MAX_PREAMBLE = 512
PREAMBLE = b"SALLYPORT1 "
SEPARATORS = "@%"
"""Between login and node in a user name; `%` is for clients that split at the first `@`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A node's name within this cluster, and the port that was asked for."""

    node: str
    port: int = SSH_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Somebody at a node: the login, and the node's name."""

    login: str
    node: str


def parse_node(text: str, cluster: str) -> str:
    """Return the node's short name; raises `TargetInvalid`."""
    try:
        name = names.node_name(text)
    except Invalid as error:
        raise TargetInvalid(str(error)) from error
    short = name.removesuffix(f".{cluster}")
    if _looks_like_address(short):
        raise TargetInvalid("a node is asked for by its name, not by an address")
    return short


def _looks_like_address(name: str) -> bool:
    # Also what inet_aton takes: 127.1, 0x7f000001, 2130706433, 0177.0.0.1
    if all(part.isdigit() or part.startswith("0x") for part in name.split(".")):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def parse_target(host: str, port: int, cluster: str) -> Target:
    """Return what a direct-tcpip channel asks for; raises `TargetInvalid`."""
    if not 0 < port <= names.MAX_PORT:
        raise TargetInvalid(f"port {port} is not valid")
    return Target(node=parse_node(host, cluster), port=port)


def parse_subsystem(text: str, cluster: str) -> Target | None:
    """Return the target of `proxy:host:port[@cluster]`; None where this is another subsystem."""
    if not text.startswith(SUBSYSTEM):
        return None
    address, _, named = text.removeprefix(SUBSYSTEM).partition("@")
    if named and named != cluster:
        raise TargetInvalid(f"there is no cluster {named[:64]!r} here")
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or len(port) > len("65535"):
        raise TargetInvalid("expected proxy:host:port[@cluster]")
    return parse_target(host, int(port), cluster)


def parse_destination(user: str, cluster: str) -> Destination | None:
    """Return login and node of a user name such as `root@web1`; None where it names no node."""
    for separator in SEPARATORS:
        login, found, node = user.rpartition(separator)
        if found:
            return Destination(login=parse_login(login), node=parse_node(node, cluster))
    return None


def parse_login(text: str) -> str:
    """Return an operating-system login; raises `TargetInvalid`."""
    try:
        return names.login(text)
    except Invalid as error:
        raise TargetInvalid(str(error)) from error


def parse_preamble(line: bytes, cluster: str) -> Target:
    """Return the target of the line that names a node before the SSH banner; raises `TargetInvalid`.

    The line is `SALLYPORT1 <host> <port>`, ASCII, at most 512 bytes. It is a routing hint and proves
    nothing: the client checks the host certificate it is then shown.
    """
    try:
        host, port = line.removeprefix(PREAMBLE).decode("ascii").split()
        number = int(port) if port.isdigit() else 0
    except (UnicodeDecodeError, ValueError) as error:
        raise TargetInvalid("expected: SALLYPORT1 <host> <port>") from error
    return parse_target(host, number, cluster)
