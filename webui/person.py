"""The signed-in person behind a request, and the cookie that says so.

The cookie's value is the auth service's session token (random, kept there as a hash); there is no other
state. It is asked about once a request, so a session that was ended is over with the next click.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from flask import g, request

from appliance.domain.errors import Denied
from appliance.domain.operations.operation import Nothing
from webui.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response

    from appliance.client import Api
    from appliance.domain.operations.people import Whoami

SESSION_COOKIE = "__Host-sallyport"
FORM_COOKIE = "__Host-sallyport-form"
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{20,512}")

P = ParamSpec("P")
R = TypeVar("R")


class SignInNeededError(Exception):
    """Nobody is signed in here, or no longer."""


def set_cookie(response: Response, name: str, value: str) -> None:
    """Set a cookie for this origin alone, until the browser closes, out of reach of scripts."""
    response.set_cookie(name, value, secure=True, httponly=True, samesite="Strict", path="/")


def drop_cookie(response: Response, name: str) -> None:
    """Take a cookie away."""
    response.delete_cookie(name, secure=True, httponly=True, samesite="Strict", path="/")


def session_token() -> str:
    """Return the session cookie's value; empty when there is none of the right form."""
    value = request.cookies.get(SESSION_COOKIE, "")
    return value if _TOKEN.fullmatch(value) else ""


def api() -> Api:
    """Return the client that acts as the signed-in person; raises `SignInNeededError`."""
    if not session_token():
        raise SignInNeededError
    client = settings().api.for_web_session(session_token())
    return client.with_proof(g.proof) if g.get("proof") else client


def person() -> Whoami:
    """Return the signed-in person; raises `SignInNeededError`."""
    if "person" not in g:
        try:
            g.person = api().call("me.show", Nothing())
        except Denied as error:
            raise SignInNeededError from error
    found: Whoami = g.person
    return found


def signed_in(view: Callable[P, R]) -> Callable[P, R]:
    """Let only signed-in people see a view."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        person()
        return view(*args, **kwargs)

    return checked


def may(operation: str) -> bool:
    """Whether to offer an operation to the person; the auth service decides again when it is called."""
    who = g.get("person")
    return who is not None and operation in who.may
