"""Who is at the other end of a call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.domain.operations import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The box's own administrator, known by the kernel's peer credentials."""

    uid: int
    kind: Caller = Caller.CONSOLE

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return f"console:{self.uid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Another process of the appliance: `proxy` or `web`."""

    kind: Caller

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        return f"service:{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person: by their client certificate, or by their web session."""

    user: str
    source: str = ""
    web_session: str = ""
    proof: str = ""
    """The challenge they met for this call, if they did."""
    expires_at: datetime | None = None
    """When the client certificate ends; None for a web session."""
    kind: Caller = Caller.PERSON

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return self.user


Identity = Console | Service | Person
