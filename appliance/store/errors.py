"""The errors of the store. Each is also the API error it turns into at the border.

StoreError
├── AlreadyExists (Exists)     a key that should be absent is there
├── NotFound (NotFound)        a key that should be there is absent, or expired
├── Conflict (Conflict)        the key has another revision: `expected`, `actual`
├── Unusable (Invalid)         a key, value or transaction outside the limits
├── Compacted (Conflict)       a watch asked for removals that are forgotten: `oldest`; list again
└── Unavailable (Unavailable)  no answer in time, or the disk failed; the outcome is unknown
    ├── Full                   no room on the disk; nothing was changed
    ├── Closed                 the store is closed; nothing was changed
    ├── InUse                  another process has the store open
    ├── Corrupt                what is stored is damaged, missing or not ours
    └── SchemaTooNew           written by a newer version: `found`, `known`
"""

# ruff: noqa: N818 - the errors have the names that the interface of the store speaks of

from __future__ import annotations

from appliance.domain import errors as domain


class StoreError(Exception):
    """The store can't do what was asked."""


class AlreadyExists(StoreError, domain.Exists):
    """The key is there already."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} exists already")
        self.key = key


class NotFound(StoreError, domain.NotFound):
    """The key is not there, or has expired."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no {key}")
        self.key = key


class Conflict(StoreError, domain.Conflict):
    """The key was changed by somebody else; both revisions are attributes."""

    def __init__(self, key: str, *, expected: int, actual: int) -> None:
        super().__init__(f"{key} was changed in between (revision {actual}, not {expected})")
        self.key = key
        self.expected = expected
        self.actual = actual


class Unusable(StoreError, domain.Invalid):
    """The request itself is outside of what a store accepts."""


class Compacted(StoreError, domain.Conflict):
    """What was removed up to revision `oldest` is forgotten; the watcher has to list again."""

    def __init__(self, *, after: int, oldest: int) -> None:
        super().__init__(f"changes after revision {after} are no longer complete, only after {oldest}")
        self.after = after
        self.oldest = oldest


class Unavailable(StoreError, domain.Unavailable):
    """No answer in time, or the disk failed. The outcome is unknown: read before deciding."""


class Full(Unavailable):
    """There is no room on the disk; nothing of the transaction was done."""


class Closed(Unavailable):
    """The store has been closed; nothing of the transaction was done."""


class InUse(Unavailable):
    """Another process has the store open; two writers are never allowed."""


class Corrupt(Unavailable):
    """What is stored is damaged, missing, or not ours. Nothing is repaired by itself."""


class SchemaTooNew(Unavailable):
    """The data was written by a newer version of the product."""

    def __init__(self, *, found: int, known: int) -> None:
        super().__init__(
            f"the database has schema {found}, this version knows only up to {known}: "
            "start the newer version again, or restore a backup made before the upgrade"
        )
        self.found = found
        self.known = known
