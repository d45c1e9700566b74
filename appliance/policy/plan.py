"""One person's roles, compiled: what `decide` needs for any resource, as bit masks over the roles.

Bit i stands for role i. For a resource, the masks of roles whose labels match and whose logins
match are intersected; what a given result mask means (options, explanation) is worked out once.
Deny comes first and is wider than allow on purpose: of a role's deny side, labels, expression or
login each deny alone; of its allow side, labels *and* expression *and* login must match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.domain.decision import Grant
from appliance.domain.role import ResourceConditions, ResourceKind, Role, live_roles
from appliance.policy.explain import explain_denied, explain_need, explain_nothing, explain_permit
from appliance.policy.labels import LabelMasks, expanded
from appliance.policy.options import merge_limits, with_permissions
from appliance.policy.outcome import (
    AccessDecision,
    AccessDeny,
    AccessNeed,
    AccessPermit,
    ClusterPolicy,
    Explanation,
    SessionProof,
    Subject,
    factors_for,
)
from appliance.policy.pattern import is_literal, parse_pattern
from appliance.policy.traits import expand, valid_logins, with_own_login
from appliance.policy.where import NODE_SCHEMA, Predicate, parse_predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

K = TypeVar("K")
V = TypeVar("V")
MAX_KEPT = 4096


class Labelled(Protocol):
    """What is decided about: a node's record, or any `Resource`."""

    @property
    def name(self) -> str:
        """The name, for explanations."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels as they are now."""


