"""May this operation be done, and what does it leave: the rules that all adapters share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from appliance.store.backend import (
    MAX_OPERATIONS,
    MAX_VALUE,
    Change,
    Create,
    Delete,
    Item,
    Operation,
    Put,
    Removed,
    Require,
    RequireAbsent,
    Swap,
)
from appliance.store.errors import AlreadyExists, Conflict, NotFound, Unusable
from appliance.store.keys import check_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

FEW_REMOVALS = 10_000
"""How many removals are remembered for watches that resume."""


def check_transaction(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return the operations; raises `Unusable` if they are outside the limits."""
    keys = {check_key(operation.key) for operation in operations}
    if not 0 < len(operations) <= MAX_OPERATIONS:
        raise Unusable(f"a transaction has 1 to {MAX_OPERATIONS} operations, not {len(operations)}")
    if len(keys) != len(operations):
        raise Unusable("a key may stand only once in a transaction")
    for operation in operations:
        if isinstance(operation, Put | Create | Swap):
            _check_content(operation)
    return tuple(operations)


def _check_content(operation: Put | Create | Swap) -> None:
    if len(operation.value) > MAX_VALUE:
        raise Unusable(f"{operation.key}: a value is at most {MAX_VALUE} bytes, not {len(operation.value)}")
    if operation.expires_at is not None and operation.expires_at.utcoffset() is None:
        raise Unusable(f"{operation.key}: expires_at needs a time zone")


def alive(item: Item | None, now: datetime) -> Item | None:
    """Return the item if its time has not come."""
    if item is None or (item.expires_at is not None and item.expires_at <= now):
        return None
    return item


def shown(change: Change, now: datetime) -> bool:
    """Whether a watcher may see this change: removals always, items while they live."""
    return isinstance(change, Removed) or alive(change, now) is not None


def check(operation: Operation, current: Item | None) -> None:
    """Raise what stands against the operation; `current` is the living item of its key."""
    match operation:
        case Put():
            pass
        case Create() | RequireAbsent():
            if current is not None:
                raise AlreadyExists(operation.key)
        case Swap() | Require() | Delete():
            found = _present(operation.key, current)
            if operation.revision is not None and operation.revision != found.revision:
                raise Conflict(operation.key, expected=operation.revision, actual=found.revision)
        case _:
            assert_never(operation)


def _present(key: str, current: Item | None) -> Item:
    if current is None:
        raise NotFound(key)
    return current


def effect(operation: Operation, revision: int) -> Change | None:
    """Return what the operation leaves behind; None for one that only requires."""
    match operation:
        case Put() | Create() | Swap():
            return Item(
                key=operation.key, value=operation.value, revision=revision, expires_at=operation.expires_at
            )
        case Delete():
            return Removed(key=operation.key, revision=revision)
        case Require() | RequireAbsent():
            return None
        case _:
            assert_never(operation)


def resolve(
    operations: Sequence[Operation], find: Callable[[str], Item | None], now: datetime, revision: int
) -> tuple[Change, ...]:
    """Check every precondition, then return the effects at `revision`; raises the first that fails."""
    for operation in operations:
        check(operation, alive(find(operation.key), now))
    effects = (effect(operation, revision) for operation in operations)
    return tuple(change for change in effects if change is not None)
