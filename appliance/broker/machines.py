"""Nodes: adding a stock sshd, listing what a person reaches, removing."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.broker.authorities import Authorities
from appliance.broker.callers import Identity, Person
from appliance.broker.issue import Issuer, line
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.register import Register
from appliance.broker.roles import Roles
from appliance.broker.state import State
from appliance.certificates import templates
from appliance.certificates.lifetimes import Lifetimes
from appliance.certificates.openssh import read_line
from appliance.domain import names
from appliance.domain.errors import Conflict, Exists, Invalid, NotFound, Sealed, Unavailable
from appliance.domain.events import Event, EventName
from appliance.domain.operations import nodes as messages
from appliance.domain.operations.custody import KrlRead
from appliance.domain.operations.operation import Nothing, Rule
from appliance.domain.records import AuthorityKind, Node, NodeKind, User
from hsm.encoding import public_key

if TYPE_CHECKING:
    from collections.abc import Iterator

SSH_PORT = 22
BASTION = "bastion"
"""With the cluster's name behind it, what clients expect the bastion's own host certificate to carry."""
ALL_NODES = Rule("node", "list")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """The nodes of the cluster."""

    state: State
    issuer: Issuer
    authorities: Authorities
    register: Register
    roles: Roles
    lifetimes: Lifetimes
    random: Randomness
    trail: Trail
    clock: Clock
    cluster: str

    def add_openssh(self, identity: Identity, request: messages.NodeAddOpenssh) -> messages.NodeAdded:
        """Certify a stock sshd's host key in the node's name, and keep the node."""
        node = self._node(request)
        if self.state.nodes.find(node.name) is not None:
            raise Exists(f"there is a node {node.name} already")
        detail = {"target": node.name, "address": node.address, "labels": str(node.labels)}
        self.trail.record(
            Event(name=EventName.NODE_CREATE, user=identity.actor, server_id=node.id, detail=detail)
        )
        certified = self._certified(node)
        self.state.nodes.create(certified)
        return messages.NodeAdded(
            name=node.name,
            trusted_user_ca_keys=self.authorities.openssh_lines(AuthorityKind.OPENSSH),
            host_certificate=certified.host_certificate,
            expires_at=self.clock.now() + self.lifetimes.host,
        )

    def bundle(self, identity: object, request: messages.NodeNamed) -> messages.NodeBundle:
        """Return what the node shall have now; its host certificate is renewed when it is time."""
        del identity
        stored = self.state.nodes.find(names.node_name(request.name))
        if stored is None:
            raise NotFound("there is no such node")
        node = stored.value
        if self._renewal_due(node):
            node = self._renewed(node, stored.revision)
        return messages.NodeBundle(
            trusted_user_ca_keys=self.authorities.openssh_lines(AuthorityKind.OPENSSH),
            host_certificate=node.host_certificate,
            krl=self.register.krl(None, KrlRead()).data,
            tls_authorities=self.authorities.tls_certificates(),
        )

    def _renewed(self, node: Node, revision: int) -> Node:
        """Return the node with a new certificate, or as it is where that can't be had now.

        Revocations and authorities must reach the node whether or not the token can sign.
        """
        try:
            renewed = self._certified(node)
        except (Sealed, Unavailable) as error:
            log.warning("the host certificate of %s can't be renewed now: %s", node.name, error)
            return node
        with suppress(Conflict):  # two fetches at once: either certificate is good
            self.state.nodes.update(renewed, revision)
        return renewed

    def _renewal_due(self, node: Node) -> bool:
        signing = public_key.fingerprint(self.authorities.signing(AuthorityKind.HOST).public_key)
        ends = node.certified_until
        return (
            ends is None or node.certified_by != signing or ends - self.clock.now() < self.lifetimes.host / 3
        )

    def _certified(self, node: Node) -> Node:
        now = self.clock.now()
        until = now + self.lifetimes.host
        principals = (self.qualified(node.name), node.name)
        spec = templates.host_ssh(names=principals, public_key=node.host_key, now=now, until=until)
        signing = public_key.fingerprint(self.authorities.signing(AuthorityKind.HOST).public_key)
        certificate = line(self.issuer.ssh(spec), node.name) + "\n"
        return replace(node, host_certificate=certificate, certified_until=until, certified_by=signing)

    def list(self, identity: Identity, request: Nothing) -> messages.NodeList:
        """Return all nodes to administrators, and to a person those they can log in to."""
        del request
        if not isinstance(identity, Person):
            return messages.NodeList(nodes=tuple(_view(item.value) for item in self.state.nodes.list()))
        user, now = self.state.users.get(identity.user).value, self.clock.now()
        sees_all = self.roles.allows(user, ALL_NODES, now)
        views = [_view(node, self._logins(user, node)) for node in self._seen(user, everything=sees_all)]
        return messages.NodeList(nodes=tuple(view for view in views if view.logins or sees_all))

    def delete(self, identity: Identity, request: messages.NodeNamed) -> Nothing:
        """Remove a node; its live sessions end with the next pulse."""
        found = self.state.nodes.find(names.node_name(request.name))
        if found is None:
            raise NotFound(f"there is no node {request.name}")
        self.trail.record(
            Event(
                name=EventName.NODE_DELETE,
                user=identity.actor,
                server_id=found.value.id,
                detail={"target": request.name},
            )
        )
        self.state.nodes.delete(request.name, found.revision)
        return Nothing()

    def qualified(self, node: str) -> str:
        """Return the node's full name, as host certificates carry it: `web1.main`."""
        return f"{node}.{self.cluster}"

    def _node(self, request: messages.NodeAddOpenssh) -> Node:
        name = names.node_name(request.name)
        if name.endswith(f".{self.cluster}"):
            raise Invalid(f"node name {name!r}: leave the cluster's name away")
        if name == BASTION:
            raise Invalid(f"node name {name!r} is the bastion's own: its machine could pass for the bastion")
        host, port = names.host_port(request.address, default_port=SSH_PORT)
        return Node(
            id=self.random.uuid(),
            name=name,
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            kind=NodeKind.OPENSSH,
            labels=names.labels(request.labels),
            host_key=read_line(request.host_key, "host key"),
            added_at=self.clock.now(),
        )

    def _seen(self, user: User, *, everything: bool) -> Iterator[Node]:
        if everything:
            return (item.value for item in self.state.nodes.list())
        now = self.clock.now()
        names = self.roles.open_nodes(user, now, expires=now + self.lifetimes.longest)
        found = (self.state.nodes.find(name) for name in sorted(names))
        return (one.value for one in found if one is not None)

    def _logins(self, user: User, node: Node) -> tuple[str, ...]:
        now = self.clock.now()
        ends = now + self.lifetimes.longest
        return tuple(
            login
            for login in user.traits.get("logins", ())
            if not self.roles.refuses(user, node, login, now, expires=ends)
        )


def _view(node: Node, logins: tuple[str, ...] = ()) -> messages.NodeView:
    return messages.NodeView(
        id=node.id, name=node.name, address=node.address, kind=node.kind, labels=node.labels, logins=logins
    )
