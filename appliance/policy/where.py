"""Predicates of roles with types and meaning: `where`, `filter`, label expressions.

A predicate is checked when the role is read: an unknown name or function, or a comparison of unlike
things, is an error then and not a silent "no" later. It becomes a tree of small functions over a
context; there is no evaluation of code. A name the context does not give is empty, never an error,
and an empty thing equals only an empty thing.

    functions  equals  contains  contains_any  contains_all  is_empty  has_prefix  set
               regexp.match  regexp.replace  email.local  strings.lower  strings.upper
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any

from appliance.domain.errors import Invalid
from appliance.policy.functions import email_local, replaced
from appliance.policy.pattern import parse_pattern
from appliance.policy.regex import parse_regex
from appliance.policy.syntax import And, Call, Equal, Item, Name, Not, Or, Text, Tree, Truth, parse


class Kind(StrEnum):
    """What a value of a predicate is."""

    TRUTH = "true or false"
    TEXT = "text"
    TEXTS = "a list of texts"
    LABELS = "labels"
    TRAITS = "traits"


Value = bool | str | tuple[str, ...] | Mapping[str, str] | Mapping[str, tuple[str, ...]]
Context = Mapping[str, Any]
"""Dotted name to value: `{"user.metadata.name": "alice", "labels": {"env": "dev"}}`."""
Schema = Mapping[str, Kind]
Evaluate = Callable[[Context], Any]

_EMPTY: dict[Kind, Any] = {
    Kind.TRUTH: False,
    Kind.TEXT: "",
    Kind.TEXTS: (),
    Kind.LABELS: {},
    Kind.TRAITS: {},
}
_ENTRY = {Kind.LABELS: Kind.TEXT, Kind.TRAITS: Kind.TEXTS}

_USER: dict[str, Kind] = {
    "user.metadata.name": Kind.TEXT,
    "user.spec.roles": Kind.TEXTS,
    "user.spec.traits": Kind.TRAITS,
}
NODE_SCHEMA: Schema = _USER | {"labels": Kind.LABELS}
"""For `node_labels_expression` and its kin."""
RULE_SCHEMA: Schema = _USER | {
    "resource.kind": Kind.TEXT,
    "resource.metadata.name": Kind.TEXT,
    "resource.metadata.labels": Kind.LABELS,
    "resource.owner": Kind.TEXT,
    "session.participants": Kind.TEXTS,
    "session.login": Kind.TEXT,
    "session.server_hostname": Kind.TEXT,
    "session.server_labels": Kind.LABELS,
    "impersonate_user.metadata.name": Kind.TEXT,
    "impersonate_role.metadata.name": Kind.TEXT,
}
"""For `where` of rules and impersonation."""
REVIEW_SCHEMA: Schema = _USER | {
    "reviewer.name": Kind.TEXT,
    "reviewer.roles": Kind.TEXTS,
    "reviewer.traits": Kind.TRAITS,
    "review.reason": Kind.TEXT,
    "review.annotations": Kind.TRAITS,
    "request.user": Kind.TEXT,
    "request.roles": Kind.TEXTS,
    "request.reason": Kind.TEXT,
    "request.system_annotations": Kind.TRAITS,
}
"""For `filter` of thresholds and `where` of `review_requests`."""
JOIN_SCHEMA: Schema = _USER
"""For `filter` of `require_session_join`: the user is the one who joins."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A checked predicate; call it with a context."""

    source: str
    tree: Tree
    _evaluate: Evaluate = field(repr=False, compare=False)

    def __call__(self, context: Context) -> bool:
        """Say whether the predicate holds."""
        return bool(self._evaluate(context))


@dataclass(frozen=True, slots=True)
class _Typed:
    kind: Kind
    evaluate: Evaluate


def parse_predicate(source: str, schema: Schema) -> Predicate:
    """Return the predicate; an empty one always holds. Raises `Invalid` with what was expected."""
    return _cached(source, tuple(sorted(schema.items())))


