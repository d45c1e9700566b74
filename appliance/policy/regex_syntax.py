"""The syntax of regular expressions, and the program one becomes.

    source -> parser -> Node -> compiled -> instructions

A program is a tuple of instructions that ends in `Match`; `regex.py` runs it. Both are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from appliance.domain.errors import Invalid

MAX_SOURCE = 512
MAX_PROGRAM = 1000
MAX_DEPTH = 20
MAX_REPEAT = 100

Ranges = tuple[tuple[str, str], ...]
DIGIT: Ranges = (("0", "9"),)
WORD: Ranges = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
SPACE: Ranges = (("\t", "\n"), ("\f", "\r"), (" ", " "))
_CLASSES = {"d": DIGIT, "w": WORD, "s": SPACE}
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Chars:
    """A set of characters, one of which must come next."""

    ranges: Ranges
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True, slots=True)
class Anchor:
    """The begin (`^`) or the end (`$`) of the text."""

    end: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """All of these, one after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these; the first that fits is preferred."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The item `least` to `most` times (None: any number), as many as possible if greedy."""

    item: Node
    least: int
    most: int | None
    greedy: bool


@dataclass(frozen=True, slots=True)
class Group:
    """What the item matched is remembered under its number."""

    item: Node
    number: int


Node = Chars | Anchor | Sequence | Choice | Repeat | Group


@dataclass(slots=True)
class _Parser:
    source: str
    fold: bool = False
    at: int = 0
    groups: int = 0
    depth: int = 0

    def error(self, problem: str) -> Invalid:
        return Invalid(f"regular expression {self.source!r}: {problem} at character {self.at + 1}")

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def take(self, expected: str = "") -> str:
        char = self.peek()
        if not char or (expected and char != expected):
            raise self.error(f"expected {expected or 'another character'}")
        self.at += 1
        return char

    def skip(self, text: str) -> bool:
        found = self.source.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def whole(self) -> Node:
        self.fold = self.skip("(?i)")
        node = self.choice()
        if self.peek():
            raise self.error("unbalanced ')'")
        return node

    def choice(self) -> Node:
        items = [self.sequence()]
        while self.skip("|"):
            items.append(self.sequence())
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def sequence(self) -> Node:
        items: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            items.append(self.repeated(self.atom()))
        return Sequence(tuple(items))

    def repeated(self, item: Node) -> Node:
        bounds = self.bounds()
        if bounds is None:
            return item
        node = Repeat(item, *bounds, greedy=not self.skip("?"))
        if self.bounds() is not None:
            raise self.error("two quantifiers in a row")
        return node

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.skip(sign):
                return bounds
        return self.counted() if self.skip("{") else None

    def counted(self) -> tuple[int, int | None]:
        least = self.count()
        if self.skip("}"):
            return least, least
        self.take(",")
        if self.skip("}"):
            return least, None
        most = self.count()
        self.take("}")
        if most < least:
            raise self.error("a repetition that ends before it begins")
        return least, most

    def count(self) -> int:
        digits = ""
        while self.peek() and self.peek() in "0123456789":
            digits += self.take()
        if not digits or len(digits) > 3 or int(digits) > MAX_REPEAT:  # noqa: PLR2004 - digits of MAX_REPEAT
            raise self.error(f"expected a repetition of at most {MAX_REPEAT}")
        return int(digits)

    def atom(self) -> Node:
        match self.take():
            case "(":
                return self.group()
            case "[":
                return self.char_class()
            case ".":
                return Chars((("\n", "\n"),), negated=True)
            case "^" | "$" as anchor:
                return Anchor(end=anchor == "$")
            case "\\":
                return self.folded(self.escape())
            case "*" | "+" | "?" | "{" | "}" | "]" as sign:
                raise self.error(f"a {sign!r} that stands for itself needs a backslash")
            case char:
                return self.folded(Chars(((char, char),)))

    def group(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"groups nested deeper than {MAX_DEPTH}")
        if self.skip("?:"):
            node = self.choice()
        elif self.peek() == "?":
            raise self.error("only (?:...) and a leading (?i) are known")
        else:
            self.groups += 1
            number = self.groups
            node = Group(self.choice(), number)
        self.take(")")
        self.depth -= 1
        return node

    def escape(self) -> Chars:
        char = self.take()
        if char.lower() in _CLASSES:
            return Chars(_CLASSES[char.lower()], negated=char.isupper())
        if char.isalnum() and char not in _CONTROL:
            raise self.error(f"unknown escape \\{char}")
        plain = _CONTROL.get(char, char)
        return Chars(((plain, plain),))

    def char_class(self) -> Chars:
        negated, ranges = self.skip("^"), list[tuple[str, str]]()
        while not self.skip("]"):
            low = self.class_item()
            if len(low) != 1 or low[0][0] != low[0][1] or not self.range_follows():
                ranges.extend(low)
                continue
            self.take("-")
            high = self.class_item()
            if len(high) != 1 or high[0][0] < low[0][0]:
                raise self.error("a range that ends before it begins")
            ranges.append((low[0][0], high[0][0]))
        if not ranges:
            raise self.error("an empty class")
        return self.folded(Chars(tuple(ranges), negated))

    def range_follows(self) -> bool:
        return self.peek() == "-" and self.source[self.at + 1 : self.at + 2] not in ("]", "")

    def class_item(self) -> Ranges:
        char = self.take()
        if char == "[":
            raise self.error("a '[' in a class needs a backslash")
        if char != "\\":
            return ((char, char),)
        escaped = self.escape()
        if escaped.negated:
            raise self.error("a negated escape in a class")
        return escaped.ranges

    def folded(self, chars: Chars) -> Chars:
        if not self.fold:
            return chars
        both: list[tuple[str, str]] = list(chars.ranges)
        for low, high in chars.ranges:
            for first, last, shift in (("a", "z", -32), ("A", "Z", 32)):
                start, stop = max(low, first), min(high, last)
                if start <= stop:
                    both.append((chr(ord(start) + shift), chr(ord(stop) + shift)))
        return Chars(tuple(both), chars.negated)


