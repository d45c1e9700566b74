"""What things may be called. A name is parsed here once; everywhere else it is compared exactly.

Only the canonical form is accepted (no folding of case, width or compatibility forms), because a
name that two components read differently is how people become other people (threats C05, C24).
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NewType
from uuid import UUID

from appliance.domain.errors import Invalid

UserName = NewType("UserName", str)
Login = NewType("Login", str)
NodeName = NewType("NodeName", str)
ClusterName = NewType("ClusterName", str)
SessionId = NewType("SessionId", str)

_LOGIN = re.compile(r"[a-z_][a-z0-9._-]{0,31}", re.ASCII)
_USER = re.compile(r"[a-z_][a-z0-9._-]{0,63}(?:@[a-z0-9][a-z0-9.-]{0,189})?", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,127}", re.ASCII)
MAX_HOST = 253
MAX_LABEL_VALUE = 256
MAX_PORT = 65535


def _whole(pattern: re.Pattern[str], value: str, what: str, expected: str) -> str:
    if pattern.fullmatch(value) is None:
        raise Invalid(f"{what} {value[:64]!r} is not valid: expected {expected}")
    return value


def user_name(value: str) -> UserName:
    """Parse a user name: lower-case ASCII, at most 64 characters, optionally `@domain`."""
    return UserName(
        _whole(_USER, value, "user name", "a-z, 0-9, '.', '_', '-', starting with a letter or '_'")
    )


def login(value: str) -> Login:
    """Parse an operating-system login: the same form certificates may carry as a principal."""
    return Login(
        _whole(_LOGIN, value, "login", "1 to 32 of a-z, 0-9, '.', '_', '-', starting with a letter or '_'")
    )


def node_name(value: str) -> NodeName:
    """Parse a node's name: one or more DNS labels, lower case, at most 253 characters."""
    name = _whole(_HOST, value, "node name", "lower-case DNS labels")
    if len(name) > MAX_HOST:
        raise Invalid(f"node name of {len(name)} characters is too long: at most {MAX_HOST}")
    return NodeName(name)


def cluster_name(value: str) -> ClusterName:
    """Parse a cluster's name: same form as a node's."""
    return ClusterName(node_name(value))


def session_id(value: str) -> SessionId:
    """Parse a session id: a UUID in its canonical lower-case form."""
    try:
        parsed = str(UUID(value))
    except ValueError:
        parsed = ""
    if not value or parsed != value:
        raise Invalid(f"session id {value[:64]!r} is not valid: expected a UUID in lower case")
    return SessionId(value)


def labels(pairs: dict[str, str]) -> dict[str, str]:
    """Check static labels: keys of letters, digits and `_./:-`; printable values up to 256 characters."""
    for key, value in pairs.items():
        _whole(_LABEL_KEY, key, "label", "letters, digits and '_./:-'")
        if len(value) > MAX_LABEL_VALUE or not value.isprintable():
            raise Invalid(
                f"label {key!r} has a value that is not printable or over {MAX_LABEL_VALUE} characters"
            )
    return pairs


def host_port(value: str, *, default_port: int | None = None) -> tuple[str, int]:
    """Parse `host:port`, `[v6]:port`, or a bare host where a default port is given."""
    host, separator, port = value.rpartition(":")
    if not separator or (value.count(":") > 1 and not host.endswith("]")):
        if default_port is None:
            raise Invalid(f"address {value[:64]!r} is not valid: expected host:port")
        return _host(value), default_port
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= MAX_PORT:
        raise Invalid(f"port {port[:16]!r} is not valid: expected 1 to {MAX_PORT}")
    return _host(host), int(port)


def _host(value: str) -> str:
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        found = ip_address(bare)
    except ValueError:
        return node_name(bare)
    if "%" in bare:
        # a zone may hold any character, and means another interface on each machine
        raise Invalid(f"address {value[:64]!r} is not valid: expected one without a zone")
    return str(found)
