"""The errors that cross the API, as one family.

    SallyportError
    ├── Invalid        what was sent is not valid; says what, where, and what was expected
    ├── NotFound       no such thing
    ├── Exists         it is there already
    ├── Conflict       somebody else changed it first
    ├── Denied         the peer hears only "access denied"; the reason goes to the audit
    ├── ProofNeeded    a fresh proof is needed first; names the challenge to answer
    ├── Throttled      too many tries; says how long to wait
    ├── Sealed         the token's PIN has not been released
    └── Unavailable    something this needs is not there now (token, disk, peer); try again

Each class has the code it is known by on the wire; the message is written for the person who
reads it and never carries a secret. `Denied.reason` is not a part of the message on purpose.
"""

from __future__ import annotations

from typing import ClassVar


class SallyportError(Exception):
    """Something that was asked can't be done."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500


class Invalid(SallyportError):  # noqa: N818 - the error's own name, as its wire code has it
    """What was given is not valid."""

    code = "invalid"
    status = 400


class NotFound(SallyportError):  # noqa: N818
    """There is no such thing."""

    code = "not_found"
    status = 404


class Exists(SallyportError):  # noqa: N818
    """It exists already."""

    code = "exists"
    status = 409


class Conflict(SallyportError):  # noqa: N818
    """It was changed by somebody else in between."""

    code = "conflict"
    status = 409


class Denied(SallyportError):  # noqa: N818
    """Not allowed. Peers hear one sentence, the audit trail hears `reason`."""

    code = "denied"
    status = 403

    def __init__(self, reason: str, *, message: str = "access denied") -> None:
        super().__init__(message)
        self.reason = reason
        self.recorded = False
        """Whether the audit log has it already."""


class ProofNeeded(SallyportError):  # noqa: N818
    """A fresh proof of a second factor is needed; the same call with the met challenge goes on."""

    code = "proof_needed"
    status = 401

    def __init__(self, challenge: str) -> None:
        super().__init__("this has to be confirmed with a second factor")
        self.challenge = challenge


class Throttled(SallyportError):  # noqa: N818
    """Too many tries; `retry_after` is in whole seconds."""

    code = "throttled"
    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many attempts, try again in {retry_after} seconds")
        self.retry_after = retry_after


class Sealed(SallyportError):  # noqa: N818
    """The token's PIN has not been released, so nothing can be signed."""

    code = "sealed"
    status = 503


class Unavailable(SallyportError):  # noqa: N818
    """A part that this needs does not answer now."""

    code = "unavailable"
    status = 503


ERRORS: dict[str, type[SallyportError]] = {
    error.code: error
    for error in (
        Invalid,
        NotFound,
        Exists,
        Conflict,
        Denied,
        ProofNeeded,
        Throttled,
        Sealed,
        Unavailable,
        SallyportError,
    )
}
