"""The bytes a review is given for, and the digest an authenticator signs for (X6).

Canonical request: UTF-8 JSON of the fields below, keys sorted, no blanks, times in UTC with `Z`, as
`appliance.domain.codec` writes it, after the line `sallyport access request v1`. Everything that
says *what* is granted to *whom*, *where*, *until when* and *on whose agreement* is in it; state and
reviews are not. Its digest is SHA-256. A change of any of it is another digest, so an approval
can't be carried over to something else, to another request, or to another cluster.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.domain import codec
from appliance.domain.role_writing import role_to_document

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.domain.role import Role
    from appliance.requests.model import AccessRequest, Verdict

REQUEST_TAG = b"sallyport access request v1\n"
ROLE_TAG = b"sallyport role v1\n"
REVIEW_TAG = b"sallyport access review v1\n"
FIELDS = (
    "id",
    "cluster",
    "user",
    "roles",
    "action",
    "resources",
    "reason",
    "suggested_reviewers",
    "system_annotations",
    "thresholds",
    "signed_reviews",
    "created_at",
    "expires_at",
    "access_expires_at",
    "assume_start_time",
    "revision",
)


def canonical_request(request: AccessRequest) -> bytes:
    """Return the bytes that stand for this revision of the request."""
    return REQUEST_TAG + codec.dumps({name: getattr(request, name) for name in FIELDS})


def request_digest(request: AccessRequest) -> str:
    """Return the hex SHA-256 of the canonical request: what a review names."""
    return hashlib.sha256(canonical_request(request)).hexdigest()


def role_digest(role: Role) -> str:
    """Return the hex SHA-256 of a role's document; its revision, a counter of the store, is left out."""
    document = role_to_document(replace(role, revision=""))
    return hashlib.sha256(ROLE_TAG + codec.dumps(document)).hexdigest()


def review_digest(
    digest: str, reviewer: str, verdict: Verdict, reason: str = "", assume_start_time: datetime | None = None
) -> bytes:
    """Return the SHA-256 (32 bytes) of a review: which request, who, what they say, why, from when.

    With the nonce kept in `SignedReview` it makes the WebAuthn challenge, by
    `authenticators.fido2.ceremony.derive_challenge`. The verdict is covered, so that an assertion
    given for a denial can't be shown as an approval.
    """
    said = {"request": digest, "reviewer": reviewer, "verdict": str(verdict), "reason": reason}
    said["assume_start_time"] = codec.dumps(assume_start_time).decode()
    return hashlib.sha256(REVIEW_TAG + codec.dumps(said)).digest()
