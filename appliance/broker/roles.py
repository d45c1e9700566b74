"""Roles as the use cases ask for them: the presets, and those kept in the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.broker.living_policy import LivingPolicy, role_of
from appliance.broker.state import State
from appliance.domain.decision import Deny
from appliance.domain.errors import Denied, Invalid
from appliance.policy.decision import AccessDecision, Labelled, SessionProof, Subject, decide_rule
from appliance.policy.presets import PRESETS

if TYPE_CHECKING:
    from appliance.domain.operations import Rule
    from appliance.domain.records import User
    from appliance.domain.role import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Answers from the store at each call: a role that changed counts from the next question on."""

    state: State
    policy: LivingPolicy

    def named(self, name: str) -> Role | None:
        """Return a role, or None; what the store has goes before a preset."""
        found = self.state.roles.find(name)
        return PRESETS.get(name) if found is None else role_of(found.value)

    def known(self, names: tuple[str, ...]) -> None:
        """Raise `Invalid` for the first role that does not exist."""
        for name in names:
            if self.named(name) is None:
                raise Invalid(f"there is no role {name[:64]!r}: presets are {', '.join(sorted(PRESETS))}")

    def of(self, user: User) -> tuple[Role, ...]:
        """Return the user's roles.

        Raises `Denied` when one is gone, since its denials would be gone with it.
        """
        roles = []
        for name in user.roles:
            role = self.named(name)
            if role is None:
                raise Denied(f"{user.name} has the role {name}, which does not exist")
            roles.append(role)
        return tuple(roles)

    def subject(self, user: User, expires: datetime) -> Subject:
        """Return the person as the policy sees them."""
        return Subject(name=user.name, expires=expires, traits=dict(user.traits))

    def decide(
        self,
        user: User,
        node: Labelled,
        login: str,
        now: datetime,
        *,
        expires: datetime,
        proofs: tuple[SessionProof, ...] = (),
    ) -> AccessDecision:
        """Decide a session on a node; a role that is gone denies, since its denials would be gone with it."""
        subject = self.subject(user, expires)
        return self.policy.current().decide(subject, user.roles, node, login, now, proofs=proofs)

    def open_nodes(self, user: User, now: datetime, *, expires: datetime) -> list[str]:
        """Return the names of the nodes on which the person has at least one login, checks aside."""
        return self.policy.current().permitted_nodes(self.subject(user, expires), user.roles, now)

    def logins(self, user: User, now: datetime, *, expires: datetime) -> tuple[str, ...]:
        """Return every login that some role allows the person on some node."""
        plan = self.policy.current().plan(self.subject(user, expires), user.roles, now)
        return tuple(sorted(plan.logins))

    def refuses(self, user: User, node: Labelled, login: str, now: datetime, *, expires: datetime) -> bool:
        """Whether a session is out of the question: denied, not just in need of a further check."""
        return isinstance(self.decide(user, node, login, now, expires=expires), Deny)

    def allows(self, user: User, rule: Rule, now: datetime) -> bool:
        """Whether the person's roles allow a verb on a kind of resource."""
        return bool(self._rule(user, rule, now))

    def require(self, user: User, rule: Rule, now: datetime) -> None:
        """Raise `Denied` unless the person's roles allow the rule."""
        if not self._rule(user, rule, now):
            raise Denied(f"no role of {user.name} allows {rule.verb} on {rule.resource}")

    def longest_life(self, user: User) -> timedelta | None:
        """Return the shortest `max_session_ttl` of the person's roles, or None if none has one."""
        limits = [role.options.max_session_ttl for role in self.of(user)]
        return min((limit for limit in limits if limit is not None), default=None)

    def _rule(self, user: User, rule: Rule, now: datetime) -> object:
        subject = self.subject(user, now + timedelta(minutes=1))
        return decide_rule(subject, self.of(user), rule.resource, rule.verb, now)
