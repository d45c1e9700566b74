"""A call that may need a fresh proof: ask, answer, and call again with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, ProofNeeded
from appliance.domain.operations.challenges import ChallengeAnswer, ChallengeNamed, ChallengeView
from appliance.domain.operations.people import CodeProof, WebauthnProof

if TYPE_CHECKING:
    from appliance.client.api import Api


class Asking(Protocol):
    """What is asked of the person and their machine."""

    def explain(self, words: tuple[str, ...]) -> None:
        """Show what is about to be done."""

    def code(self, *, or_key: bool) -> str:
        """Ask for a code; empty means that a security key shall be used, where that is offered."""

    def security_key(self, options: dict[str, Any], origin: str) -> dict[str, Any]:
        """Have a key on this machine answer."""


def confirmed(api: Api, name: str, request: object, *, origin: str, ask: Asking) -> Any:
    """Do the operation; where it takes a fresh proof, get one for exactly this and do it again."""
    try:
        return api.call(name, request)
    except ProofNeeded as error:
        challenge = error.challenge
    shown: ChallengeView = api.call("challenges.show", ChallengeNamed(id=challenge))
    ask.explain(shown.words)
    api.call("challenges.answer", ChallengeAnswer(id=challenge, proof=_proof(shown, origin, ask)))
    return api.with_proof(challenge).call(name, request)


def _proof(shown: ChallengeView, origin: str, ask: Asking) -> CodeProof | WebauthnProof:
    code = ask.code(or_key=shown.webauthn is not None) if Factor.TOTP in shown.factors else ""
    if code:
        return CodeProof(code=code)
    if shown.webauthn is None:
        raise Denied("no code given", message="a code is needed for this")
    return WebauthnProof(response=ask.security_key(shown.webauthn, origin))
