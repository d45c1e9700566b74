"""Joining somebody's session, and the people who must be there for it to run (S7, A12-A14).

`may_join` asks the roles of the one who joins; `missing_joins` asks the roles of the session's
owner, already merged into `SessionOptions.require_session_join`: each set must be satisfied by one
of its members, and a member by `count` different people in one of its modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.domain.role import JoinPolicy, OnLeave, RequiredJoin, Role, SessionOptions, live_roles
from appliance.policy.outcome import Subject
from appliance.policy.pattern import parse_pattern
from appliance.policy.rules import person_context
from appliance.policy.where import JOIN_SCHEMA, parse_predicate

if TYPE_CHECKING:
    from datetime import datetime


ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody in a session besides its owner: identity, roles, and the mode they joined in."""

    subject: Subject
    roles: Sequence[Role]
    mode: str


def may_join(
    subject: Subject, held: Sequence[Role], owner_roles: Sequence[str], now: datetime, *, kind: str, mode: str
) -> bool:
    """Say whether the subject may join a session of someone with `owner_roles`, of a kind, in a mode.

    `kind` is `ssh`, `db` …; `mode` is `observer`, `peer` or `moderator`. Deny comes first.
    """
    if now >= subject.expires:
        return False
    live = live_roles(held, now)
    denies = (one for role in live for one in role.deny.join_sessions)
    if any(_names(one, owner_roles, kind, mode) for one in denies):
        return False
    return any(_names(one, owner_roles, kind, mode) for role in live for one in role.allow.join_sessions)


def _names(policy: JoinPolicy, owner_roles: Sequence[str], kind: str, mode: str) -> bool:
    if not {kind, ANY} & set(policy.kinds) or not {mode, ANY} & set(policy.modes):
        return False
    return any(parse_pattern(pattern)(role) for pattern in policy.roles for role in owner_roles)


def missing_joins(
    options: SessionOptions, owner: str, present: Sequence[Participant]
) -> tuple[tuple[RequiredJoin, ...], ...]:
    """Return the sets that nobody present satisfies yet; the session runs when none is left."""
    return tuple(
        alternatives
        for alternatives in options.require_session_join
        if not any(_satisfied(required, owner, present) for required in alternatives)
    )


def on_leave(options: SessionOptions) -> OnLeave:
    """Return what happens when someone required leaves: to end is stricter than to pause."""
    said = {required.on_leave for alternatives in options.require_session_join for required in alternatives}
    return OnLeave.PAUSE if said == {OnLeave.PAUSE} else OnLeave.TERMINATE


def _satisfied(required: RequiredJoin, owner: str, present: Sequence[Participant]) -> bool:
    passes = parse_predicate(required.filter, JOIN_SCHEMA)
    people = {
        one.subject.name
        for one in present
        if one.subject.name != owner
        and {one.mode, ANY} & set(required.modes)
        and passes(person_context(one.subject, one.roles))
    }
    return len(people) >= required.count
