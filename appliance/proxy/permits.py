"""What one session may do: what its roles allow, and of that only what the certificate does not forbid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.domain.role import SessionOptions
    from appliance.proxy.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Permits:
    """The narrower of two papers. A forced command stands for no forwarding of any kind (threat C13)."""

    terminal: bool
    file_copy: bool
    agent: bool
    x11: bool
    forwarding: bool
    forced_command: str | None
    idle: timedelta | None


def permits(options: SessionOptions, certificate: Certificate) -> Permits:
    """Return what is allowed by both."""
    forced = certificate.forced_command
    free = forced is None
    granted = certificate.extensions
    return Permits(
        terminal="permit-pty" in granted,
        file_copy=options.ssh_file_copy,
        agent=free and options.forward_agent and "permit-agent-forwarding" in granted,
        x11=free and options.permit_x11_forwarding and "permit-X11-forwarding" in granted,
        forwarding=free and options.port_forwarding and "permit-port-forwarding" in granted,
        forced_command=forced,
        idle=options.client_idle_timeout,
    )
