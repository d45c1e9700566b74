"""What the policy is asked about, and what it answers.

The answers are the three of `appliance.domain.decision`, each with the explanation of which role's
which words decided; `AccessPermit` also carries the options of the session. Only a permit is truthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from appliance.domain.decision import Deny, Factor, Need, Permit
from appliance.domain.document import Path, path_text
from appliance.domain.role import LockingMode, RecordingMode, ResourceKind, SessionMfa, SessionOptions
from appliance.policy.traits import Traits

SESSION_FACTORS = frozenset(
    {Factor.TOTP, Factor.HOTP, Factor.YUBICO_OTP, Factor.WEBAUTHN, Factor.SSH_SECURITY_KEY}
)
HARDWARE_FACTORS = frozenset({Factor.WEBAUTHN, Factor.SSH_SECURITY_KEY})
PROOF_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The person (or bot) who asks: canonical name, traits, and when this identity ends.

    `expires` is never optional: an identity without an end is one that nobody checked.
    """

    name: str
    expires: datetime
    traits: Traits = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What the session would be opened to. Anything with a `name` and `labels` will do for a node."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    kind: ResourceKind = ResourceKind.NODE


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionProof:
    """A check done for exactly this session, as the authenticator reported it.

    Whoever makes one has bound it to person, target, login and session; here only its strength and
    age count. `presence` is a touch, `verification` a PIN or a finger.
    """

    factor: Factor
    at: datetime
    presence: bool = False
    verification: bool = False

    def meets(self, required: SessionMfa, now: datetime) -> bool:
        """Say whether the proof is strong enough, and not older than five minutes nor from the future."""
        if self.factor not in factors_for(required) or not timedelta() <= now - self.at <= PROOF_LIFE:
            return False
        touched = self.presence or not required.demands(SessionMfa.HARDWARE_KEY_TOUCH)
        return touched and (self.verification or not required.demands(SessionMfa.HARDWARE_KEY_PIN))


def factors_for(required: SessionMfa) -> frozenset[Factor]:
    """Return the factors one of which can satisfy the requirement."""
    return HARDWARE_FACTORS if required.demands(SessionMfa.HARDWARE_KEY) else SESSION_FACTORS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPolicy:
    """What the cluster's own settings add to every role."""

    session_mfa: SessionMfa = SessionMfa.OFF
    session_factors: frozenset[Factor] = SESSION_FACTORS
    session_ttl: timedelta = timedelta(hours=12)
    client_idle_timeout: timedelta | None = None
    disconnect_expired_cert: bool = False
    recording: RecordingMode = RecordingMode.STRICT
    locking: LockingMode = LockingMode.BEST_EFFORT


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that counted: the role, the place in its document, and what it said."""

    role: str
    path: Path
    text: str

    def __str__(self) -> str:
        return f"role {self.role}, {path_text(self.path)}: {self.text}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the answer is what it is: the outcome in a sentence, then what decided or came closest."""

    outcome: str
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.outcome, *(f"  {finding}" for finding in self.findings)])


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPermit(Permit):
    """The session may be opened, within the grant and these options."""

    options: SessionOptions
    explanation: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessNeed(Need):
    """The session may be opened after a check by one of the factors that is as strong as `options.mfa`."""

    options: SessionOptions
    explanation: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDeny(Deny):
    """The session may not be opened."""

    explanation: Explanation


AccessDecision = AccessPermit | AccessNeed | AccessDeny
