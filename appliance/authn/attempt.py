"""One sign-in, as a value that does no IO.

A proof is either valid or not; the attempt is either accepted or still in need of proofs. The two questions
are
kept apart, so that lockout counts proofs, never attempts, and a wrong extra proof changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.decision import Factor


@dataclass(frozen=True, slots=True)
class Requirement:
    """Every set must be met by one of its members: AND over the tuple, OR in a set."""

    sets: tuple[frozenset[Factor], ...]

    def missing(self, proved: frozenset[Factor]) -> frozenset[Factor]:
        """Return the factors of the first set that is not met; empty when all are."""
        return next((one for one in self.sets if not one & proved), frozenset())


@dataclass(frozen=True, slots=True)
class Attempt:
    """What has been proved so far, against what is required."""

    required: Requirement
    proved: frozenset[Factor] = field(default_factory=frozenset)

    @property
    def missing(self) -> frozenset[Factor]:
        """What the person can offer next; empty when nothing is missing."""
        return self.required.missing(self.proved)

    @property
    def accepted(self) -> bool:
        """Whether everything required was proved, and something was required.

        An empty set, which nothing can meet, is never met.
        """
        return bool(self.required.sets) and all(one & self.proved for one in self.required.sets)

    def with_proof(self, factor: Factor) -> Attempt:
        """Return the attempt after one valid proof."""
        return Attempt(self.required, self.proved | {factor})