class Plan:
    """The compiled roles of one person for one kind of resource. Made by `compile_plan`."""

    def __init__(
        self,
        subject: Subject,
        roles: Sequence[Role],
        kind: ResourceKind,
        cluster: ClusterPolicy,
        stale_at: datetime,
    ) -> None:
        self.subject, self.roles, self.kind, self.cluster = subject, tuple(roles), kind, cluster
        self.stale_at = stale_at
        self.traits = with_own_login(subject.name, subject.traits)
        allow = [role.allow.on(kind) for role in roles]
        deny = [role.deny.on(kind) for role in roles]
        self.allow_patterns = [expanded(one.labels, self.traits) for one in allow]
        self.deny_patterns = [expanded(one.labels, self.traits) for one in deny]
        # One pass over the labels answers for both sides: allow in the low bits, deny above them.
        self._labels = LabelMasks([*self.allow_patterns, *self.deny_patterns])
        self._count = len(self.roles)
        self._allow_bits = (1 << self._count) - 1
        self._limits = merge_limits(self.roles, cluster)
        self.allow_expressions = _expressions(allow)
        self.deny_expressions = _expressions(deny)
        # A role with an expression alone is not held back by the labels it does not name.
        self._expression_only = sum(
            1 << place for place, one in enumerate(allow) if one.expression and not one.labels
        )
        self.logins = self._login_masks(allow)
        self._deny_logins = _DenyLogins([expand(one.logins, self.traits) for one in deny])
        self.context = {
            "user.metadata.name": subject.name,
            "user.spec.roles": tuple(role.name for role in roles),
            "user.spec.traits": self.traits,
        }
        self.person = (subject.name, tuple(role.name for role in roles), tuple(sorted(self.traits.items())))
        self._results: dict[tuple[int, str], AccessPermit | AccessNeed] = {}
        self._refusals: dict[tuple[object, ...], AccessDeny] = {}

    def _login_masks(self, allow: Sequence[ResourceConditions]) -> dict[str, int]:
        masks: dict[str, int] = {}
        for place, one in enumerate(allow):
            names = expand(one.logins, self.traits)
            checked = valid_logins(names) if self.kind is ResourceKind.NODE else names
            for name in ("",) if self.kind is ResourceKind.APP else checked:
                masks[name] = masks.get(name, 0) | 1 << place
        return masks

    def roles_in(self, mask: int) -> tuple[Role, ...]:
        """Return the roles of a mask."""
        return tuple(role for place, role in enumerate(self.roles) if mask >> place & 1)

    def allowed(self, labels: Mapping[str, str]) -> int:
        """Return the mask of roles whose allow side matches these labels, whatever the login."""
        return self._allowed(self._labels.match(labels) & self._allow_bits, labels)

    def _allowed(self, mask: int, labels: Mapping[str, str]) -> int:
        if self.allow_expressions:
            mask |= self._expression_only
            for bit, predicate in self.allow_expressions:
                if mask & bit and not predicate({**self.context, "labels": labels}):
                    mask &= ~bit
        return mask

    def denied(self, labels: Mapping[str, str]) -> int:
        """Return the mask of roles whose deny side matches these labels."""
        return self._denied(self._labels.match(labels) >> self._count, labels)

    def _denied(self, mask: int, labels: Mapping[str, str]) -> int:
        for bit, predicate in self.deny_expressions:
            if not mask & bit and predicate({**self.context, "labels": labels}):
                mask |= bit
        return mask

    def denied_login(self, login: str) -> int:
        """Return the mask of roles whose deny side names this login."""
        return self._deny_logins[login]

    def logins_on(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the logins that a resource with these labels may be entered with, sorted."""
        allowed = 0 if self.denied(labels) else self.allowed(labels)
        names = (name for name, mask in self.logins.items() if mask & allowed)
        return tuple(sorted(name for name in names if not self._deny_logins[name]))

    def decide(
        self, resource: Labelled, login: str, now: datetime, proofs: Sequence[SessionProof] = ()
    ) -> AccessDecision:
        """Decide on one session; without explanation work, unless this outcome is new.

        `login` is compared exactly. `now` must be aware; a plan used past its roles' end denies.
        """
        if now >= self.stale_at:
            return _ended(self.subject, now)
        labels = resource.labels
        both = self._labels.match(labels)
        label_mask, login_mask = self._denied(both >> self._count, labels), self._deny_logins[login]
        if label_mask or login_mask:
            return self._refused(("denied", label_mask, login_mask))
        matched = self._allowed(both, labels)  # no deny bit is set here
        allowed = matched & self.logins.get(login, 0)
        if not allowed:
            return self._refused(("nothing", matched, self.logins.get(login, 0)))
        key = (allowed, login)
        result = self._results.get(key)
        if result is None:  # not `or`: a need is false
            result = self._result(allowed, login)
        if isinstance(result, AccessNeed):
            return self._checked(result, allowed, login, now, proofs)
        return _within(result, self.subject.expires - now)

    def _refused(self, key: tuple[str, int, int]) -> AccessDeny:
        refusal = self._refusals.get(key)
        if refusal is None:
            _forget(self._refusals)
            refusal = self._refusals[key] = _deny(self._explain(*key))
        return refusal

    def _explain(self, what: str, first: int, second: int) -> Explanation:
        explain = explain_denied if what == "denied" else explain_nothing
        return explain(self.subject.name, self.roles, self.kind, first, second)

    def _result(self, allowed: int, login: str) -> AccessPermit | AccessNeed:
        _forget(self._results)
        permit = self._permit(allowed, login)
        result: AccessPermit | AccessNeed = permit
        if permit.options.mfa:
            result = AccessNeed(
                factors_for(permit.options.mfa) & self.cluster.session_factors,
                options=permit.options,
                explanation=explain_need(self.roles_in(allowed), self.cluster),
            )
        self._results[allowed, login] = result
        return result

    def _permit(self, allowed: int, login: str) -> AccessPermit:
        matching = self.roles_in(allowed)
        options = with_permissions(self._limits, matching, self.cluster)
        grant = Grant(principals=(login,) if login else (), lifetime=options.max_session_ttl)
        return AccessPermit(grant, options=options, explanation=explain_permit(matching, self.kind, login))

    def _checked(
        self, need: AccessNeed, allowed: int, login: str, now: datetime, proofs: Sequence[SessionProof]
    ) -> AccessDecision:
        if not need.factors:
            return _deny(Explanation("a check is required that the cluster's second factors can't give"))
        if any(proof.factor in need.factors and proof.meets(need.options.mfa, now) for proof in proofs):
            return _within(self._permit(allowed, login), self.subject.expires - now)
        return need


class _DenyLogins(dict[str, int]):
    """Login to the mask of roles that deny it; names, globs and expressions are read in deny."""

    def __init__(self, conditions: Sequence[tuple[str, ...]]) -> None:
        super().__init__()
        self._literal: dict[str, int] = {}
        self._patterns: list[tuple[Callable[[str], bool], int]] = []
        for place, names in enumerate(conditions):
            for name in names:
                if is_literal(name):
                    self._literal[name] = self._literal.get(name, 0) | 1 << place
                else:
                    self._patterns.append((parse_pattern(name), 1 << place))

    def __missing__(self, login: str) -> int:
        mask = self._literal.get(login, 0)
        for pattern, bit in self._patterns:
            mask |= bit if pattern(login) else 0
        _forget(self)
        self[login] = mask
        return mask


def compile_plan(
    subject: Subject,
    roles: Sequence[Role],
    now: datetime,
    *,
    kind: ResourceKind = ResourceKind.NODE,
    cluster: ClusterPolicy | None = None,
) -> Plan:
    """Compile a person's roles as they are at `now`; roles past their end count for nothing.

    Raises `Invalid` when a role holds a broken template, pattern or expression: then nobody gets in
    by it, and `check_role` says where.
    """
    live = live_roles(roles, now)
    ends = [role.expires for role in live if role.expires is not None]
    return Plan(subject, live, kind, cluster or ClusterPolicy(), min([subject.expires, *ends]))


def _expressions(conditions: Sequence[ResourceConditions]) -> tuple[tuple[int, Predicate], ...]:
    return tuple(
        (1 << place, parse_predicate(one.expression, NODE_SCHEMA))
        for place, one in enumerate(conditions)
        if one.expression
    )


def _within(permit: AccessPermit, left: timedelta) -> AccessPermit:
    if left >= permit.grant.lifetime:
        return permit
    grant = Grant(principals=permit.grant.principals, lifetime=left)
    return AccessPermit(grant, options=permit.options, explanation=permit.explanation)


def _deny(explanation: Explanation) -> AccessDeny:
    return AccessDeny(explanation.outcome, explanation=explanation)


def _ended(subject: Subject, now: datetime) -> AccessDeny:
    ended = "the identity" if now >= subject.expires else "a role"
    return _deny(Explanation(f"{ended} of {subject.name} has ended"))


def _forget(kept: dict[K, V]) -> None:
    if len(kept) >= MAX_KEPT:
        kept.clear()
