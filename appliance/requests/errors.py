"""What can be wrong with a request, a review, or the use of an approval.

    SallyportError
    ├── Invalid  ── WishInvalid     what was asked for may not be asked for, or not like this
    ├── Denied   ── ReviewDenied    not by this reviewer: own request, same key, not allowed for the roles
    │            └─ UseDenied       the approval gives nothing (any more) to this person
    └── Conflict ── RequestClosed   expired, withdrawn, changed since, or reviewed by them already

`Denied` carries the reason for the audit trail; the message is for the person.
"""

from __future__ import annotations

from appliance.domain.errors import Conflict, Denied, Invalid


class WishInvalid(Invalid):
    """The request can't be made; the message says why to the person who asks."""


class ReviewDenied(Denied):
    """This reviewer may not decide on this request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, message=reason)


class UseDenied(Denied):
    """The approval can't be used; the person hears why, since it is their own request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, message=reason)


class RequestClosed(Conflict):
    """The request does not wait for this any more."""
