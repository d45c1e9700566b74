"""Fresh proofs: a person says yes to exactly one thing, with a key or a code, and it is kept who did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from appliance.domain.operations.operation import Caller, Operation
from appliance.domain.operations.people import CodeProof, WebauthnProof

PERSON = frozenset({Caller.PERSON})


class Scope(StrEnum):
    """What a challenge is for; one answered for one scope is nothing in another."""

    SESSION = "session"
    ADMIN_ACTION = "admin_action"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeNamed:
    """A challenge by id."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeView:
    """What the person is asked to say yes to, in words, and how they can."""

    id: str
    scope: Scope
    words: tuple[str, ...]
    """What it is, a line each, for people."""
    matching: str
    """A short code; whoever asks shows the same."""
    factors: tuple[str, ...]
    webauthn: dict[str, Any] | None
    """Options for `navigator.credentials.get`; each look makes fresh ones and voids those before."""
    met: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeAnswer:
    """The person's yes."""

    id: str
    proof: CodeProof | WebauthnProof


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeMet:
    """The answer was right: the challenge's id, sent along with the call, is the proof."""

    id: str
    expires_at: datetime


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="challenges.show",
        summary="What a fresh proof is asked for, in words, and the options for a security key",
        request=ChallengeNamed,
        response=ChallengeView,
        callers=PERSON,
    ),
    Operation(
        name="challenges.answer",
        summary="Say yes to a challenge with a security key or a code",
        request=ChallengeAnswer,
        response=ChallengeMet,
        callers=PERSON,
    ),
)
