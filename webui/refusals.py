"""What went wrong, told to whoever asked: a page for people, JSON for tools and scripts.

A page says what happened and what to do next. Reasons that are for the audit alone never arrive here.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import jsonify, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from appliance.domain.errors import Denied, NotFound, SallyportError, Sealed, Throttled, Unavailable
from webui.person import SESSION_COOKIE, SignInNeededError, drop_cookie, session_token
from webui.security import SAFE_METHODS, is_tool_path

if TYPE_CHECKING:
    from flask import Flask, Response
    from flask.typing import ResponseReturnValue

log = logging.getLogger(__name__)
ERRORS_FROM = 400
TRY_AGAIN = "Try again in a minute. If it stays so, tell your administrator."
LOOK_FIRST = "Your change may or may not have been kept: look before you repeat it, in a minute."


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One page about something that went wrong."""

    title: str
    text: str
    advice: str


HTTP_NOTICES: dict[int, Notice] = {
    404: Notice(
        title="There is no such page",
        text="Nothing is kept at this address.",
        advice="Check the address for a part that is missing, or start from the first page.",
    ),
    405: Notice(
        title="That is not possible here",
        text="This address does not take this kind of request.",
        advice="Start from the first page.",
    ),
    413: Notice(
        title="That was too much",
        text="What was sent is larger than anything this page needs.",
        advice="Go back and send less.",
    ),
    421: Notice(
        title="This service has another name",
        text="It was asked for under a name it does not know.",
        advice="Use the address you were given by your administrator.",
    ),
    429: Notice(
        title="Too many requests",
        text="Your address sent more requests than it may.",
        advice="Wait a few seconds, then try again.",
    ),
}


def notice(error: SallyportError) -> Notice:
    """Return what to say of an error of the API."""
    text = sentence(str(error))
    match error:
        case Denied():
            return Notice(title="Not allowed", text=text, advice="Ask an administrator if you need this.")
        case NotFound():
            return Notice(title="Not found", text=text, advice="It may have been removed in the meantime.")
        case Throttled(retry_after=wait):
            return Notice(
                title="Too many attempts", text=text, advice=f"Wait {wait} seconds, then try again."
            )
        case Sealed() | Unavailable():
            return Notice(
                title="Not available just now",
                text="A part of this service does not answer.",
                advice=TRY_AGAIN if request.method in SAFE_METHODS else LOOK_FIRST,
            )
    return Notice(title="That did not work", text=text, advice="Go back, correct it, and try again.")


def sentence(message: str) -> str:
    """Return a message with a capital at its start and a full stop at its end."""
    text = message.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _wants_json() -> bool:
    return is_tool_path() or request.mimetype == "application/json"


def refuse(error: SallyportError) -> ResponseReturnValue:
    """Answer an error of the API."""
    if isinstance(error, Unavailable):
        log.warning("%s: %s", request.endpoint, error)
    if _wants_json():
        return _json(error)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Throttled) else {}
    return render_template("notice.html", notice=notice(error)), error.status, headers


def _json(error: SallyportError) -> ResponseReturnValue:
    body: dict[str, str | int] = {"error": error.code, "message": str(error)}
    headers = {}
    if isinstance(error, Throttled):
        body["retry_after"] = error.retry_after
        headers["Retry-After"] = str(error.retry_after)
    return jsonify(body), error.status, headers


def refuse_http(error: HTTPException) -> ResponseReturnValue:
    """Answer an error of HTTP itself."""
    code = error.code or 500
    headers = {}
    if wait := getattr(error, "retry_after", None):
        headers["Retry-After"] = str(wait)
    if code < ERRORS_FROM and error.response is not None:
        return error.response
    if _wants_json():
        kind = {403: "denied", 404: "not_found", 429: "throttled"}.get(code, "invalid")
        body = {"error": kind, "message": error.description or error.name}
        return jsonify(body | ({"retry_after": wait} if wait else {})), code, headers
    title = "This form was not accepted" if code == Denied.status else error.name
    fallback = Notice(
        title=title, text=sentence(error.description or error.name), advice="Go back and try again."
    )
    return render_template("notice.html", notice=HTTP_NOTICES.get(code, fallback)), code, headers


def refuse_unknown(error: Exception) -> ResponseReturnValue:
    """Answer a fault of our own: the log has it under a reference that the person can pass on."""
    reference = secrets.token_hex(4)
    log.error("fault %s in %s", reference, request.endpoint, exc_info=error)
    if _wants_json():
        return jsonify({"error": "internal", "message": f"internal fault, reference {reference}"}), 500
    said = Notice(
        title="Something broke on our side",
        text="This is a fault of the service, not of what you did.",
        advice=f"Try again. If it stays so, tell your administrator the reference {reference}.",
    )
    return render_template("notice.html", notice=said), 500


def sign_in_first(_error: SignInNeededError) -> ResponseReturnValue:
    """Send the person to sign in, and back afterwards.

    With SameSite=Strict a browser that follows a link from another site leaves the cookie out. A page
    of our own that goes to the same address again brings it along.
    """
    if _wants_json():
        return jsonify({"error": "denied", "message": "sign in first"}), 401
    if request.method in SAFE_METHODS and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return render_template("continue.html", target=request.full_path.rstrip("?")), 200
    back = {"next": request.full_path.rstrip("?")} if request.method in SAFE_METHODS else {}
    ended = {"ended": "1"} if session_token() else {}
    response: Response = redirect(f"{url_for('sign_in.page')}?{urlencode(back | ended)}".rstrip("?"), 303)  # type: ignore[assignment]
    if session_token():
        drop_cookie(response, SESSION_COOKIE)
    return response


def install(app: Flask) -> None:
    """Answer every error here."""
    app.register_error_handler(SallyportError, refuse)
    app.register_error_handler(SignInNeededError, sign_in_first)
    app.register_error_handler(HTTPException, refuse_http)
    app.register_error_handler(Exception, refuse_unknown)
