"""Where a port forward may go: only to what a role lists as `host:port` (X10).

A host is a literal name, a glob (`*.corp.example`), an address, or a network (`10.1.0.0/16`,
`[fd00::]/8`); a port is a number, a range `5432-5439`, or `*`. Names match names and addresses match
addresses; nothing is resolved here. A host that looks like a number but is not a canonical address
(`2130706433`, `0177.1`, `0x7f.1`) matches nothing at all: its readers don't agree where it goes
(threat S01).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Protocol

from appliance.domain.errors import Invalid
from appliance.domain.names import MAX_PORT
from appliance.policy.labels import expanded, labels_match
from appliance.policy.pattern import Pattern, is_regex, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.domain.role import Role, SessionOptions

ANY = "*"
Address = IPv4Address | IPv6Address


class Target(Protocol):
    """A node as far as a forward to it is concerned."""

    @property
    def name(self) -> str:
        """Its name in the cluster."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of a role's `direct_destinations`. Made by `parse_destination`."""

    source: str
    first_port: int
    last_port: int
    name: Pattern | None
    network: str

    def allows(self, host: str, port: int) -> bool:
        """Say whether a forward to this host, as the client named it, and port is listed."""
        if not self.first_port <= port <= self.last_port:
            return False
        address, name = canonical_host(host)
        if address is not None:
            return self.source.startswith("*:") or (
                bool(self.network) and address in ip_network(self.network)
            )
        return bool(name) and self.name is not None and self.name(name)


def canonical_host(host: str) -> tuple[Address | None, str]:
    """Return the address a host is, or else its canonical name; neither for a doubtful number."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address(bare)
    except ValueError:
        return None, _canonical_name(host)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return None, ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address, ""


def _canonical_name(host: str) -> str:
    name = host.lower().removesuffix(".")
    last = name.rpartition(".")[2]
    doubtful = last.isdigit() or last.startswith("0x") or not name.isascii() or not last
    return "" if doubtful or any(char.isspace() or char in "[]:/%" for char in name) else name


@lru_cache(maxsize=4096)
def parse_destination(source: str) -> Destination:
    """Parse one entry, `host:port`; raises `Invalid`."""
    host, separator, ports = source.rpartition(":")
    if not separator or not host:
        raise Invalid(f"destination {source[:80]!r}: expected host:port, such as *.corp.example:443")
    first, last = _ports(source, ports)
    network = _network(host)
    plain = host.isascii() and not any(char in "[]:/" for char in host)
    if not network and not plain and not is_regex(host):
        raise Invalid(f"destination {source[:80]!r}: the host is no name, address or network")
    name = None if network else parse_pattern(host if is_regex(host) else host.lower())
    return Destination(source, first, last, name, network)


def _ports(source: str, text: str) -> tuple[int, int]:
    if text == ANY:
        return 1, MAX_PORT
    first, separator, last = text.partition("-")
    numbers = [first, last] if separator else [first, first]
    if not all(one.isascii() and one.isdigit() for one in numbers):
        raise Invalid(f"destination {source[:80]!r}: expected a port, a range of ports, or *")
    low, high = (int(one) for one in numbers)
    if not 0 < low <= high <= MAX_PORT:
        raise Invalid(f"destination {source[:80]!r}: expected ports from 1 to {MAX_PORT}")
    return low, high


def _network(host: str) -> str:
    try:
        return str(ip_network(host.replace("[", "").replace("]", "")))
    except ValueError:
        return ""


def may_forward(options: SessionOptions, host: str, port: int) -> bool:
    """Say whether a session with these options may forward to a host and port."""
    listed = options.direct_destinations if options.port_forwarding else ()
    return any(parse_destination(one).allows(host, port) for one in listed)


def allows_destination(
    roles: Sequence[Role], node: Target, port: int, traits: Mapping[str, tuple[str, ...]] | None = None
) -> bool:
    """Say whether the roles list a direct stream to a node's port, and none of them denies the node."""
    if any(labels_match(expanded(role.deny.node_labels, traits or {}), node.labels) for role in roles):
        return False
    listed = (
        one for role in roles if role.options.port_forwarding for one in role.options.direct_destinations
    )
    return any(parse_destination(one).allows(node.name, port) for one in listed)
