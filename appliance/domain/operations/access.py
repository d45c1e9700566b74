"""Explanations: who may what, and by which words of which role."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from appliance.domain.operations.operation import Caller, Operation, Rule

CONSOLE_OR_PERSON = frozenset({Caller.CONSOLE, Caller.PERSON})


class Answer(StrEnum):
    """What the policy answers."""

    ALLOWED = "allowed"
    NEEDS_PROOF = "needs proof"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessQuestion:
    """Whether the user, signed in now, may be `login` on `node`."""

    user: str
    login: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessReason:
    """One thing that counted: `place` is the path in the role's document."""

    role: str
    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessExplanation:
    """The answer, in a sentence and with what decided or came closest."""

    answer: Answer
    outcome: str
    reasons: tuple[AccessReason, ...]
    factors: tuple[str, ...] = ()
    """One of these must be proved first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOf:
    """A user by name."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """The logins a user may use on a node; those in `with_proof` after a check of the session."""

    node: str
    logins: tuple[str, ...]
    with_proof: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessList:
    """Every node a user reaches, by name."""

    lines: tuple[AccessLine, ...]


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="access.why",
        summary="Explain whether a user may open a session, and which role's words decide",
        request=AccessQuestion,
        response=AccessExplanation,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("role", "read"),
    ),
    Operation(
        name="access.list",
        summary="List the nodes and logins a user may use",
        request=AccessOf,
        response=AccessList,
        callers=CONSOLE_OR_PERSON,
        rule=Rule("role", "read"),
    ),
)
