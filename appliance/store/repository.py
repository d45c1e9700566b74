"""One noun of the domain over a `Backend`: typed values in, typed values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from appliance.domain import codec
from appliance.domain.errors import Invalid
from appliance.store import keys
from appliance.store.backend import MAX_PAGE, Backend, Create, Delete, Item, Put, Swap
from appliance.store.errors import Conflict, Corrupt, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

T = TypeVar("T")
Name = str | tuple[str, ...]
"""How a value is called: one name, or several that nest, e.g. `("joe", "yubikey")`."""
MAX_TRIES = 100
"""How often `modify` starts again when others are faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Generic[T]):
    """A value with the revision it was read at."""

    value: T
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPage(Generic[T]):
    """Values in order of their keys; `next` goes into the next call, None at the end."""

    items: tuple[Stored[T], ...]
    next: str | None


class Repository(Generic[T]):
    """All values of one kind, each under `prefix` and its own name.

    `kind` is a frozen dataclass, or a closed union of tagged ones. `expires` tells when a value
    stops to exist; `name` tells what it is called.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        prefix: str,
        kind: Any,
        name: Callable[[T], Name],
        expires: Callable[[T], datetime | None] = lambda _: None,
    ) -> None:
        self._backend = backend
        self._prefix = keys.check_key(prefix)
        self._kind = kind
        self._name = name
        self._expires = expires

    def key(self, name: Name) -> str:
        """Return the key under which a value of that name lies."""
        return f"{self._prefix}/{keys.key(*((name,) if isinstance(name, str) else name))}"

    def find(self, name: Name) -> Stored[T] | None:
        """Return the value with its revision, or None."""
        item = self._backend.find(self.key(name))
        return None if item is None else self._stored(item)

    def get(self, name: Name) -> Stored[T]:
        """Return the value with its revision; raises `NotFound`."""
        return self._stored(self._backend.get(self.key(name)))

    def page(self, *, under: Name = (), start: str = "", limit: int = MAX_PAGE) -> StoredPage[T]:
        """Return at most `limit` values, of those whose first names are `under`."""
        page = self._backend.range(self._folder(under), start=start, limit=limit)
        return StoredPage(items=tuple(map(self._stored, page.items)), next=page.next)

    def list(self, *, under: Name = ()) -> Iterator[Stored[T]]:
        """Yield all values, of those whose first names are `under`, in order of their keys."""
        return map(self._stored, self._backend.items(self._folder(under)))

    def create(self, value: T) -> Stored[T]:
        """Store a new value; raises `AlreadyExists`."""
        return self._commit(value, self.creation(value))

    def put(self, value: T) -> Stored[T]:
        """Store a value, whatever is there."""
        operation = Put(
            key=self.key(self._name(value)), value=self._dump(value), expires_at=self._expires(value)
        )
        return self._commit(value, operation)

    def update(self, value: T, revision: int) -> Stored[T]:
        """Replace the value that was read at this revision; raises `Conflict` or `NotFound`."""
        return self._commit(value, self.replacement(value, revision))

    def delete(self, name: Name, revision: int | None = None) -> None:
        """Remove; raises `NotFound`, or `Conflict` if a revision is given and it has another."""
        self._backend.transact([self.deletion(name, revision)])

    def modify(self, name: Name, change: Callable[[T], T]) -> Stored[T]:
        """Replace a value by what `change` makes of it, again when somebody else was faster.

        `change` may be called several times and has to be pure. Raises `NotFound`, and `Unavailable`
        after `MAX_TRIES`.
        """
        for _ in range(MAX_TRIES):
            stored = self.get(name)
            changed = change(stored.value)
            if changed == stored.value:
                return stored
            try:
                return self.update(changed, stored.revision)
            except Conflict:
                continue
        raise Unavailable(f"{self.key(name)} changes too often, {MAX_TRIES} tries were not enough")

    def creation(self, value: T) -> Create:
        """Return the operation that creates a value, for a transaction over several repositories."""
        return Create(
            key=self.key(self._name(value)), value=self._dump(value), expires_at=self._expires(value)
        )

    def replacement(self, value: T, revision: int) -> Swap:
        """Return the operation that replaces the value read at this revision."""
        return Swap(
            key=self.key(self._name(value)),
            revision=revision,
            value=self._dump(value),
            expires_at=self._expires(value),
        )

    def deletion(self, name: Name, revision: int | None = None) -> Delete:
        """Return the operation that removes a value."""
        return Delete(key=self.key(name), revision=revision)

    def decode(self, item: Item) -> Stored[T]:
        """Return the value of an item that a watch told of."""
        return self._stored(item)

    def _folder(self, under: Name) -> str:
        return f"{self.key(under)}/" if under else f"{self._prefix}/"

    def _commit(self, value: T, operation: Create | Put | Swap) -> Stored[T]:
        return Stored(value=value, revision=self._backend.transact([operation]))

    def _dump(self, value: T) -> bytes:
        return codec.dumps(value)

    def _stored(self, item: Item) -> Stored[T]:
        try:
            value: T = codec.loads(self._kind, item.value)
        except Invalid as error:
            raise Corrupt(f"{item.key} can't be read: {error}") from error
        return Stored(value=value, revision=item.revision)


__all__ = ["Name", "NotFound", "Repository", "Stored", "StoredPage"]
