"""May they? The two questions the broker asks, answered from roles alone.

`decide_access` for a session on a resource, `decide_rule` for a verb on a kind of resource of the
cluster. Both: deny wins over allow whatever the order of roles; what nothing matches is denied;
nothing here reads a clock, and every answer says which role's words decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.role import ResourceKind, Role
from appliance.policy.outcome import (
    AccessDecision,
    AccessDeny,
    AccessNeed,
    AccessPermit,
    ClusterPolicy,
    Explanation,
    Finding,
    Resource,
    SessionProof,
    Subject,
)
from appliance.policy.plan import Labelled, compile_plan
from appliance.policy.rules import RuleDecision, RuleDeny, RulePermit, decide_rule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = [
    "AccessDecision",
    "AccessDeny",
    "AccessNeed",
    "AccessPermit",
    "ClusterPolicy",
    "Explanation",
    "Finding",
    "Labelled",
    "Resource",
    "RuleDecision",
    "RuleDeny",
    "RulePermit",
    "SessionProof",
    "Subject",
    "decide_access",
    "decide_rule",
]


def decide_access(
    subject: Subject,
    roles: Sequence[Role],
    node: Labelled,
    login: str,
    now: datetime,
    *,
    kind: ResourceKind = ResourceKind.NODE,
    cluster: ClusterPolicy | None = None,
    proofs: Sequence[SessionProof] = (),
) -> AccessDecision:
    """Decide whether the subject with these roles may open a session as `login`.

    Returns `AccessPermit` (grant, session options), `AccessNeed` (one of the factors is missing) or
    `AccessDeny`; raises `Invalid` when a role holds a broken template or expression. Compiles the
    roles each time; `compiled.CompiledPolicy` keeps them.
    """
    plan = compile_plan(subject, roles, now, kind=kind, cluster=cluster)
    return plan.decide(node, login, now, proofs)
