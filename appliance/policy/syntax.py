"""The grammar of predicates: names, texts, calls, `==` and `!=`, `&&`, `||`, `!`. Nothing is run here.

    or      := and { "||" and }
    and     := not { "&&" not }
    not     := "!" not | compare
    compare := value [ ("==" | "!=") value ]
    value   := text | "true" | "false" | "(" or ")" | name [ "(" values ")" ] { "[" text "]" }

`parse` returns a tree of frozen values; `where.py` gives it types and meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from appliance.domain.errors import Invalid

MAX_SOURCE = 4096
MAX_DEPTH = 32
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
      | (?P<sign>&&|\|\||==|!=|[!(),\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it stands."""

    value: str


@dataclass(frozen=True, slots=True)
class Truth:
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True)
class Name:
    """Something of the context, by its dotted name."""

    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of something that has entries: `labels["env"]`."""

    of: Tree
    key: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the language, with its arguments."""

    function: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Equal:
    """Two values are the same."""

    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    item: Tree


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    items: tuple[Tree, ...]


Tree = Text | Truth | Name | Item | Call | Equal | Not | And | Or


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(source: str) -> list[_Token]:
    tokens, at = list[_Token](), 0
    while source[at:].strip():
        found = _TOKEN.match(source, at)
        if found is None or found.lastgroup is None:
            raise Invalid(f"predicate {source[:80]!r}: can't be read from character {at + 1} on")
        tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
        at = found.end()
    return [*tokens, _Token("end", "", len(source))]


class _Parser:
    CONSTANTS: ClassVar[dict[str, bool]] = {"true": True, "false": False}

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.at = 0
        self.depth = 0

    def error(self, expected: str) -> Invalid:
        token = self.tokens[self.at]
        found = repr(token.text) if token.text else "the end"
        where = f"not {found}, at character {token.place + 1}"
        return Invalid(f"predicate {self.source[:80]!r}: expected {expected}, {where}")

    def skip(self, sign: str) -> bool:
        token = self.tokens[self.at]
        found = token.kind == "sign" and token.text == sign
        self.at += found
        return found

    def expect(self, sign: str) -> None:
        if not self.skip(sign):
            raise self.error(repr(sign))

    def whole(self) -> Tree:
        tree = self.either()
        if self.tokens[self.at].kind != "end":
            raise self.error("'&&', '||' or the end")
        return tree

    def either(self) -> Tree:
        items = [self.both()]
        while self.skip("||"):
            items.append(self.both())
        return items[0] if len(items) == 1 else Or(tuple(items))

    def both(self) -> Tree:
        items = [self.negated()]
        while self.skip("&&"):
            items.append(self.negated())
        return items[0] if len(items) == 1 else And(tuple(items))

    def negated(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"at most {MAX_DEPTH} levels of nesting")
        tree = Not(self.negated()) if self.skip("!") else self.compared()
        self.depth -= 1
        return tree

    def compared(self) -> Tree:
        left = self.value()
        if self.skip("=="):
            return Equal(left, self.value())
        if self.skip("!="):
            return Not(Equal(left, self.value()))
        return left

    def value(self) -> Tree:
        token = self.tokens[self.at]
        if self.skip("("):
            tree = self.either()
            self.expect(")")
            return tree
        if token.kind not in {"text", "name"}:
            raise self.error("a value")
        self.at += 1
        if token.kind == "text":
            return Text(_unquoted(token.text))
        if token.text in self.CONSTANTS:
            return Truth(self.CONSTANTS[token.text])
        return self.items(self.called(token.text))

    def called(self, name: str) -> Tree:
        if not self.skip("("):
            return Name(name)
        arguments = list[Tree]()
        if not self.skip(")"):
            arguments.append(self.either())
            while self.skip(","):
                arguments.append(self.either())
            self.expect(")")
        return Call(name, tuple(arguments))

    def items(self, tree: Tree) -> Tree:
        while self.skip("["):
            token = self.tokens[self.at]
            if token.kind != "text":
                raise self.error("a key in quotes")
            self.at += 1
            self.expect("]")
            tree = Item(tree, _unquoted(token.text))
        return tree


def _unquoted(text: str) -> str:
    # Only quotes and the backslash itself are escaped: a regular expression's own escapes stay as they are.
    inner = text[1:-1]
    return inner if text[0] == "`" else re.sub(r"\\([\"'\\])", r"\1", inner)


def parse(source: str) -> Tree:
    """Return the tree of a predicate; raises `Invalid` with the place and what was expected there."""
    if len(source) > MAX_SOURCE:
        raise Invalid(f"predicate longer than {MAX_SOURCE} characters")
    return _Parser(source).whole()
