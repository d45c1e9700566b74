"""The audit log as the use cases see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.audit.log import AuditLog
from appliance.audit.reader import AuditReader, Query
from appliance.broker.ports import Clock

if TYPE_CHECKING:
    from appliance.domain.events import Event
    from appliance.domain.operations.journal import EventsQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTrail:
    """Records into the chained files, reads through the index over them."""

    log: AuditLog
    reader: AuditReader
    clock: Clock

    def record(self, event: Event) -> None:
        """Return once the event is on the disk; raises `Unavailable` otherwise."""
        self.log.record(event.to_record())

    def query(self, query: EventsQuery) -> tuple[dict[str, Any], ...]:
        """Return the records that match, newest first."""
        page = self.reader.query(
            Query(
                events=(query.event,) if query.event else (),
                user=query.user,
                sid=query.session,
                since=query.since,
                until=query.until,
                limit=query.limit,
            )
        )
        return page.events
