"""Which role's which words decided, in sentences: what `sallyctl access why` prints.

The words are for the audit trail and for administrators, never for the peer. An explanation of
"nothing matched" names the roles that came closest: those of which one half matched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.role import ResourceConditions, ResourceKind, Role
from appliance.policy.outcome import ClusterPolicy, Explanation, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.domain.document import Path

MAX_FINDINGS = 50


def explain_denied(
    name: str, roles: Sequence[Role], kind: ResourceKind, labels: int, login: int
) -> Explanation:
    """Explain an explicit deny: the masks say which roles deny the labels, and which the login."""
    by_label = [_finding(role, "deny", kind) for role in _those(roles, labels)]
    by_login = [_login_finding(role, "deny", kind, "denies this login") for role in _those(roles, login)]
    findings = (*by_label, *by_login)[:MAX_FINDINGS]
    return Explanation(f"denied to {name} by role {findings[0].role}", findings)


def explain_nothing(
    name: str, roles: Sequence[Role], kind: ResourceKind, labels: int, login: int
) -> Explanation:
    """Explain that no role allows it: the masks say whose labels matched, and who knows the login."""
    near = [
        _login_finding(role, "allow", kind, "the labels match, but not the login")
        for role in _those(roles, labels & ~login)
    ]
    far = [
        _finding(role, "allow", kind, "the login matches, but not the labels")
        for role in _those(roles, login & ~labels)
    ]
    return Explanation(f"no role of {name} allows it", tuple(near + far)[:MAX_FINDINGS])


def explain_permit(matching: Sequence[Role], kind: ResourceKind, login: str) -> Explanation:
    """Explain a permit by the roles that gave it."""
    findings = [_finding(role, "allow", kind) for role in matching[:MAX_FINDINGS]]
    names = ", ".join(role.name for role in matching[:MAX_FINDINGS])
    return Explanation(f"allowed{f' as {login}' if login else ''} by role {names}", tuple(findings))


def explain_need(matching: Sequence[Role], cluster: ClusterPolicy) -> Explanation:
    """Explain why a check is needed first."""
    findings = tuple(
        Finding(role.name, ("spec", "options", "require_session_mfa"), "a check for each session")
        for role in matching
        if role.options.require_session_mfa
    )[:MAX_FINDINGS]
    who = f"role {findings[0].role}" if findings else "the cluster"
    also = ", as does the cluster" if findings and cluster.session_mfa else ""
    return Explanation(f"{who} asks for a check of each session{also}", findings)


def _those(roles: Sequence[Role], mask: int) -> Iterator[Role]:
    return (role for place, role in enumerate(roles) if mask >> place & 1)


def _finding(role: Role, side: str, kind: ResourceKind, text: str = "") -> Finding:
    conditions = (role.allow if side == "allow" else role.deny).on(kind)
    field = "labels" if conditions.labels or not conditions.expression else "labels_expression"
    path: Path = ("spec", side, f"{kind}_{field}")
    said = _written(conditions)
    return Finding(role.name, path, f"{text}: {said}" if text else said)


def _login_finding(role: Role, side: str, kind: ResourceKind, text: str) -> Finding:
    conditions = (role.allow if side == "allow" else role.deny).on(kind)
    field = "logins" if kind is ResourceKind.NODE else f"{kind} logins"
    return Finding(role.name, ("spec", side, field), f"{text}: {', '.join(conditions.logins) or 'none'}")


def _written(conditions: ResourceConditions) -> str:
    parts = [f"{key}={'|'.join(values)}" for key, values in conditions.labels]
    return " and ".join([*parts, *([conditions.expression] if conditions.expression else [])]) or "none"
