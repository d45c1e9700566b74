"""Machines: adding, listing, removing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appliance.domain.operations.operation import Caller, Nothing, Operation, Rule
from appliance.domain.operations.people import CONSOLE_OR_PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddOpenssh:
    """Add a machine that runs stock sshd. `host_key` is its public host key, OpenSSH form."""

    name: str
    address: str
    host_key: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAdded:
    """What to put on the machine: the authority it shall trust, and its host certificate."""

    name: str
    trusted_user_ca_keys: str
    """The `openssh` authority's public keys, for `TrustedUserCAKeys`."""
    host_certificate: str
    """For `HostCertificate`."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNamed:
    """A node by name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBundle:
    """What a stock sshd needs to stay in step.

    All of it public. It changes with rotations and revocations.
    """

    trusted_user_ca_keys: str
    host_certificate: str
    krl: bytes
    tls_authorities: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node as people see it; `logins` are those this person may use there."""

    id: str
    name: str
    address: str
    kind: str
    labels: dict[str, str]
    logins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeList:
    """Nodes by name: for a person, those their roles reach."""

    nodes: tuple[NodeView, ...]


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="nodes.add_openssh",
        summary="Add a machine that runs stock sshd",
        request=NodeAddOpenssh,
        response=NodeAdded,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("node", "create"),
        admin=True,
    ),
    Operation(
        name="nodes.bundle",
        summary="Trust, host certificate and revocations for a stock sshd to fetch",
        request=NodeNamed,
        response=NodeBundle,
        callers=frozenset({Caller.WEB, Caller.CONSOLE}),
    ),
    Operation(
        name="nodes.list",
        summary="List nodes: all for administrators, the reachable ones for a person",
        request=Nothing,
        response=NodeList,
        callers=CONSOLE_OR_PERSON,
    ),
    Operation(
        name="nodes.delete",
        summary="Remove a node and end its sessions",
        request=NodeNamed,
        response=Nothing,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("node", "delete"),
        admin=True,
    ),
)
