"""The errors of the audit log. Each is also the API error it turns into at the border.

AuditError
├── Unrecordable (Invalid)       not an event: a value that JSON can't hold, a field of ours
├── Unwritable (Unavailable)     the event is not durable: the act must not happen
│   ├── Full                     no room on the disk
│   ├── Closed                   the log is closed
│   └── InUse                    another process writes this log
├── ChainBroken (Unavailable)    the files are not what was written: `place`
│   └── Shortened                the log ends before a head that was known: `found`, `expected`
├── NoteInvalid (Invalid)        a signed note that can't be read, or whose signature is wrong
└── SinkUnavailable (Unavailable)  a sink does not take events now; they wait in the files
"""

# ruff: noqa: N818 - each is named after what is wrong

from __future__ import annotations

from appliance.domain import errors as domain


class AuditError(Exception):
    """The audit log can't do what was asked."""


class Unrecordable(AuditError, domain.Invalid):
    """The mapping is not an event."""


class Unwritable(AuditError, domain.Unavailable):
    """The event could not be made durable; what it tells of must not happen."""


class Full(Unwritable):
    """There is no room on the disk of the log."""


class Closed(Unwritable):
    """The log has been closed."""


class InUse(Unwritable):
    """Another process writes this log."""


class ChainBroken(AuditError, domain.Unavailable):
    """The files are not what was written; `place` says where."""

    def __init__(self, message: str, *, place: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


class Shortened(ChainBroken):
    """The log ends before an event that is known to have been in it."""

    def __init__(self, *, found: int, expected: int, place: str) -> None:
        super().__init__(f"the log ends at event {found}, but {expected} was acknowledged", place=place)
        self.found = found
        self.expected = expected


class NoteInvalid(AuditError, domain.Invalid):
    """A signed note that can't be read, or whose signature is wrong."""


class SinkUnavailable(AuditError, domain.Unavailable):
    """The sink does not take events now."""