@dataclass(frozen=True, slots=True)
class Split:
    """Try `first`, then `second`."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Save:
    """Remember the place in the text."""

    slot: int


@dataclass(frozen=True, slots=True)
class Match:
    """Found."""


Instruction = Chars | Anchor | Split | Save | Match
_FOUND = Match()


class _Compiler:
    def __init__(self) -> None:
        self.program: list[Instruction] = []

    def emit(self, instruction: Instruction) -> int:
        if len(self.program) >= MAX_PROGRAM:
            raise Invalid(f"regular expression too large: more than {MAX_PROGRAM} steps")
        self.program.append(instruction)
        return len(self.program) - 1

    def add(self, node: Node) -> None:
        match node:
            case Chars() | Anchor():
                self.emit(node)
            case Sequence(items):
                for item in items:
                    self.add(item)
            case Choice(items):
                self.choice(items)
            case Repeat():
                self.repeat(node)
            case Group(item, number):
                self.emit(Save(2 * number))
                self.add(item)
                self.emit(Save(2 * number + 1))
            case _:
                assert_never(node)

    def choice(self, items: tuple[Node, ...]) -> None:
        exits = []
        for item in items[:-1]:
            split = self.emit(_FOUND)
            self.add(item)
            exits.append(self.emit(_FOUND))
            self.program[split] = Split(split + 1, len(self.program))
        self.add(items[-1])
        for place in exits:
            self.program[place] = Split(len(self.program), len(self.program))

    def repeat(self, node: Repeat) -> None:
        for _ in range(node.least):
            self.add(node.item)
        if node.most is None:
            split = self.emit(_FOUND)
            self.add(node.item)
            self.emit(Split(split, split))
            self.program[split] = self.split(split + 1, len(self.program), node)
            return
        splits = []
        for _ in range(node.most - node.least):
            splits.append(self.emit(_FOUND))
            self.add(node.item)
        for split in splits:
            self.program[split] = self.split(split + 1, len(self.program), node)

    @staticmethod
    def split(inside: int, after: int, node: Repeat) -> Split:
        return Split(inside, after) if node.greedy else Split(after, inside)


def compiled(source: str) -> tuple[tuple[Instruction, ...], int]:
    """Return the program of an expression and its number of groups; raises `Invalid` with the place."""
    if len(source) > MAX_SOURCE:
        raise Invalid(f"regular expression longer than {MAX_SOURCE} characters")
    parser, compiler = _Parser(source), _Compiler()
    compiler.add(parser.whole())
    compiler.emit(_FOUND)
    return tuple(compiler.program), parser.groups
