"""Verbs on the cluster's own resources: who may list users, read events, rotate an authority.

A rule names resources and verbs (`*` is any) and may bind itself to a predicate over the person and
the resource. Any matching deny rule refuses, whatever allows; where nothing matches, the answer is
no. Whoever may `read` may also `readnosecrets`, never the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.domain.document import path_text
from appliance.domain.role import live_roles
from appliance.policy.outcome import Explanation, Finding, Subject
from appliance.policy.traits import with_own_login
from appliance.policy.where import RULE_SCHEMA, Context, parse_predicate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from appliance.domain.role import Conditions, Role, Rule

ANY = "*"
READ, READ_NO_SECRETS = "read", "readnosecrets"


@dataclass(frozen=True, slots=True)
class RulePermit:
    """The verb is allowed on the resource."""

    explanation: Explanation

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class RuleDeny:
    """The verb is not allowed. The explanation is for the audit trail."""

    explanation: Explanation

    def __bool__(self) -> bool:
        return False


RuleDecision = RulePermit | RuleDeny


def decide_rule(
    subject: Subject,
    roles: Sequence[Role],
    resource: str,
    verb: str,
    now: datetime,
    *,
    context: Context | None = None,
) -> RuleDecision:
    """Decide whether the subject may do `verb` on a resource of this kind.

    `context` gives what `where` may look at besides the person (names of `where.RULE_SCHEMA`, such
    as `resource.metadata.name` or `session.participants`); what is not given is empty. Raises
    `Invalid` for a role with a broken predicate.
    """
    if now >= subject.expires:
        return RuleDeny(Explanation(f"the identity of {subject.name} has ended"))
    live = live_roles(roles, now)
    about = {**person_context(subject, live), "resource.kind": resource, **(context or {})}
    if denied := next(_matching(live, "deny", resource, verb, about), None):
        return RuleDeny(Explanation(f"{verb} on {resource} is denied by role {denied.role}", (denied,)))
    if allowed := next(_matching(live, "allow", resource, verb, about), None):
        return RulePermit(Explanation(f"{verb} on {resource} is allowed by role {allowed.role}", (allowed,)))
    return RuleDeny(Explanation(f"no role of {subject.name} allows {verb} on {resource}"))


def person_context(subject: Subject, roles: Sequence[Role]) -> dict[str, object]:
    """Return what predicates may look at of a person."""
    return {
        "user.metadata.name": subject.name,
        "user.spec.roles": tuple(role.name for role in roles),
        "user.spec.traits": with_own_login(subject.name, subject.traits),
    }


def _matching(
    roles: Sequence[Role], side: str, resource: str, verb: str, about: Context
) -> Iterator[Finding]:
    for role in roles:
        conditions: Conditions = role.allow if side == "allow" else role.deny
        for place, rule in enumerate(conditions.rules):
            if _names(rule, resource, verb, widen=side == "allow") and _holds(rule, about):
                path = ("spec", side, "rules", place)
                yield Finding(role.name, path, rule.where or f"{verb} on {resource}")


def _names(rule: Rule, resource: str, verb: str, *, widen: bool) -> bool:
    if ANY not in rule.resources and resource not in rule.resources:
        return False
    implied = {READ} if widen and verb == READ_NO_SECRETS else set()
    # Denying to read without secrets must deny reading with them as well.
    implied |= {READ_NO_SECRETS} if not widen and verb == READ else set()
    return ANY in rule.verbs or verb in rule.verbs or not implied.isdisjoint(rule.verbs)


def _holds(rule: Rule, about: Context) -> bool:
    return parse_predicate(rule.where, RULE_SCHEMA)(about)


def decided_by(decision: RuleDecision) -> str:
    """Return where the deciding words stand: `role editor, spec.allow.rules[0]`, or the outcome."""
    findings = decision.explanation.findings
    first = findings[0] if findings else None
    return f"role {first.role}, {path_text(first.path)}" if first else decision.explanation.outcome
