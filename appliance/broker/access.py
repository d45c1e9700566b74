"""Explaining the policy to administrators: the same decision as a connection's, asked without one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from appliance.broker.ports import Clock
from appliance.broker.roles import Roles
from appliance.broker.state import State
from appliance.domain import names
from appliance.domain.document import path_text
from appliance.domain.errors import NotFound
from appliance.domain.operations import access
from appliance.policy.decision import AccessDecision, AccessDeny, AccessNeed, AccessPermit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.domain.records import Node, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Asks for a person as if they had just signed in."""

    state: State
    roles: Roles
    clock: Clock
    life: timedelta
    """How long a sign-in lasts at most."""

    def why(self, identity: object, request: access.AccessQuestion) -> access.AccessExplanation:
        """Explain one decision."""
        del identity
        login, node = names.login(request.login), self.state.nodes.find(names.node_name(request.node))
        if node is None:
            raise NotFound(f"there is no node {request.node}")
        return _explained(self._decide(self._user(request.user), node.value, login))

    def list(self, identity: object, request: access.AccessOf) -> access.AccessList:
        """Return every node the user reaches, checks aside."""
        del identity
        user, now = self._user(request.user), self.clock.now()
        open_nodes = sorted(self.roles.open_nodes(user, now, expires=now + self.life))
        found = (self.state.nodes.find(name) for name in open_nodes)
        return access.AccessList(lines=tuple(self._line(user, one.value) for one in found if one is not None))

    def _line(self, user: User, node: Node) -> access.AccessLine:
        decided = [(login, self._decide(user, node, login)) for login in self._logins(user)]
        return access.AccessLine(
            node=node.name,
            logins=tuple(login for login, answer in decided if isinstance(answer, AccessPermit)),
            with_proof=tuple(login for login, answer in decided if isinstance(answer, AccessNeed)),
        )

    def _logins(self, user: User) -> Iterator[str]:
        now = self.clock.now()
        return iter(self.roles.logins(user, now, expires=now + self.life))

    def _decide(self, user: User, node: Node, login: str) -> AccessDecision:
        now = self.clock.now()
        return self.roles.decide(user, node, login, now, expires=now + self.life)

    def _user(self, name: str) -> User:
        found = self.state.users.find(names.user_name(name))
        if found is None:
            raise NotFound(f"there is no user {name}")
        return found.value


def _explained(decision: AccessDecision) -> access.AccessExplanation:
    factors: tuple[str, ...] = ()
    match decision:
        case AccessPermit():
            answer = access.Answer.ALLOWED
        case AccessNeed():
            answer, factors = access.Answer.NEEDS_PROOF, tuple(sorted(decision.factors))
        case AccessDeny():
            answer = access.Answer.DENIED
        case unknown:
            assert_never(unknown)
    said = decision.explanation
    return access.AccessExplanation(
        answer=answer,
        outcome=said.outcome,
        reasons=tuple(
            access.AccessReason(role=one.role, place=path_text(one.path), text=one.text)
            for one in said.findings
        ),
        factors=factors,
    )
