"""Sessions and their replay (row L2). Without further rights, a person sees their own."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request

from appliance.domain import names
from appliance.domain.errors import NotFound
from appliance.domain.operations.journal import RecordingExport, SessionsQuery
from webui.person import api, signed_in
from webui.security import allow, allow_wasm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

    from appliance.client import Api
    from appliance.domain.operations.journal import CastPiece, SessionView

pages = Blueprint("sessions", __name__, url_prefix="/web/sessions")
LISTED, SEARCHED = 200, 1000


@pages.get("")
@signed_in
def listing() -> ResponseReturnValue:
    """Show the sessions, the newest first."""
    live = request.args.get("live") == "1"
    found = api().call("sessions.list", SessionsQuery(limit=LISTED, live_only=live)).sessions
    return render_template("sessions/list.html", sessions=found, live=live)


@pages.get("/<sid>")
@signed_in
def replay(sid: str) -> ResponseReturnValue:
    """Show the player. It alone may compile WebAssembly, which its terminal is made of."""
    session = _session(sid)
    allow(connect_src="'self'", require_trusted_types_for=None, trusted_types=None)
    allow_wasm()
    return render_template("sessions/replay.html", session=session)


def _session(sid: str) -> SessionView:
    wanted = names.session_id(sid)
    found: tuple[SessionView, ...] = api().call("sessions.list", SessionsQuery(limit=SEARCHED)).sessions
    for session in found:
        if session.id == wanted:
            return session
    raise NotFound("there is no such session, or it is not yours to see")


@pages.get("/<sid>/recording.cast")
@signed_in
def recording(sid: str) -> ResponseReturnValue:
    """Send the recording as asciicast v2. The first part is asked for before the answer begins."""
    client, wanted = api(), names.session_id(sid)
    first = client.call("recordings.export", RecordingExport(session=wanted))
    headers = {"Content-Disposition": f'attachment; filename="{wanted}.cast"'}
    return Response(_parts(client, wanted, first), mimetype="application/x-asciicast", headers=headers)


def _parts(client: Api, session: str, first: CastPiece) -> Iterator[bytes]:
    return (piece.text.encode() for piece in chain((first,), _further(client, session, first.next)))


def _further(client: Api, session: str, cursor: int | None) -> Iterator[CastPiece]:
    while cursor is not None:
        piece: CastPiece = client.call("recordings.export", RecordingExport(session=session, cursor=cursor))
        yield piece
        cursor = piece.next
