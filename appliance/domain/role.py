"""The role: what its bearers may do, and the options of the sessions that come of it.

A role is read from a document (`role_document.parse_role`); here are only its values. `None` in
`RoleOptions` means that the role says nothing about it, which is not the same as saying no: how
several roles' options become the one `SessionOptions` of a session is the business of
`appliance.policy.options`.

    Role ── RoleOptions
      ├── allow: Conditions ── Rule, RequestConditions, ReviewConditions, Impersonation, JoinPolicy …
      └── deny:  Conditions    (the same shape; wins over every allow of every role)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

Texts = tuple[str, ...]
LabelPatterns = tuple[tuple[str, Texts], ...]
"""Label key to the values allowed for it: literals, globs with `*`, or `^regex$`."""

ANY_LABELS: LabelPatterns = (("*", ("*",)),)
MIN_SESSION_TTL = timedelta(minutes=1)
MAX_SESSION_TTL = timedelta(hours=30)
MAX_MFA_GRACE = timedelta(minutes=5)


class RoleVersion(StrEnum):
    """The versions of the role document that are read; v3 allows every label where none is named."""

    V3 = "v3"
    V4 = "v4"
    V5 = "v5"
    V6 = "v6"
    V7 = "v7"


class ResourceKind(StrEnum):
    """What a session can be opened to. Its labels stand in the role as `<kind>_labels`."""

    NODE = "node"
    APP = "app"
    DATABASE = "db"
    KUBERNETES = "kubernetes"
    DESKTOP = "windows_desktop"


class SessionMfa(StrEnum):
    """What the check of one session must prove. Only `OFF` is false; demands add up by `|`."""

    OFF = "off"
    CHECK = "check"
    HARDWARE_KEY = "hardware_key"
    HARDWARE_KEY_TOUCH = "hardware_key_touch"
    HARDWARE_KEY_PIN = "hardware_key_pin"
    HARDWARE_KEY_TOUCH_AND_PIN = "hardware_key_touch_and_pin"

    def __bool__(self) -> bool:
        return self is not SessionMfa.OFF

    def __or__(self, other: SessionMfa) -> SessionMfa:
        """Return the least requirement that is as strong as both."""
        both = _DEMANDS[self] | _DEMANDS[other]
        return next(one for one, demands in _DEMANDS.items() if demands == both)

    def demands(self, other: SessionMfa) -> bool:
        """Say whether whoever meets this requirement meets the other as well."""
        return _DEMANDS[self] >= _DEMANDS[other]


_DEMANDS: dict[SessionMfa, frozenset[str]] = {
    SessionMfa.OFF: frozenset(),
    SessionMfa.CHECK: frozenset({"check"}),
    SessionMfa.HARDWARE_KEY: frozenset({"check", "hardware"}),
    SessionMfa.HARDWARE_KEY_TOUCH: frozenset({"check", "hardware", "touch"}),
    SessionMfa.HARDWARE_KEY_PIN: frozenset({"check", "hardware", "pin"}),
    SessionMfa.HARDWARE_KEY_TOUCH_AND_PIN: frozenset({"check", "hardware", "touch", "pin"}),
}


class RecordingMode(StrEnum):
    """What becomes of a session whose recording fails: `strict` ends it, `best_effort` raises an alarm."""

    BEST_EFFORT = "best_effort"
    STRICT = "strict"


class LockingMode(StrEnum):
    """What holds when the list of locks is stale: the last known locks, or nobody gets in."""

    BEST_EFFORT = "best_effort"
    STRICT = "strict"


class RequestAccess(StrEnum):
    """Whether a login must come with an access request, and whether that must give a reason."""

    OPTIONAL = "optional"
    ALWAYS = "always"
    REASON = "reason"


class Approval(StrEnum):
    """Who checks the approvals of a role: the auth service alone, or the signer as well (X6)."""

    RECORDED = "recorded"
    SIGNED = "signed"


class GraceScope(StrEnum):
    """What a finished check is good for again: the same target, or targets with the same role labels."""

    TARGET = "target"
    LABELS = "labels"


class ReasonMode(StrEnum):
    """Whether an access request must say why."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class OnLeave(StrEnum):
    """What happens to a moderated session when a moderator leaves."""

    TERMINATE = "terminate"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Verbs on resource kinds of the cluster, where a predicate holds (always, when it is empty)."""

    resources: Texts
    verbs: Texts
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimToRoles:
    """A trait with this value stands for these roles."""

    claim: str
    value: str
    roles: Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """How many approvals grant, and how many denials refuse, among reviews that pass `filter`."""

    name: str = "default"
    approve: int = 1
    deny: int = 1
    filter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestConditions:
    """What the role's bearers may ask for, and how such a request is decided."""

    roles: Texts = ()
    search_as_roles: Texts = ()
    claims_to_roles: tuple[ClaimToRoles, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    suggested_reviewers: Texts = ()
    annotations: LabelPatterns = ()
    max_duration: timedelta | None = None
    reason: ReasonMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewConditions:
    """Which roles' requests the role's bearers may review, where a predicate holds."""

    roles: Texts = ()
    claims_to_roles: tuple[ClaimToRoles, ...] = ()
    where: str = ""
    preview_as_roles: Texts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """In whose name, and with which roles, credentials may be asked for."""

    users: Texts = ()
    roles: Texts = ()
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredJoin:
    """Who must be present before a session of the role's bearers may run."""

    name: str
    filter: str
    kinds: Texts
    modes: Texts
    count: int = 1
    on_leave: OnLeave = OnLeave.TERMINATE


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPolicy:
    """Whose sessions the role's bearers may join, and how."""

    name: str
    roles: Texts
    kinds: Texts
    modes: Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceConditions:
    """Which resources of one kind, by labels or expression, and under which names to enter them."""

    kind: ResourceKind
    labels: LabelPatterns = ()
    expression: str = ""
    logins: Texts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """One side of a role, `allow` or `deny`; nodes stand apart because they are the common case."""

    logins: Texts = ()
    node_labels: LabelPatterns = ()
    node_labels_expression: str = ""
    others: tuple[ResourceConditions, ...] = ()
    rules: tuple[Rule, ...] = ()
    request: RequestConditions = field(default_factory=RequestConditions)
    review_requests: ReviewConditions = field(default_factory=ReviewConditions)
    impersonate: Impersonation = field(default_factory=Impersonation)
    require_session_join: tuple[RequiredJoin, ...] = ()
    join_sessions: tuple[JoinPolicy, ...] = ()

    def on(self, kind: ResourceKind) -> ResourceConditions:
        """Return the conditions on resources of a kind; empty ones, where none are named."""
        if kind is ResourceKind.NODE:
            return ResourceConditions(
                kind=kind,
                labels=self.node_labels,
                expression=self.node_labels_expression,
                logins=self.logins,
            )
        return next((one for one in self.others if one.kind is kind), ResourceConditions(kind=kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class MfaGrace:
    """How long one check is good again for the same person, key, source and scope (X11)."""

    duration: timedelta
    scope: GraceScope = GraceScope.TARGET


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOptions:
    """What the role says about sessions; `None` (or an empty value) where it says nothing."""

    max_session_ttl: timedelta | None = None
    forward_agent: bool | None = None
    port_forwarding: bool | None = None
    direct_destinations: Texts = ()
    permit_x11_forwarding: bool | None = None
    ssh_file_copy: bool | None = None
    client_idle_timeout: timedelta | None = None
    disconnect_expired_cert: bool | None = None
    max_sessions: int | None = None
    max_connections: int | None = None
    require_session_mfa: SessionMfa | None = None
    mfa_verification_interval: timedelta | None = None
    mfa_grace: MfaGrace | None = None
    record_default: RecordingMode | None = None
    record_ssh: RecordingMode | None = None
    lock: LockingMode | None = None
    request_access: RequestAccess | None = None
    request_prompt: str = ""
    pin_source_ip: bool | None = None
    require_host_bound: bool | None = None
    approval: Approval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A named role at one revision. `expires` None means that no end was asked for."""

    name: str
    version: RoleVersion = RoleVersion.V7
    description: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    expires: datetime | None = None
    revision: str = ""
    options: RoleOptions = field(default_factory=RoleOptions)
    allow: Conditions = field(default_factory=Conditions)
    deny: Conditions = field(default_factory=Conditions)


def live_roles(roles: Iterable[Role], now: datetime) -> tuple[Role, ...]:
    """Return the roles that have not ended; one that has counts for nothing, on neither side."""
    return tuple(role for role in roles if role.expires is None or role.expires > now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """The options of one session, merged from the roles; the narrowest value is the default.

    `client_idle_timeout`, `max_sessions` and `max_connections` are None where no role sets one, and
    the cluster's own limit applies. Forwards go only to `direct_destinations` (X10).
    """

    max_session_ttl: timedelta
    forward_agent: bool = False
    port_forwarding: bool = False
    direct_destinations: Texts = ()
    permit_x11_forwarding: bool = False
    ssh_file_copy: bool = True
    client_idle_timeout: timedelta | None = None
    disconnect_expired_cert: bool = False
    max_sessions: int | None = None
    max_connections: int | None = None
    mfa: SessionMfa = SessionMfa.OFF
    mfa_verification_interval: timedelta | None = None
    mfa_grace: MfaGrace | None = None
    recording: RecordingMode = RecordingMode.STRICT
    locking: LockingMode = LockingMode.BEST_EFFORT
    pin_source_ip: bool = False
    require_host_bound: bool = False
    require_session_join: tuple[tuple[RequiredJoin, ...], ...] = ()
    """Sets that must each be satisfied by one of their members (OR in a role, AND over roles)."""
