"""What one worker of the proxy is told, as frozen values; every limit has its unit and its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from appliance.proxy.algorithms import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Startups:
    """Connections that are not logged in yet, as OpenSSH's MaxStartups `start:rate:full`."""

    start: int = 10
    """From so many on, some are refused at random."""
    rate: int = 30
    """Per cent that are refused at `start`; grows in a line to 100 at `full`."""
    full: int = 100
    """From so many on, all are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalties:
    """Seconds a source is refused for what it did, added up (OpenSSH's PerSourcePenalties)."""

    refused: float = 5.0
    """A login that was tried and refused."""
    no_login: float = 1.0
    """Closed without trying."""
    grace_exceeded: float = 10.0
    """Too slow to log in."""
    misbehaved: float = 90.0
    """Broke the protocol."""
    threshold: float = 15.0
    """Sums below this many seconds are not enforced yet."""
    longest: float = 600.0
    """No source is refused for longer."""
    sources: int = 65536
    """Sources remembered; the one that is free soonest is forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one worker bears. Counts are per worker process, see `WorkerConfig.workers`."""

    startups: Startups = field(default_factory=Startups)
    penalties: Penalties = field(default_factory=Penalties)
    startups_per_source: int = 10
    """Connections not logged in yet, from one IPv4 address or one IPv6 /64."""
    arrivals_per_second: float = 10.0
    """New connections a second from one source, on the average."""
    arrivals_burst: int = 20
    """New connections at once from one source."""
    login_grace: float = 30.0
    """Seconds from the connection to a complete login."""
    confirm_grace: float = 120.0
    """Seconds for a second factor, once the first was accepted."""
    keys_per_connection: int = 6
    """Keys that one connection may offer."""
    sessions_per_connection: int = 10
    """Session channels open at a time on one connection to a node; a role's `max_sessions` may lower it."""
    nodes_per_connection: int = 10
    """Connections to nodes open at a time through one connection to the bastion."""
    connect_timeout: float = 10.0
    """Seconds a node may take to accept and greet."""
    keepalive: float = 30.0
    """Seconds of silence after which a peer is asked whether it is there."""
    keepalive_count: int = 3
    """Questions without an answer after which it is not."""
    rekey_bytes: int = 1 << 30
    """Bytes after which keys are exchanged anew (RFC 4253 section 9)."""
    transfer_window: int = 8 << 20
    """Bytes that a peer may send ahead on a forwarded stream."""
    pulse: float = 2.0
    """Seconds between two reports of what runs, and so the longest that a revoked session goes on."""
    pulse_patience: float = 30.0
    """Seconds without an answer to these reports, after which strict sessions end."""
    drain: float = 0.0
    """Seconds that running connections have to end by themselves after the stop signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """One worker process. Several listen on the same port (SO_REUSEPORT); the kernel shares out."""

    proxy_id: str
    """Names this worker to auth, the same again after a restart."""
    listen: tuple[str, int]
    """Address and port; port 0 takes any free one."""
    host_key: Path
    """The proxy's Ed25519 host key, OpenSSH private form, mode 0600; all workers have the same."""
    spool: Path
    """A folder of this worker alone, for recordings on their way to auth."""
    profile: Profile = Profile.COMPAT
    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    """How many workers share the port: limits on all of them together are divided by this."""
