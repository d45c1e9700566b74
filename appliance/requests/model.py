"""The values of an access request. A request is never changed: each step returns the next one.

`revision` counts the changes of what is asked for. A review names the digest of the revision it
was given for, and stands for no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from appliance.domain.role import Threshold

PENDING_LIFE = timedelta(hours=1)
ACCESS_LIFE = timedelta(hours=30)
MAX_DURATION = timedelta(days=14)
MAX_START_AHEAD = timedelta(days=7)
MAX_REASON = 4096
"""Bytes of UTF-8."""
MAX_ROLES = 100
MAX_REVIEWS = 1000


class RequestState(StrEnum):
    """Where a request stands. Whether it is over by now is asked with `AccessRequest.is_over`."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"


class Verdict(StrEnum):
    """The only two things a review may propose."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedRole:
    """A role as it was when it was asked for; an edited role needs a new request (threat A05)."""

    name: str
    digest: str
    """Hex SHA-256 of its document, as `canonical.role_digest` makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleThresholds:
    """For one requested role: sets that must all be satisfied, each by any one of its thresholds."""

    role: str
    sets: tuple[tuple[Threshold, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An administrative action that waits for agreement instead of roles (dual control, X7)."""

    name: str
    words: str
    """What it does, as people are shown it."""
    digest: str
    """Hex SHA-256 of exactly this action with its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReview:
    """A WebAuthn assertion over `canonical.review_digest`, kept as the authenticator gave it (X6)."""

    nonce: bytes
    """At least 16 random bytes that made the challenge, together with the digest."""
    credential_id: bytes
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's verdict on one revision of a request."""

    reviewer: str
    verdict: Verdict
    at: datetime
    request_digest: str
    """Hex SHA-256 of the canonical request that was reviewed."""
    reason: str = ""
    annotations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    assume_start_time: datetime | None = None
    keys: tuple[str, ...] = ()
    """Fingerprints of the reviewer's own keys, sorted: two accounts with one key are one person."""
    matched: tuple[str, ...] = ()
    """Places of the thresholds (`role/set/threshold`) whose filter this review passed."""
    counted: bool = True
    """Whether it came before the resolution; a later one is kept without effect."""
    signed: SignedReview | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """A person asks for roles (or for an action) for some time, and others decide.

    `expires_at` is the end of the waiting while pending; `access_expires_at` is the end of what an
    approval gives. Both are fixed when the request is made, so no late approval prolongs anything.
    """

    id: str
    cluster: str
    user: str
    roles: tuple[PinnedRole, ...]
    action: Action | None = None
    resources: tuple[str, ...] = ()
    """Names of the nodes the roles are good for; empty: wherever the roles reach."""
    reason: str = ""
    suggested_reviewers: tuple[str, ...] = ()
    system_annotations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    thresholds: tuple[RoleThresholds, ...] = ()
    signed_reviews: bool = False
    """Whether a review counts only with an assertion (a requested role says `approval: signed`)."""
    requester_keys: tuple[str, ...] = ()
    created_at: datetime
    expires_at: datetime
    access_expires_at: datetime
    assume_start_time: datetime | None = None
    revision: int = 1
    dry_run: bool = False
    state: RequestState = RequestState.PENDING
    resolved_at: datetime | None = None
    reviews: tuple[Review, ...] = ()
    voided: tuple[Review, ...] = ()
    """Reviews of earlier revisions: kept for the record, without effect."""
    used_at: datetime | None = None
    """When an action was done; an agreement to an action is used once."""

    @property
    def role_names(self) -> tuple[str, ...]:
        """The names of the requested roles."""
        return tuple(role.name for role in self.roles)

    def is_over(self, now: datetime) -> bool:
        """Say whether its time has run out: waiting time while pending, access time once approved."""
        return now >= self.ends_at

    @property
    def ends_at(self) -> datetime:
        """When it ends as it stands: with its resolution the waiting time gives way to the access time."""
        return self.expires_at if self.state is RequestState.PENDING else self.access_expires_at

    def starts_at(self) -> datetime:
        """Return when the access may begin: the latest reviewer's word, else what was asked for."""
        said = [one.assume_start_time for one in self.reviews if one.counted and one.assume_start_time]
        return said[-1] if said else self.assume_start_time or self.created_at
