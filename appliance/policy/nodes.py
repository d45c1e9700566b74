"""All nodes by their labels, as bit sets: which of 100 000 nodes a label condition matches.

Node number i is bit i of a Python int. The bit set of a condition (`env` is one of `dev`, `stag*`)
is worked out once from the values that exist, and afterwards kept true by each change of a node, so
that a list is a few ANDs and ORs over 12.5 kB integers. Numbers of removed nodes are used again.
Threads may ask and change at the same time; who combines several answers does it under `at_rest`.
"""

from __future__ import annotations

from itertools import compress
from threading import RLock
from typing import TYPE_CHECKING

from appliance.policy.pattern import ANYTHING, is_literal, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from appliance.domain.role import LabelPatterns, Texts

MAX_CONDITIONS = 2048
"""Bit sets kept: at 100 000 nodes about 25 MB; beyond, they are worked out anew."""
BULK = 64
DENSE = 512
"""From so many nodes on, a value has a bit set of its own, which conditions over it share."""

_BITS = bytes.maketrans(b"01", b"\x00\x01")


class _Condition:
    """The bit set of the nodes that have a label whose value passes the test."""

    __slots__ = ("bits", "test")

    def __init__(self, test: Callable[[str], bool], bits: int) -> None:
        self.test = test
        self.bits = bits


class NodeIndex:
    """Names and labels of nodes; `put` and `remove` keep every bit set true."""

    def __init__(self, nodes: Iterable[tuple[str, Mapping[str, str]]] = ()) -> None:
        self.dense_from = DENSE
        self.at_rest = self._lock = RLock()
        """Held as a context, nothing changes: a number stands for one node from question to answer."""
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._labels: list[Mapping[str, str]] = []
        self._free: list[int] = []
        self._values: dict[str, dict[str, set[int]]] = {}
        self._dense: dict[tuple[str, str], int] = {}
        self._conditions: dict[str, dict[Hashable, _Condition]] = {}
        self._kept = 0
        self.live = 0
        self.put_many(nodes)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def labels(self, name: str) -> Mapping[str, str]:
        """Return a node's labels; raises `KeyError` for an unknown node."""
        return self._labels[self._numbers[name]]

    def put_many(self, nodes: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Add or change many nodes; cheaper than one by one, because the bit sets are made anew."""
        items = list(nodes)
        with self._lock:
            if len(items) > BULK:
                self._forget()
            fresh = [self._place(name, labels) for name, labels in items]
            self.live |= bits_of(fresh)

    def put(self, name: str, labels: Mapping[str, str]) -> None:
        """Add a node, or change its labels."""
        with self._lock:
            self.live |= 1 << self._place(name, labels)

    def remove(self, name: str) -> None:
        """Forget a node; an unknown one is not an error, since it is gone already."""
        with self._lock:
            number = self._numbers.pop(name, None)
            if number is not None:
                self._relabel(number, {})
                self.live &= ~(1 << number)
                self._names[number] = ""
                self._free.append(number)

    def _place(self, name: str, labels: Mapping[str, str]) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = self._free.pop() if self._free else len(self._names)
            if number == len(self._names):
                self._names.append(name)
                self._labels.append({})
            self._names[number] = name
        self._relabel(number, dict(labels))
        return number

    def _relabel(self, number: int, labels: Mapping[str, str]) -> None:
        before = self._labels[number]
        self._labels[number] = labels
        for key in before.keys() | labels.keys():
            old, new = before.get(key), labels.get(key)
            if old != new:
                self._move(number, key, old, new)

    def _move(self, number: int, key: str, old: str | None, new: str | None) -> None:
        values = self._values.setdefault(key, {})
        if old is not None:
            values[old].discard(number)
            if not values[old]:
                del values[old]
        if new is not None:
            values.setdefault(new, set()).add(number)
        for value in (old, new):
            if value is not None and (key, value) in self._dense:
                self._dense[key, value] ^= 1 << number
        for condition in self._conditions.get(key, {}).values():
            self._update(condition, number, old, new)

    @staticmethod
    def _update(condition: _Condition, number: int, old: str | None, new: str | None) -> None:
        was, now = (value is not None and condition.test(value) for value in (old, new))
        if was != now:
            condition.bits ^= 1 << number

    def _forget(self) -> None:
        self._conditions.clear()
        self._dense.clear()
        self._kept = 0

    def having(self, key: str, identity: Hashable, test: Callable[[str], bool]) -> int:
        """Return the bit set of nodes with a label `key` whose value passes the test.

        `identity` names the test: equal identities must stand for equal tests.
        """
        with self._lock:
            return self._condition(key, identity, test).bits

    def _condition(self, key: str, identity: Hashable, test: Callable[[str], bool]) -> _Condition:
        kept = self._conditions.get(key, {}).get(identity)
        if kept is None:
            if self._kept >= MAX_CONDITIONS:
                self._forget()
            kept = _Condition(test, self._bits_having(key, test))
            self._conditions.setdefault(key, {})[identity] = kept
            self._kept += 1
        return kept

    def _bits_having(self, key: str, test: Callable[[str], bool]) -> int:
        bits, few = 0, list[int]()
        for value, numbers in self._values.get(key, {}).items():
            if not test(value):
                continue
            if len(numbers) < self.dense_from:
                few.extend(numbers)
                continue
            if (key, value) not in self._dense:
                self._dense[key, value] = bits_of(numbers)
            bits |= self._dense[key, value]
        return bits | bits_of(few)

    def matching(self, patterns: LabelPatterns) -> int:
        """Return the bit set of nodes that match a label condition (AND over keys, OR over values)."""
        bits = self.live if patterns else 0
        for key, values in patterns:
            if key != ANYTHING:
                kept = self._conditions.get(key, {}).get(values)
                bits &= self.having(key, values, _test_of(values)) if kept is None else kept.bits
        return bits

    def names(self, bits: int) -> list[str]:
        """Return the names of a bit set's nodes, in the order in which they came."""
        if not bits:
            return []
        digits = f"{bits:b}".encode("ascii").translate(_BITS)[::-1]
        return list(compress(self._names, digits))

    def each(self, bits: int) -> Iterable[tuple[int, Mapping[str, str]]]:
        """Return number and labels of a bit set's nodes: the slow way, for tests of several labels."""
        with self._lock:
            numbers = [self._numbers[name] for name in self.names(bits)]
            return [(number, self._labels[number]) for number in numbers]


def _test_of(values: Texts) -> Callable[[str], bool]:
    if all(is_literal(value) for value in values):
        return frozenset(values).__contains__
    tests = [parse_pattern(value) for value in values]
    return lambda value: any(test(value) for test in tests)


def bits_of(numbers: Iterable[int]) -> int:
    """Return the bit set of these node numbers."""
    listed = list(numbers)
    digits = bytearray(max(listed, default=0) // 8 + 1)
    for number in listed:
        digits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(digits, "little")
