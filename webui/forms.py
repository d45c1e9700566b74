"""Proof that a form came from our own page, and the reading of its fields.

The proof (threat W01) is an HMAC over the session cookie under a random key that lives in a cookie of
its own, `__Host-sallyport-form`. A page of another origin can neither read that cookie nor, because of
the `__Host-` prefix, plant one; so no secret of the server is needed, any web process can check what
another wrote, and the sign-in form is covered as well. Origin and Sec-Fetch-Site are checked besides.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING

from flask import g, request
from markupsafe import Markup
from werkzeug.exceptions import Forbidden, TooManyRequests

from appliance.domain.errors import Invalid
from webui.person import FORM_COOKIE, session_token, set_cookie
from webui.security import SAFE_METHODS, is_tool_path, source
from webui.settings import settings

if TYPE_CHECKING:
    from flask import Flask, Response

FIELD = "form_token"
HEADER = "Sallyport-Form"
MAX_FIELDS = 64
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
FOREIGN = "This form did not come from a page of this site. Open the page again."
STALE = "This form is out of date. Open the page again."


def token() -> str:
    """Return the proof for forms of the page now being made."""
    return _proof(_key(), session_token())


def field() -> Markup:
    """Return the hidden field that carries the proof."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token())


def fresh_key() -> None:
    """Give the browser a new key: proofs made before (before signing in, say) are worthless from now on."""
    g.form_key = secrets.token_urlsafe(32)


def _key() -> str:
    if "form_key" not in g:
        kept = request.cookies.get(FORM_COOKIE, "")
        if _KEY.fullmatch(kept):
            return kept
        fresh_key()
    return str(g.form_key)


def _proof(key: str, session: str) -> str:
    return hmac.digest(key.encode(), b"form\0" + session.encode(), "sha256").hex()


def check() -> None:
    """Refuse a state change that is not proved to come from our own page; slow floods of them."""
    if request.method in SAFE_METHODS or is_tool_path():
        return
    if wait := settings().calls.wait(source()):
        raise TooManyRequests(retry_after=wait)
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Forbidden(FOREIGN)
    if request.headers.get("Origin", settings().config.url) not in settings().config.origins:
        raise Forbidden(FOREIGN)
    kept, given = request.cookies.get(FORM_COOKIE, ""), request.headers.get(HEADER) or text(FIELD)
    if not _KEY.fullmatch(kept) or not hmac.compare_digest(
        _proof(kept, session_token()).encode(), given.encode()
    ):
        raise Forbidden(STALE)


def send_key(response: Response) -> Response:
    """Send the key along, where this answer made a new one."""
    if "form_key" in g:
        set_cookie(response, FORM_COOKIE, g.form_key)
    return response


def text(name: str, *, most: int = 16384) -> str:
    """Return a form's field, stripped of nothing.

    Empty when it is missing. Raises `Invalid` when too long.
    """
    value = request.form.get(name, "") if request.mimetype != "application/json" else ""
    if len(value) > most:
        raise Invalid(f"the field {name} is too long: at most {most} characters")
    return value


def words(name: str) -> tuple[str, ...]:
    """Return the comma- or space-separated words of a field."""
    return tuple(re.split(r"[\s,]+", text(name).strip())) if text(name).strip() else ()


def install(app: Flask) -> None:
    """Check every form; offer the hidden field to templates."""
    app.before_request(check)
    app.after_request(send_key)
    app.jinja_env.globals.update(form_token=field, form_token_value=token)
