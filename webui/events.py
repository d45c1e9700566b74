"""The audit log, for those who may read it (row L1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, request

from appliance.domain.errors import Invalid
from appliance.domain.events import EventName
from appliance.domain.operations.journal import EventsQuery
from webui.person import api, signed_in

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

pages = Blueprint("events", __name__, url_prefix="/web/events")

LISTED, MOST, MAX_TEXT = 100, 1000, 256
HEAD = ("event", "code", "time", "user", "login", "sid", "server_id", "addr.remote", "error", "success")
CHAIN = frozenset({"seq", "prev", "hash", "uid", "ei", "v"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An event as a line of the page: the usual fields apart from the rest."""

    record: dict[str, Any]

    @property
    def refused(self) -> bool:
        """Whether the act was refused or failed."""
        return bool(self.record.get("error")) or self.record.get("success") is False

    @property
    def more(self) -> list[tuple[str, str]]:
        """The fields without a column of their own, in the record's order."""
        rest = (item for item in self.record.items() if item[0] not in HEAD and item[0] not in CHAIN)
        return [(str(key), _text(value)) for key, value in rest]


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


@pages.get("")
@signed_in
def listing() -> ResponseReturnValue:
    """Show the newest events that the filter lets through."""
    query = _query()
    found = api().call("events.list", query).events
    return render_template(
        "events.html", lines=[Line(record=event) for event in found], query=query, names=_event_names()
    )


def _query() -> EventsQuery:
    return EventsQuery(
        limit=_limit(request.args.get("limit", str(LISTED))),
        event=_filter("event"),
        user=_filter("user"),
        session=_filter("session"),
    )


def _filter(name: str) -> str:
    return request.args.get(name, "").strip()[:MAX_TEXT]


def _limit(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value[:6]) <= MOST:
        raise Invalid(f"limit: expected a number from 1 to {MOST}")
    return int(value)


def _event_names() -> list[str]:
    return sorted(name.text for name in EventName)
