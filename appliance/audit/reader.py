"""Questions to the audit log, answered in pages, without loading it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance.audit.errors import ChainBroken
from appliance.audit.index import Condition, Entry, Index, micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_LIMIT = 1000
CHUNK = 500
MAX_SCAN = 50_000
"""Events looked at for one page of a text search; a page that ends there has a `next`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which events. Empty fields ask for nothing; `since` is included, `until` is not.

    `text` is looked for in all values, without regard to case. `after` is the `next` of the page before.
    """

    since: datetime | None = None
    until: datetime | None = None
    events: tuple[str, ...] = ()
    user: str = ""
    login: str = ""
    sid: str = ""
    text: str = ""
    newest_first: bool = True
    limit: int = 100
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events as they stand in the log; `next` goes into the next query's `after`, None at the end."""

    events: tuple[dict[str, Any], ...]
    next: int | None


class AuditReader:
    """Answers questions about the log in `folder`, with an index in the file `index`. Thread-safe.

    `durable` returns the number of the last durable event: `lambda: log.head().seq`.
    """

    def __init__(self, folder: Path, *, index: Path, durable: Callable[[], int]) -> None:
        self._folder = folder
        self._index = Index(index, folder, durable)
        self._lock = threading.Lock()

    def query(self, query: Query) -> EventPage:
        """Return a page; raises `ChainBroken` if the files are not what they were."""
        with self._lock:
            self._index.refresh()
            try:
                return self._answer(query)
            except ChainBroken:
                self._index.rebuild()
                return self._answer(query)

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    def _answer(self, query: Query) -> EventPage:
        limit = max(1, min(query.limit, MAX_LIMIT))
        found: list[dict[str, Any]] = []
        looked, last = 0, query.after
        for record in self._candidates(query):
            if len(found) == limit or looked == MAX_SCAN:
                return EventPage(events=tuple(found), next=last)
            looked, last = looked + 1, record["seq"]
            if _contains(record, query.text.casefold()):
                found.append(record)
        return EventPage(events=tuple(found), next=None)

    def _candidates(self, query: Query) -> Iterator[dict[str, Any]]:
        after = query.after
        size = CHUNK if query.text else max(2, min(query.limit + 1, CHUNK))
        while True:
            condition = _condition(query, after)
            entries = self._index.find(condition, newest_first=query.newest_first, limit=size)
            yield from self._load(entries)
            if len(entries) < size:
                return
            after = entries[-1].seq

    def _load(self, entries: list[Entry]) -> Iterator[dict[str, Any]]:
        path, file = None, None
        try:
            for entry in entries:
                if file is None or path != entry.file:
                    if file is not None:
                        file.close()
                    path, file = entry.file, _open(self._folder / entry.file)
                file.seek(entry.offset)
                yield _parse(file.read(entry.length), entry)
        finally:
            if file is not None:
                file.close()


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise ChainBroken("this file of the log is missing", place=path.name) from error


def _parse(data: bytes, entry: Entry) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("seq") != entry.seq:
        raise ChainBroken(f"event {entry.seq} is not here any more", place=f"{entry.file} at {entry.offset}")
    return record


def _contains(value: object, text: str) -> bool:
    match value:
        case dict():
            return not text or any(_contains(item, text) for item in value.values())
        case list():
            return any(_contains(item, text) for item in value)
        case _:
            return text in str(value).casefold()


def _condition(query: Query, after: int | None) -> Condition:
    parts: dict[str, Any] = {
        "time >= :since": query.since and micros(query.since),
        "time < :until": query.until and micros(query.until),
        "user = :user": query.user or None,
        "login = :login": query.login or None,
        "sid = :sid": query.sid or None,
        "seq < :after" if query.newest_first else "seq > :after": after,
    }
    asked = {sql: value for sql, value in parts.items() if value is not None}
    values = {sql.rpartition(":")[2]: value for sql, value in asked.items()}
    names = {f"event{i}": name for i, name in enumerate(query.events)}
    if names:
        asked[f"event IN ({', '.join(f':{name}' for name in names)})"] = None
    return Condition(sql=" AND ".join(asked) or "1", values={**values, **names})
