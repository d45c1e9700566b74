"""Regular expressions that can't be made slow: matching takes time linear in the text.

Role authors write the expressions, but the texts come from others (a node's dynamic labels, a
requester's reason), and a backtracking engine would let them stall the one process that decides.
So this is Thompson's construction: the syntax of RE2 without back references, look-around or word
borders; `search` runs a lazily built automaton, `captures` the ordered thread simulation (Pike) that
finds leftmost-first groups.

Source: R. Cox, "Regular Expression Matching: the Virtual Machine Approach" (2009).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.policy.regex_syntax import Anchor, Chars, Instruction, Match, Save, Split, compiled

MAX_TEXT = 4096
MAX_STATES = 512

State = frozenset[int]
_Thread = tuple[int, tuple[int, ...]]


@dataclass(slots=True)
class Regex:
    """A compiled expression. `parse_regex` makes it."""

    source: str
    groups: int
    program: tuple[Instruction, ...]
    _next: dict[tuple[State, str], State] = field(default_factory=dict)

    def search(self, text: str) -> bool:
        """Say whether the expression matches anywhere in the text; longer than 4096 characters never."""
        if len(text) > MAX_TEXT:
            return False
        state = self._closure({0}, start=True, end=not text)
        for place, char in enumerate(text, 1):
            if self._found(state):
                return True
            state = self._step(state, char, last=place == len(text))
        return self._found(state)

    def _found(self, state: State) -> bool:
        return len(self.program) - 1 in state

    def _step(self, state: State, char: str, *, last: bool) -> State:
        key = (state, char + "$" if last else char)
        after = self._next.get(key)
        if after is None:
            moved = {at + 1 for at in state if isinstance(one := self.program[at], Chars) and char in one}
            after = self._closure(moved | {0}, start=False, end=last)
            if len(self._next) >= MAX_STATES:
                self._next.clear()
            self._next[key] = after
        return after

    def _closure(self, places: set[int], *, start: bool, end: bool) -> State:
        seen: set[int] = set()
        stack = list(places)
        while stack:
            at = stack.pop()
            if at not in seen:
                seen.add(at)
                stack.extend(self._empty_steps(at, start=start, end=end))
        return frozenset(seen)

    def _empty_steps(self, at: int, *, start: bool, end: bool) -> tuple[int, ...]:
        match self.program[at]:
            case Split(first, second):
                return first, second
            case Save():
                return (at + 1,)
            case Anchor(at_end) if end if at_end else start:
                return (at + 1,)
        return ()

    def captures(self, text: str, begin: int = 0) -> tuple[int, ...] | None:
        """Return the places of the leftmost match from `begin` on: (start, end) of it and of each group."""
        found: tuple[int, ...] | None = None
        threads, seen = list[_Thread](), set[int]()
        for place in range(begin, min(len(text), MAX_TEXT) + 1):
            if found is None:
                blank = (place, -1) + (-1,) * (2 * self.groups)
                self._follow(threads, seen, (0, blank), place, len(text))
            elif not threads:
                break
            advanced, seen = list[_Thread](), set[int]()
            for at, saved in threads:
                instruction = self.program[at]
                if isinstance(instruction, Match):
                    found = (saved[0], place, *saved[2:])
                    break
                if isinstance(instruction, Chars) and place < len(text) and text[place] in instruction:
                    self._follow(advanced, seen, (at + 1, saved), place + 1, len(text))
            threads = advanced
        return found

    def _follow(
        self, threads: list[_Thread], seen: set[int], thread: _Thread, place: int, length: int
    ) -> None:
        stack = [thread]
        while stack:
            at, saved = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            instruction = self.program[at]
            if isinstance(instruction, Chars | Match):
                threads.append((at, saved))
            if isinstance(instruction, Save):
                saved = (*saved[: instruction.slot], place, *saved[instruction.slot + 1 :])
            steps = self._empty_steps(at, start=place == 0, end=place == length)
            stack.extend((step, saved) for step in reversed(steps))

    def replace(self, text: str, replacement: str) -> str:
        """Return the text with every match replaced; `$1` or `${1}` stand for groups, `$$` for `$`."""
        out, done = [], 0
        while done <= len(text) and (places := self.captures(text, done)) is not None:
            start, end = places[:2]
            out += [text[done:start], _expanded(replacement, text, places)]
            if end == start:
                out.append(text[end : end + 1])
            done = end + (end == start)
        return "".join([*out, text[done:]])


def _expanded(replacement: str, text: str, places: tuple[int, ...]) -> str:
    out, at = [], 0
    while (dollar := replacement.find("$", at)) >= 0:
        out.append(replacement[at:dollar])
        digits, at = _reference(replacement, dollar + 1)
        number = int(digits) if digits.isdecimal() else len(places)
        if digits == "$":
            out.append("$")
        elif 2 * number + 1 < len(places) and places[2 * number] >= 0:
            out.append(text[places[2 * number] : places[2 * number + 1]])
    return "".join([*out, replacement[at:]])


def _reference(replacement: str, at: int) -> tuple[str, int]:
    if replacement.startswith("$", at):
        return "$", at + 1
    braced = replacement.startswith("{", at)
    end = at + braced
    while end < len(replacement) and replacement[end] in "0123456789":
        end += 1
    return replacement[at + braced : end], end + (braced and replacement.startswith("}", end))


def parse_regex(source: str) -> Regex:
    """Return the compiled expression; raises `Invalid` with the place of a mistake."""
    program, groups = compiled(source)
    return Regex(source, groups, program)
