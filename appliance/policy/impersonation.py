"""In whose name, and with which roles, somebody may ask for credentials (bots, plugins, `auth sign`).

A deny that names the user or any of the roles refuses. An allow must name the user (where one is
asked for) and every one of the roles by itself: permissions of two roles are not added together,
so a bot's narrow permission is not widened by an unrelated one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.role import live_roles
from appliance.policy.outcome import Explanation, Finding, Subject
from appliance.policy.pattern import parse_pattern
from appliance.policy.rules import RuleDecision, RuleDeny, RulePermit, person_context
from appliance.policy.traits import expand
from appliance.policy.where import RULE_SCHEMA, parse_predicate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.domain.role import Impersonation, Role
    from appliance.policy.traits import Traits


def decide_impersonation(
    subject: Subject, held: Sequence[Role], user: str, roles: Sequence[str], now: datetime
) -> RuleDecision:
    """Decide whether the subject may have credentials as `user` (empty: as itself) with `roles`.

    Asking for nothing, neither user nor role, is refused.
    """
    if now >= subject.expires or not (user or roles):
        return RuleDeny(Explanation(f"{subject.name} asks for no one, or the identity has ended"))
    live = live_roles(held, now)
    for role in live:
        if _denies(role.deny.impersonate, user, roles, subject.traits):
            return RuleDeny(_explained("denied", role, "deny", user, roles))
    context = {**person_context(subject, live), "impersonate_user.metadata.name": user}
    for role in live:
        rule = role.allow.impersonate
        holds = parse_predicate(rule.where, RULE_SCHEMA)
        contexts = [{**context, "impersonate_role.metadata.name": name} for name in roles] or [context]
        if _allows(rule, user, roles, subject.traits) and all(holds(one) for one in contexts):
            return RulePermit(_explained("allowed", role, "allow", user, roles))
    return RuleDeny(Explanation(f"no role of {subject.name} allows to impersonate {_who(user, roles)}"))


def _allows(rule: Impersonation, user: str, roles: Sequence[str], traits: Traits) -> bool:
    named = not user or _matches(rule.users, user, traits)
    return named and all(_matches(rule.roles, role, traits) for role in roles)


def _denies(rule: Impersonation, user: str, roles: Sequence[str], traits: Traits) -> bool:
    named = bool(user) and _matches(rule.users, user, traits)
    return named or any(_matches(rule.roles, role, traits) for role in roles)


def _matches(patterns: tuple[str, ...], name: str, traits: Traits) -> bool:
    return any(parse_pattern(one)(name) for one in expand(patterns, traits))


def _who(user: str, roles: Sequence[str]) -> str:
    return " with ".join(part for part in (user, ", ".join(roles)) if part)


def _explained(outcome: str, role: Role, side: str, user: str, roles: Sequence[str]) -> Explanation:
    finding = Finding(role.name, ("spec", side, "impersonate"), _who(user, roles))
    return Explanation(f"impersonation is {outcome} by role {role.name}", (finding,))