@lru_cache(maxsize=4096)
def _cached(source: str, schema: tuple[tuple[str, Kind], ...]) -> Predicate:
    if not source.strip():
        return Predicate(source, Truth(value=True), lambda _: True)
    tree = parse(source)
    typed = _Checker(source, dict(schema)).typed(tree)
    if typed.kind is not Kind.TRUTH:
        raise Invalid(f"predicate {source[:80]!r}: is {typed.kind}, not true or false")
    return Predicate(source, tree, typed.evaluate)


def predicate_of(tree: Tree, schema: Schema) -> Predicate:
    """Return the predicate of one branch of a checked tree."""
    return Predicate("", tree, _Checker("", schema).typed(tree).evaluate)


def texts_function(tree: Tree, schema: Schema, source: str) -> Callable[[Context], tuple[str, ...]]:
    """Return the function of a tree that gives texts (a template); raises `Invalid` for other kinds."""
    typed = _Checker(source, schema).typed(tree)
    if typed.kind is Kind.TEXT:
        return lambda context: (typed.evaluate(context),)
    if typed.kind is not Kind.TEXTS:
        raise Invalid(f"template {source[:80]!r}: is {typed.kind}, not a list of texts")
    return typed.evaluate


class _Checker:
    def __init__(self, source: str, schema: Schema) -> None:
        self.source = source
        self.schema = schema

    def error(self, problem: str) -> Invalid:
        return Invalid(f"predicate {self.source[:80]!r}: {problem}")

    def typed(self, tree: Tree) -> _Typed:  # noqa: PLR0911 - one case a kind of tree
        match tree:
            case Text(value) | Truth(value):
                kind = Kind.TEXT if isinstance(value, str) else Kind.TRUTH
                return _Typed(kind, lambda _: value)
            case Name(name):
                return self.name(name)
            case Item(of, key):
                return self.item(self.typed(of), key)
            case Call(function, arguments):
                return self.call(function, [self.typed(one) for one in arguments], arguments)
            case Equal(left, right):
                return self.equal(self.typed(left), self.typed(right))
            case Not(item):
                inner = self.truth(item)
                return _Typed(Kind.TRUTH, lambda context: not inner(context))
            case And(items):
                every = [self.truth(one) for one in items]
                return _Typed(Kind.TRUTH, lambda context: all(one(context) for one in every))
            case Or(items):
                some = [self.truth(one) for one in items]
                return _Typed(Kind.TRUTH, lambda context: any(one(context) for one in some))

    def truth(self, tree: Tree) -> Evaluate:
        typed = self.typed(tree)
        if typed.kind is not Kind.TRUTH:
            raise self.error(f"expected true or false, not {typed.kind}")
        return typed.evaluate

    def name(self, name: str) -> _Typed:
        if name in self.schema:
            kind = self.schema[name]
            empty = _EMPTY[kind]
            return _Typed(kind, lambda context: context.get(name, empty))
        head, _, last = name.rpartition(".")
        if self.schema.get(head) in _ENTRY:
            return self.item(self.name(head), last)
        near = get_close_matches(name, self.schema, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self.schema))}"
        raise self.error(f"unknown name {name}; {hint}")

    def item(self, of: _Typed, key: str) -> _Typed:
        if of.kind not in _ENTRY:
            raise self.error(f"{of.kind} has no entry {key!r}")
        kind = _ENTRY[of.kind]
        empty, inner = _EMPTY[kind], of.evaluate
        return _Typed(kind, lambda context: inner(context).get(key, empty))

    def equal(self, left: _Typed, right: _Typed) -> _Typed:
        if left.kind is not right.kind or left.kind in _ENTRY:
            raise self.error(f"{left.kind} can't be compared with {right.kind}")
        one, other = left.evaluate, right.evaluate
        if left.kind is Kind.TEXTS:
            return _Typed(Kind.TRUTH, lambda context: sorted(one(context)) == sorted(other(context)))
        return _Typed(Kind.TRUTH, lambda context: one(context) == other(context))

    def call(self, name: str, given: list[_Typed], trees: tuple[Tree, ...]) -> _Typed:
        if name == "set":
            return self.texts(given)
        if name == "equals" and len(given) == 2:  # noqa: PLR2004 - two sides
            return self.equal(*given)
        if name not in _FUNCTIONS:
            near = get_close_matches(name, _FUNCTIONS, n=1)
            hint = near[0] if near else ", ".join(sorted((*_FUNCTIONS, "equals", "set")))
            raise self.error(f"unknown function {name}; known: {hint}")
        function = _FUNCTIONS[name]
        self.check_arguments(name, function, given, trees)
        return function.applied([one.evaluate for one in given], given[0].kind, trees)

    def texts(self, given: list[_Typed]) -> _Typed:
        if any(one.kind is not Kind.TEXT for one in given):
            raise self.error("set takes texts")
        parts = [one.evaluate for one in given]
        return _Typed(Kind.TEXTS, lambda context: tuple(part(context) for part in parts))

    def check_arguments(
        self, name: str, function: _Function, given: list[_Typed], trees: tuple[Tree, ...]
    ) -> None:
        if len(given) != len(function.takes):
            raise self.error(f"{name} takes {len(function.takes)} arguments, not {len(given)}")
        for place, (kinds, one) in enumerate(zip(function.takes, given, strict=True), 1):
            if one.kind not in kinds:
                raise self.error(f"argument {place} of {name} is {' or '.join(kinds)}, not {one.kind}")
        if name.startswith("regexp."):
            if not isinstance(trees[1], Text):
                raise self.error(f"the pattern of {name} is a text in quotes")
            (parse_pattern if name == "regexp.match" else parse_regex)(trees[1].value)


