"""Label conditions of many roles at once, as bit masks.

`LabelMasks` holds the label patterns of a list of conditions, one bit each, and answers for a
resource with the mask of those that match: AND over the keys of one condition, OR over the values
of one key. Each key costs one dictionary look-up per resource, however many conditions name it,
because what a value satisfies is worked out once and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.policy.pattern import ANYTHING, Pattern, is_literal, parse_pattern
from appliance.policy.traits import Traits, expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.domain.role import LabelPatterns

MAX_KEPT = 20_000


def expanded(patterns: LabelPatterns, traits: Traits) -> LabelPatterns:
    """Return the patterns with templates expanded; a key whose template gave no value matches nothing."""
    return tuple((key, expand(values, traits)) for key, values in patterns)


def labels_match(patterns: LabelPatterns, labels: Mapping[str, str]) -> bool:
    """Say whether one condition matches: the plain definition, which the masks must agree with."""
    return bool(patterns) and all(
        key == ANYTHING or (key in labels and any(parse_pattern(one)(labels[key]) for one in values))
        for key, values in patterns
    )


class Satisfied(dict[str | None, int]):
    """For one key: the value of a resource to the mask of conditions that it satisfies."""

    def __init__(self) -> None:
        super().__init__({None: 0})
        self.literal: dict[str, int] = {}
        self.patterns: list[tuple[Pattern, int]] = []

    def add(self, values: Iterable[str], bit: int) -> None:
        """Let these values satisfy the condition of this bit."""
        for value in values:
            if is_literal(value):
                self.literal[value] = self.literal.get(value, 0) | bit
            else:
                self.patterns.append((parse_pattern(value), bit))

    def __missing__(self, value: str | None) -> int:
        if value is None:  # another thread is just forgetting
            return 0
        mask = self.literal.get(value, 0)
        for pattern, bit in self.patterns:
            if not mask & bit and pattern(value):
                mask |= bit
        if len(self) >= MAX_KEPT:
            self.clear()
            self[None] = 0
        self[value] = mask
        return mask


class LabelMasks:
    """The label patterns of several conditions; condition number i has bit i."""

    def __init__(self, conditions: Sequence[LabelPatterns]) -> None:
        self.every = sum(1 << place for place, patterns in enumerate(conditions) if patterns)
        self.keys: dict[str, Satisfied] = {}
        named: dict[str, int] = {}
        for place, patterns in enumerate(conditions):
            for key, values in patterns:
                if key != ANYTHING:
                    self.keys.setdefault(key, Satisfied()).add(values, 1 << place)
                    named[key] = named.get(key, 0) | 1 << place
        # A condition that does not name a key is not held back by it.
        self.terms = tuple((key, self.every & ~named[key], one) for key, one in self.keys.items())

    def match(self, labels: Mapping[str, str]) -> int:
        """Return the mask of the conditions that match these labels."""
        mask = self.every
        for key, unnamed, satisfied in self.terms:
            mask &= unnamed | satisfied[labels.get(key)]
        return mask
