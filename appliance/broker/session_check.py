"""The check of one session: what was proved for exactly this connection, node and login (rows S8, X1).

A challenge stays good for further channels of the same SSH connection, for the five minutes that a proof
counts; any other connection, source, node or login is another text, and so another challenge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.broker.challenges import Challenge, Challenges, Met
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, NotFound, Throttled
from appliance.domain.operations import ssh
from appliance.domain.operations.challenges import Scope
from appliance.domain.operations.people import CodeProof
from appliance.policy.outcome import SessionProof

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a session's proof is for. `source` is an IP address."""

    user: str
    login: str
    node: str
    source: str
    session_hash: bytes

    @property
    def facts(self) -> dict[str, str]:
        """The facts of the challenge."""
        return {
            "login": self.login,
            "node": self.node,
            "source": self.source,
            "session": self.session_hash.hex(),
        }

    @property
    def words(self) -> tuple[str, ...]:
        """What the page shows."""
        return ("Open a session", f"{self.login} on {self.node}", f"from {self.source}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCheck:
    """Takes answers, hands out proofs and challenges."""

    challenges: Challenges
    web_address: str

    def answered(self, target: Target, answers: Iterable[ssh.ProofAnswer]) -> tuple[str, ...]:
        """Judge the codes that were typed; returns what was wrong with them, in words for the person."""
        return tuple(self._wrong(target, answers))

    def _wrong(self, target: Target, answers: Iterable[ssh.ProofAnswer]) -> Iterator[str]:
        for answer in answers:
            if not answer.code or self._met(target, answer.challenge):
                continue
            challenge = self.challenges.find(answer.challenge)
            if challenge is None or not self._is_for(challenge, target):
                yield "that confirmation has ended"
                continue
            try:
                proof = CodeProof(code=answer.code)
                self.challenges.prove(challenge.id, target.user, proof, target.source)
            except (Denied, NotFound, Throttled) as error:
                yield str(error)

    def proofs(self, target: Target, answers: Iterable[ssh.ProofAnswer]) -> tuple[SessionProof, ...]:
        """Return what the answered challenges prove for this session."""
        found = (self._met(target, answer.challenge) for answer in answers)
        return tuple(
            SessionProof(
                factor=met.factor,
                at=met.at,
                presence=met.factor is Factor.WEBAUTHN,
                verification=met.verification,
            )
            for met in found
            if met is not None
        )

    def ask(
        self, target: Target, factors: frozenset[Factor], answers: Iterable[ssh.ProofAnswer], wrong: str
    ) -> ssh.MoreProof:
        """Return what the person is asked; the challenge they are at already, where there is one."""
        usable = factors & frozenset(Factor(name) for name in self.challenges.factors(target.user))
        if not usable:
            return ssh.MoreProof(factors=tuple(sorted(factors)), message=wrong)
        challenge = self._under_way(target, answers) or self.challenges.begin(
            target.user, Scope.SESSION, target.facts, target.words
        )
        by_browser = Factor.WEBAUTHN in usable
        left = challenge.expires_at - self.challenges.clock.now()
        return ssh.MoreProof(
            factors=tuple(sorted(usable)),
            challenge=challenge.id,
            url=f"https://{self.web_address}/web/confirm/{challenge.id}" if by_browser else "",
            matching=challenge.matching,
            message=wrong,
            expires_in_seconds=max(1, int(left.total_seconds())),
        )

    def _under_way(self, target: Target, answers: Iterable[ssh.ProofAnswer]) -> Challenge | None:
        found = (self.challenges.find(answer.challenge) for answer in answers)
        return next(
            (one for one in found if one is not None and one.met is None and self._is_for(one, target)), None
        )

    def _met(self, target: Target, name: str) -> Met | None:
        return self.challenges.find_met(name, target.user, Scope.SESSION, target.facts) if name else None

    def _is_for(self, challenge: Challenge, target: Target) -> bool:
        return self.challenges.is_for(challenge, target.user, Scope.SESSION, target.facts)
