"""What counts as one source of connections."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

V6_PREFIX = 64


def source_group(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    match _plain(address):
        case IPv6Address() as v6:
            return str(ip_network((v6, V6_PREFIX), strict=False))
        case v4:
            return str(v4)


def plain_address(address: str) -> str:
    """Return the address in its own form: an IPv4 address mapped into IPv6 comes out as IPv4."""
    return str(_plain(address))


def _plain(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
