"""What a person's roles let them ask for: which roles, on whose agreement, for how long.

Every role that a person holds and whose `allow.request` names the wanted role adds one *set* of
thresholds; with two such roles both sets must be satisfied, so holding more roles never makes an
approval cheaper. A `deny.request` of any role takes the wanted role away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.role import ReasonMode, RequestAccess, RequestConditions, Role, Threshold
from appliance.policy.pattern import parse_pattern
from appliance.policy.traits import Traits, expand
from appliance.requests.model import RoleThresholds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from appliance.domain.role import ClaimToRoles, LabelPatterns

DEFAULT_THRESHOLDS = (Threshold(),)


class Requestable:
    """The request side of one person's roles."""

    def __init__(self, held: Sequence[Role], traits: Traits) -> None:
        self._held = tuple(held)
        self._traits = traits

    def may_request(self, role: str, *, for_resources: bool = False) -> bool:
        """Say whether the role may be asked for (through `search_as_roles`, where it is for resources)."""
        return next(self._allowing(role, for_resources=for_resources), None) is not None

    def _allowing(self, role: str, *, for_resources: bool) -> Iterator[RequestConditions]:
        denies = (self._names(one.deny.request, role, for_resources=for_resources) for one in self._held)
        if any(denies):
            return
        for one in self._held:
            if self._names(one.allow.request, role, for_resources=for_resources):
                yield one.allow.request

    def _names(self, request: RequestConditions, role: str, *, for_resources: bool) -> bool:
        if for_resources:
            return role in request.search_as_roles
        return names_role(request.roles, request.claims_to_roles, role, self._traits)

    def searchable(self) -> tuple[str, ...]:
        """Return the roles that a request for resources asks for, once each."""
        names = (name for one in self._held for name in one.allow.request.search_as_roles)
        return tuple(name for name in dict.fromkeys(names) if self.may_request(name, for_resources=True))

    def thresholds(self, role: str, *, for_resources: bool = False) -> RoleThresholds:
        """Return the sets of thresholds of a role; the same set twice counts once."""
        allowing = self._allowing(role, for_resources=for_resources)
        sets = (request.thresholds or DEFAULT_THRESHOLDS for request in allowing)
        return RoleThresholds(role=role, sets=tuple(dict.fromkeys(sets)))

    def max_duration(self, role: str, *, for_resources: bool = False) -> timedelta | None:
        """Return the longest access the matching roles allow to ask for; None where none speaks of it."""
        allowing = self._allowing(role, for_resources=for_resources)
        said = [one.max_duration for one in allowing if one.max_duration is not None]
        return max(said, default=None)

    def needs_reason(self, role: str, *, for_resources: bool = False) -> bool:
        """Say whether asking for the role takes a reason."""
        if any(one.options.request_access is RequestAccess.REASON for one in self._held):
            return True
        allowing = self._allowing(role, for_resources=for_resources)
        return any(request.reason is ReasonMode.REQUIRED for request in allowing)

    def suggested_reviewers(self) -> tuple[str, ...]:
        """Return the reviewers that the person's roles suggest, once each."""
        lists = (expand(one.allow.request.suggested_reviewers, self._traits) for one in self._held)
        return tuple(dict.fromkeys(name for names in lists for name in names))

    def annotations(self, roles: Iterable[str], *, for_resources: bool = False) -> LabelPatterns:
        """Return the annotations of the matching roles, without those that a role denies."""
        denied = {
            (key, value)
            for one in self._held
            for key, values in one.deny.request.annotations
            for value in expand(values, self._traits)
        }
        out: dict[str, dict[str, None]] = {}
        for role in roles:
            for request in self._allowing(role, for_resources=for_resources):
                for key, values in request.annotations:
                    kept = [one for one in expand(values, self._traits) if (key, one) not in denied]
                    out.setdefault(key, {}).update(dict.fromkeys(kept))
        return tuple((key, tuple(values)) for key, values in sorted(out.items()) if values)


def names_role(patterns: Sequence[str], claims: Sequence[ClaimToRoles], role: str, traits: Traits) -> bool:
    """Say whether patterns of role names, with those a person's claims add, name this role."""
    named = [*expand(tuple(patterns), traits), *_claimed(claims, traits)]
    return any(parse_pattern(one)(role) for one in named)


def _claimed(claims: Sequence[ClaimToRoles], traits: Traits) -> Iterator[str]:
    for claim in claims:
        test = parse_pattern(claim.value)
        if any(test(value) for value in traits.get(claim.claim, ())):
            yield from claim.roles