Apply = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Function:
    """What a function takes and gives; `gives` None: the same kind as its first argument."""

    takes: tuple[tuple[Kind, ...], ...]
    gives: Kind | None
    apply: Apply

    def applied(self, arguments: list[Evaluate], first: Kind, trees: tuple[Tree, ...]) -> _Typed:
        apply, kind = self.apply, self.gives or first
        if trees and isinstance(trees[-1], Text) and len(arguments) == 2:  # noqa: PLR2004 - value and constant
            value, constant = arguments[0], trees[-1].value
            return _Typed(kind, lambda context: apply(value(context), constant))
        return _Typed(kind, lambda context: apply(*(argument(context) for argument in arguments)))


def _each(change: Callable[[str], str]) -> Apply:
    def apply(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return change(value) if isinstance(value, str) else tuple(change(one) for one in value)

    return apply


def _matches(value: str | tuple[str, ...], pattern: str) -> bool:
    test = parse_pattern(pattern)
    return test(value) if isinstance(value, str) else any(test(one) for one in value)


_ANY: tuple[Kind, ...] = (Kind.TEXT, Kind.TEXTS)
_TEXT, _TEXTS = (Kind.TEXT,), (Kind.TEXTS,)
_FUNCTIONS: dict[str, _Function] = {
    "contains": _Function((_TEXTS, _TEXT), Kind.TRUTH, lambda texts, text: text in texts),
    "contains_any": _Function((_TEXTS, _TEXTS), Kind.TRUTH, lambda one, two: not set(one).isdisjoint(two)),
    "contains_all": _Function(
        (_TEXTS, _TEXTS), Kind.TRUTH, lambda one, two: bool(two) and set(two).issubset(one)
    ),
    "is_empty": _Function((_ANY,), Kind.TRUTH, lambda value: not value),
    "has_prefix": _Function((_TEXT, _TEXT), Kind.TRUTH, str.startswith),
    "regexp.match": _Function((_ANY, _TEXT), Kind.TRUTH, _matches),
    "regexp.replace": _Function((_ANY, _TEXT, _TEXT), None, replaced),
    "email.local": _Function((_ANY,), None, email_local),
    "strings.lower": _Function((_ANY,), None, _each(str.lower)),
    "strings.upper": _Function((_ANY,), None, _each(str.upper)),
}
