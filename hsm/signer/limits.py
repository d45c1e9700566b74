"""The signer's own limits: who may ask for what, whatever the asking process believes.

The table is part of the signer's configuration and is changed at the console only. Nothing in it is a
"no": a caller that is not listed may do nothing, a CA that is not listed under a caller is closed to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hsm.errors import Malformed
from hsm.signer.protocol import REQUESTS, Ca, Code, SignerError, Usage

HOUR, DAY = 3600, 24 * 3600
SSH_EXTENSIONS = frozenset(
    {
        "permit-X11-forwarding",
        "permit-agent-forwarding",
        "permit-port-forwarding",
        "permit-pty",
        "permit-user-rc",
        "no-touch-required",
    }
)
SSH_CRITICAL_OPTIONS = frozenset({"force-command", "source-address", "verify-required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A token bucket: so many a second in the long run, so many at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLimits:
    """What one caller may get from one CA.

    `longest_life` and `backdate` are seconds; `names` are regular expressions of which one must match
    each principal (or X.509 name) in full, on top of the form that all of them must have;
    `required_options` are critical options without which nothing is signed.
    """

    longest_life: int
    names: tuple[str, ...] = (".*",)
    extensions: frozenset[str] = frozenset()
    critical_options: frozenset[str] = frozenset()
    required_options: frozenset[str] = frozenset()
    usages: frozenset[Usage] = frozenset()
    rate: Rate = Rate(per_second=100, burst=1000)
    backdate: int = 300
    most_principals: int = 128

    def allows_name(self, name: str) -> bool:
        """Whether one of the expressions matches all of the name."""
        return any(re.fullmatch(pattern, name) for pattern in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """What one caller may ask (`operations`, by the names of `protocol.REQUESTS`) and get."""

    operations: frozenset[str]
    certificates: Mapping[Ca, CertificateLimits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LimitTable:
    """All limits, by caller."""

    callers: Mapping[str, CallerLimits]

    def require_operation(self, caller: str, operation: str) -> None:
        """Raise `SignerError` REFUSED unless the caller may ask that."""
        limits = self.callers.get(caller)
        if limits is None or operation not in limits.operations:
            raise SignerError(Code.REFUSED, f"{caller} may not ask for {operation}")

    def for_certificates(self, caller: str, ca: Ca) -> CertificateLimits:
        """Return the limits of a caller at a CA; raises `SignerError` REFUSED where there are none."""
        limits = self.callers.get(caller)
        if limits is None or ca not in limits.certificates:
            raise SignerError(Code.REFUSED, f"the {ca} CA is closed to {caller}")
        return limits.certificates[ca]


@dataclass(slots=True)
class TokenBucket:
    """A rate being watched; time comes from outside, in seconds of any steady clock."""

    rate: Rate
    level: float
    at: float

    def take(self, now: float) -> float:
        """Take one; returns 0, or the seconds until there is one again (nothing is taken then)."""
        passed = max(0.0, now - self.at)
        self.level = min(float(self.rate.burst), self.level + passed * self.rate.per_second)
        self.at = now
        if self.level < 1:
            return (1 - self.level) / self.rate.per_second
        self.level -= 1
        return 0.0


_READING = frozenset({"public_keys", "status", "ledger_head"})
_SIGNING = frozenset(name for name in REQUESTS if name.startswith("sign_"))

DEFAULT_AUTH = CallerLimits(
    operations=_READING | _SIGNING | {"create_key", "attest", "preflight"},
    certificates={
        Ca.USER: CertificateLimits(
            longest_life=30 * HOUR, extensions=SSH_EXTENSIONS, critical_options=SSH_CRITICAL_OPTIONS
        ),
        Ca.OPENSSH: CertificateLimits(
            longest_life=10 * 60,
            extensions=SSH_EXTENSIONS,
            critical_options=SSH_CRITICAL_OPTIONS,
            required_options=frozenset({"source-address"}),
            most_principals=1,
        ),
        Ca.HOST: CertificateLimits(longest_life=400 * DAY, rate=Rate(per_second=20, burst=1000)),
        Ca.TLS: CertificateLimits(longest_life=400 * DAY, usages=frozenset(Usage)),
        Ca.AUDIT: CertificateLimits(longest_life=0, rate=Rate(per_second=10, burst=100)),
    },
)
DEFAULT_CONSOLE = CallerLimits(
    operations=_READING | {"create_key", "attest", "preflight", "seal", "unseal"},
)
DEFAULT_LIMITS = LimitTable({"auth": DEFAULT_AUTH, "console": DEFAULT_CONSOLE})


def parse(table: Mapping[str, Any], defaults: LimitTable = DEFAULT_LIMITS) -> LimitTable:
    """Read the configuration's table: caller → `operations` and `certificates` → CA → limits.

    What a caller or CA does not mention stays as in `defaults`; unknown keys raise `Malformed` with
    their place. Example: `{"auth": {"certificates": {"user": {"longest_life": 3600}}}}`.
    """
    callers = dict(defaults.callers)
    for name, section in table.items():
        callers[name] = _parse_caller(name, section, callers.get(name, CallerLimits(operations=frozenset())))
    return LimitTable(callers)


def _parse_caller(place: str, section: Mapping[str, Any], base: CallerLimits) -> CallerLimits:
    _check_keys(place, section, {"operations", "certificates"})
    operations = frozenset(section.get("operations", base.operations))
    if unknown := operations - REQUESTS.keys():
        raise Malformed(f"{place}.operations: no request is called {min(unknown)!r}")
    certificates = dict(base.certificates)
    for name, limits in section.get("certificates", {}).items():
        if name not in set(Ca):
            raise Malformed(f"{place}.certificates: no CA is called {name!r}")
        certificates[Ca(name)] = _parse_limits(
            f"{place}.certificates.{name}", limits, certificates.get(Ca(name))
        )
    return CallerLimits(operations=operations, certificates=certificates)


def _parse_limits(place: str, limits: Mapping[str, Any], base: CertificateLimits | None) -> CertificateLimits:
    _check_keys(place, limits, set(_FIELDS))
    found = {name: _field(f"{place}.{name}", name, value) for name, value in limits.items()}
    if base is None and "longest_life" not in found:
        raise Malformed(f"{place}.longest_life is missing")
    return replace(base or CertificateLimits(longest_life=0), **found)


def _field(place: str, name: str, value: Any) -> Any:
    try:
        return _FIELDS[name](value)
    except (TypeError, ValueError, KeyError, re.error) as error:
        raise Malformed(f"{place}: not understood") from error


def _seconds(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    return tuple(re.compile(pattern).pattern for pattern in value)


def _rate(value: Any) -> Rate:
    return Rate(per_second=float(value["per_second"]), burst=int(value["burst"]))


_FIELDS: dict[str, Any] = {
    "longest_life": _seconds,
    "backdate": _seconds,
    "most_principals": _seconds,
    "names": _patterns,
    "extensions": frozenset,
    "critical_options": frozenset,
    "required_options": frozenset,
    "usages": lambda value: frozenset(map(Usage, value)),
    "rate": _rate,
}


def _check_keys(place: str, section: Mapping[str, Any], known: set[str]) -> None:
    if unknown := section.keys() - known:
        raise Malformed(f"{place}: no setting is called {min(unknown)!r}")
