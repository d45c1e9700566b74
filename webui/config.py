"""What the web process is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.front.server import FrontLimits

HTTPS_PORT = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits(FrontLimits):
    """The front's limits, and how often a source may call."""

    calls_per_second: float = 5.0
    calls_burst: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Where to listen, under which names, with which certificate."""

    listen: tuple[str, int]
    address: str
    """`host` or `host:port` as people type it; its host is what WebAuthn's rp_id is a suffix of."""
    also: tuple[str, ...] = ()
    """Further `host[:port]` that pages may be asked for under."""
    certificate: Path
    """PEM chain."""
    key: Path
    """PEM."""
    limits: WebLimits = WebLimits()

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that pages answer to."""
        return frozenset(_bare(name) for name in (self.address, *self.also))

    @property
    def origins(self) -> frozenset[str]:
        """The origins that forms may come from."""
        return frozenset(f"https://{host}" for host in self.hosts)

    @property
    def is_local(self) -> bool:
        """Whether people reach it as `localhost`, which they share with whatever else they develop."""
        return self.address.rpartition(":")[0] == "localhost" or self.address == "localhost"

    @property
    def url(self) -> str:
        """The address people use, with the scheme and no slash at the end."""
        return f"https://{_bare(self.address)}"


def _bare(name: str) -> str:
    host, _, port = name.rpartition(":")
    return host.lower() if host and port == str(HTTPS_PORT) else name.lower()
