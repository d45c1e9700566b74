"""The policy as the auth service keeps it: plans of people, an index of nodes, kept while they hold.

A plan is compiled at a person's first question and used until the roles change, the person's traits
or identity change, or something in it ends. `permitted_nodes` never asks node by node.

Measured with 200 roles over 100 000 nodes by `bench/policy.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.role import ResourceKind, Role
from appliance.policy.algebra import expression_bits
from appliance.policy.nodes import NodeIndex
from appliance.policy.outcome import (
    AccessDecision,
    AccessDeny,
    ClusterPolicy,
    Explanation,
    SessionProof,
    Subject,
)
from appliance.policy.plan import Labelled, Plan, compile_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from appliance.policy.where import Predicate

MAX_PEOPLE = 10_000
MAX_PLANS_EACH = 4
_Kept = tuple[tuple[str, ...], Plan]


class CompiledPolicy:
    """Roles by name, nodes by label, and the compiled plan of each person who asked."""

    def __init__(self, roles: Iterable[Role] = (), *, cluster: ClusterPolicy | None = None) -> None:
        self.nodes = NodeIndex()
        self.cluster = cluster or ClusterPolicy()
        self._roles = {role.name: role for role in roles}
        self._plans: dict[tuple[str, ResourceKind], tuple[_Kept, ...]] = {}

    def put_role(self, role: Role) -> None:
        """Add or replace a role; every plan is compiled anew at its next question."""
        self._roles[role.name] = role
        self._plans = {}

    def remove_role(self, name: str) -> None:
        """Forget a role. People who still hold it are denied, since it may have denied them."""
        self._roles.pop(name, None)
        self._plans = {}

    def set_cluster(self, cluster: ClusterPolicy) -> None:
        """Replace the cluster's own settings."""
        self.cluster = cluster
        self._plans = {}

    def plan(
        self,
        subject: Subject,
        roles: tuple[str, ...],
        now: datetime,
        kind: ResourceKind = ResourceKind.NODE,
    ) -> Plan:
        """Return the compiled plan; raises `KeyError` with the name of a role that does not exist."""
        # The names of many roles are compared, not hashed: the same tuple comes again and again.
        # Taken before the roles are read: a plan of roles that change meanwhile lands in a dropped dict.
        plans = self._plans
        for held, plan in plans.get((subject.name, kind), ()):
            if (held is roles or held == roles) and (plan.subject is subject or plan.subject == subject):
                if now < plan.stale_at:
                    return plan
                break
        plan = self._compiled(subject, roles, now, kind)
        if len(plans) >= MAX_PEOPLE:
            plans.clear()
        kept = plans.get((subject.name, kind), ())
        plans[subject.name, kind] = ((roles, plan), *kept[: MAX_PLANS_EACH - 1])
        return plan

    def _compiled(self, subject: Subject, roles: tuple[str, ...], now: datetime, kind: ResourceKind) -> Plan:
        named = [self._roles[name] for name in roles]
        return compile_plan(subject, named, now, kind=kind, cluster=self.cluster)

    def decide(
        self,
        subject: Subject,
        roles: tuple[str, ...],
        node: Labelled,
        login: str,
        now: datetime,
        *,
        kind: ResourceKind = ResourceKind.NODE,
        proofs: Sequence[SessionProof] = (),
    ) -> AccessDecision:
        """Decide as `decision.decide_access` does; a role that does not exist denies everything."""
        try:
            plan = self.plan(subject, roles, now, kind)
        except KeyError as error:
            return _unknown_role(subject, str(error.args[0]))
        return plan.decide(node, login, now, proofs)

    def permitted_nodes(self, subject: Subject, roles: tuple[str, ...], now: datetime) -> list[str]:
        """Return the names of all nodes on which the subject has at least one login, checks aside."""
        try:
            plan = self.plan(subject, roles, now)
        except KeyError:  # as in `decide`: a role that is gone may have denied
            return []
        if now >= plan.stale_at:
            return []
        with self.nodes.at_rest:
            return self.nodes.names(permitted_bits(plan, self.nodes))


def permitted_bits(plan: Plan, nodes: NodeIndex) -> int:
    """Return the bit set of nodes on which the plan leaves at least one login."""
    usable = 0
    for login, mask in plan.logins.items():
        usable |= 0 if plan.denied_login(login) else mask
    allowed, allow = 0, dict(plan.allow_expressions)
    for place, patterns in enumerate(plan.allow_patterns):
        if usable >> place & 1:
            allowed |= _allowed_bits(plan, nodes, patterns, allow.get(1 << place))
    if not allowed:
        return 0
    for patterns in plan.deny_patterns:
        allowed &= ~nodes.matching(patterns) if patterns else -1
    for _, predicate in plan.deny_expressions:
        allowed &= ~_expression_bits(plan, nodes, predicate)
    return allowed


def _allowed_bits(
    plan: Plan, nodes: NodeIndex, patterns: tuple[tuple[str, tuple[str, ...]], ...], also: Predicate | None
) -> int:
    if also is None:
        return nodes.matching(patterns)
    held = nodes.matching(patterns) if patterns else nodes.live
    return held & _expression_bits(plan, nodes, also)


def _expression_bits(plan: Plan, nodes: NodeIndex, predicate: Predicate) -> int:
    return expression_bits(predicate.tree, nodes, plan.context, plan.person)


def _unknown_role(subject: Subject, name: str) -> AccessDeny:
    outcome = f"role {name} of {subject.name} does not exist"
    return AccessDeny(outcome, explanation=Explanation(outcome))
