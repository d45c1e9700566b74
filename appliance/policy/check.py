"""What only the policy can see wrong in a role: predicates, templates, patterns, names of verbs.

To be called wherever a role is created or changed, after `parse_role`: a mistake found here would
otherwise be a role that grants nothing, or, worse, denies nothing. Errors are `DocumentError`s with
the path, as those of the reader are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from appliance.domain.document import DocumentError, Path
from appliance.domain.errors import Invalid
from appliance.domain.names import login as parse_login
from appliance.domain.role import Conditions, ResourceKind, Role, Rule, Texts
from appliance.policy.destinations import parse_destination
from appliance.policy.pattern import is_literal, parse_pattern
from appliance.policy.presets import KNOWN_RESOURCES, KNOWN_VERBS
from appliance.policy.traits import is_template, parse_template
from appliance.policy.where import (
    JOIN_SCHEMA,
    NODE_SCHEMA,
    REVIEW_SCHEMA,
    RULE_SCHEMA,
    Schema,
    parse_predicate,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Check = Callable[[], object]
_KINDS = ("ssh", "k8s", "db", "app", "desktop", "*")
_MODES = ("observer", "peer", "moderator", "*")


def check_role(role: Role) -> None:
    """Raise `DocumentError` for the first thing in the role that could never work."""
    for path, check in _checks(role):
        try:
            check()
        except Invalid as error:
            raise DocumentError(path, str(error)) from error


def _checks(role: Role) -> Iterator[tuple[Path, Check]]:
    for place, destination in enumerate(role.options.direct_destinations):
        yield (
            ("spec", "options", "direct_destinations", place),
            partial(parse_destination, destination),
        )
    yield from _logins(role.allow.logins, ("spec", "allow", "logins"), allow=True)
    yield from _logins(role.deny.logins, ("spec", "deny", "logins"), allow=False)
    yield from _side(role.allow, ("spec", "allow"))
    yield from _side(role.deny, ("spec", "deny"))


def _logins(logins: Texts, path: Path, *, allow: bool) -> Iterator[tuple[Path, Check]]:
    for place, text in enumerate(logins):
        if is_template(text) or not allow:
            yield (*path, place), partial(_text, text)
        else:
            yield (*path, place), partial(parse_login, text)


def _text(text: str) -> object:
    return parse_template(text) if is_template(text) else parse_pattern(text)


def _side(conditions: Conditions, path: Path) -> Iterator[tuple[Path, Check]]:
    for kind in ResourceKind:
        one = conditions.on(kind)
        for key, values in one.labels:
            yield from _texts(values, (*path, f"{kind}_labels", key))
        yield _predicate(one.expression, NODE_SCHEMA, (*path, f"{kind}_labels_expression"))
        if kind is not ResourceKind.NODE:
            yield from _texts(one.logins, (*path, f"{kind} logins"))
    for place, rule in enumerate(conditions.rules):
        yield from _rule(rule, (*path, "rules", place))
    yield from _request(conditions, path)
    yield _predicate(conditions.impersonate.where, RULE_SCHEMA, (*path, "impersonate", "where"))
    yield from _joins(conditions, path)


def _texts(texts: Iterable[str], path: Path) -> Iterator[tuple[Path, Check]]:
    for place, text in enumerate(texts):
        yield (*path, place), partial(_text, text)


def _predicate(source: str, schema: Schema, path: Path) -> tuple[Path, Check]:
    return path, partial(parse_predicate, source, schema)


def _rule(rule: Rule, path: Path) -> Iterator[tuple[Path, Check]]:
    yield from _known(rule.resources, KNOWN_RESOURCES, (*path, "resources"))
    yield from _known(rule.verbs, KNOWN_VERBS, (*path, "verbs"))
    yield _predicate(rule.where, RULE_SCHEMA, (*path, "where"))


def _request(conditions: Conditions, path: Path) -> Iterator[tuple[Path, Check]]:
    request, review = conditions.request, conditions.review_requests
    at = (*path, "request")
    yield from _texts((*request.roles, *review.roles), (*at, "roles"))
    for place, name in enumerate(request.search_as_roles):
        yield (*at, "search_as_roles", place), partial(_role_name, name)
    for place, threshold in enumerate(request.thresholds):
        yield _predicate(threshold.filter, REVIEW_SCHEMA, (*at, "thresholds", place, "filter"))
    for place, claim in enumerate((*request.claims_to_roles, *review.claims_to_roles)):
        yield from _texts((claim.value, *claim.roles), (*at, "claims_to_roles", place))
    yield _predicate(review.where, REVIEW_SCHEMA, (*path, "review_requests", "where"))


def _role_name(name: str) -> None:
    if not is_literal(name):
        raise Invalid(f"{name[:64]!r} is a pattern: expected the name of a role")


def _joins(conditions: Conditions, path: Path) -> Iterator[tuple[Path, Check]]:
    for place, required in enumerate(conditions.require_session_join):
        at = (*path, "require_session_join", place)
        yield _predicate(required.filter, JOIN_SCHEMA, (*at, "filter"))
        yield from _known(required.kinds, _KINDS, (*at, "kinds"))
        yield from _known(required.modes, _MODES, (*at, "modes"))
    for place, policy in enumerate(conditions.join_sessions):
        at = (*path, "join_sessions", place)
        yield from _known(policy.kinds, _KINDS, (*at, "kinds"))
        yield from _known(policy.modes, _MODES, (*at, "modes"))


def _known(texts: Texts, known: Iterable[str], path: Path) -> Iterator[tuple[Path, Check]]:
    for place, text in enumerate(texts):
        yield (*path, place), partial(_one_of, text, known)


def _one_of(text: str, known: Iterable[str]) -> None:
    if text not in known:
        near = get_close_matches(text, list(known), n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        raise Invalid(f"unknown: {text[:64]!r}; {hint}")
