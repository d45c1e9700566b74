"""How a virtual key misbehaves: a typed plan, counted in operations.

An operation is what a person would call a use of the key: a registration, an assertion, a challenge, a card
signature. They are numbered from 0 since the key was plugged in. As text (for the command line) a fault is
`name[=value][@after][xtimes]`: `refuse-touch`, `slow=0.5`, `counter-back=5@1x1`, `unplug@3`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from authenticators.virtual.errors import FaultSyntaxError


@dataclass(frozen=True, slots=True)
class RefuseTouch:
    """The person says no: the key answers that the operation was denied."""


@dataclass(frozen=True, slots=True)
class NobodyTouches:
    """The key blinks until its time is over."""


@dataclass(frozen=True, slots=True)
class FingerprintFails:
    """Built-in user verification does not recognise the finger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Every operation takes so many seconds more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CounterStuck:
    """The signature counter does not move, as on a key that was copied and is used twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterBack:
    """The signature counter reported is lower by so many, as on a copy made earlier."""

    by: int


@dataclass(frozen=True, slots=True)
class BadSignature:
    """One bit of the signature is wrong."""


@dataclass(frozen=True, slots=True)
class Unplug:
    """The key is pulled out in the middle of the operation, before it answers."""


Fault = (
    RefuseTouch | NobodyTouches | FingerprintFails | Slow | CounterStuck | CounterBack | BadSignature | Unplug
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A fault from operation `after` on, for `times` operations (None: for good)."""

    fault: Fault
    after: int = 0
    times: int | None = None

    def strikes(self, operation: int) -> bool:
        """Whether the fault applies to the operation of that number."""
        return operation >= self.after and (self.times is None or operation < self.after + self.times)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that will go wrong."""

    scheduled: tuple[Scheduled, ...] = ()

    @classmethod
    def always(cls, *faults: Fault) -> FaultPlan:
        """Return the plan in which these faults hold from the first operation for good."""
        return cls(tuple(Scheduled(fault=fault) for fault in faults))

    def at(self, operation: int) -> tuple[Fault, ...]:
        """Return the faults that strike the operation of that number."""
        return tuple(entry.fault for entry in self.scheduled if entry.strikes(operation))


_SYNTAX: Final = re.compile(
    r"(?P<name>[a-z-]+)(?:=(?P<value>\d+(?:\.\d+)?))?(?:@(?P<after>\d+))?(?:x(?P<times>\d+))?"
)
_PLAIN: Final[dict[str, Fault]] = {
    "refuse-touch": RefuseTouch(),
    "nobody-touches": NobodyTouches(),
    "fingerprint-fails": FingerprintFails(),
    "counter-stuck": CounterStuck(),
    "bad-signature": BadSignature(),
    "unplug": Unplug(),
}
NAMES: Final = (*_PLAIN, "slow=SECONDS", "counter-back=N")


def parse_fault(text: str) -> Scheduled:
    """Return the fault written as `name[=value][@after][xtimes]`; raises `FaultSyntaxError`."""
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise FaultSyntaxError(f"{text!r} is not name[=value][@after][xtimes]")
    times = match["times"]
    return Scheduled(
        fault=_fault(match["name"], match["value"]),
        after=int(match["after"] or 0),
        times=None if times is None else int(times),
    )


def _fault(name: str, value: str | None) -> Fault:
    if value is None and name in _PLAIN:
        return _PLAIN[name]
    if value is not None and name == "slow":
        return Slow(seconds=float(value))
    if value is not None and name == "counter-back" and value.isdecimal():
        return CounterBack(by=int(value))
    raise FaultSyntaxError(f"no fault {name!r} of that form; there are {', '.join(NAMES)}")
