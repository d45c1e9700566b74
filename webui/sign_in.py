"""Signing in and out (rows U1, U3, A1, A3).

    GET  /web/login             the form: user name, password, code or recovery code, or a security key
    POST /web/login             all proofs at once; one wrong proof refuses them all and is not named
    POST /web/login/challenge   JSON, for the browser's security key call
    POST /web/logout

An unknown name gets the same questions and the same answer (threat M06). A new session has a new cookie,
the one before is ended, and the proofs of older forms are void (threat W02).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, make_response, redirect, render_template, request, url_for

from appliance.domain import codec
from appliance.domain.errors import Denied, Invalid, SallyportError
from appliance.domain.operations.operation import Nothing
from appliance.domain.operations.people import (
    AttemptAccepted,
    AttemptPending,
    CodeProof,
    LoginBegin,
    LoginProve,
    PasswordProof,
    WebauthnProof,
    WebSessionCreate,
)
from webui.forms import fresh_key, text
from webui.person import SESSION_COOKIE, drop_cookie, session_token, set_cookie
from webui.security import allow, source
from webui.settings import settings
from webui.sign_up import read_credential

if TYPE_CHECKING:
    from flask import Response
    from flask.typing import ResponseReturnValue

    from appliance.domain.operations.people import Proof

log = logging.getLogger(__name__)
pages = Blueprint("sign_in", __name__, url_prefix="/web")

MAX_NAME, MAX_NEXT = 256, 512
REFUSED = "That did not match. Check the user name, the password and the code, then try again."
ALL_CODES = frozenset({"off", "otp", "totp", "on", "optional"})


@pages.get("/login")
def page() -> ResponseReturnValue:
    """Show the form."""
    ended = "You were signed out, because the session had ended." if request.args.get("ended") else ""
    return _form(note=ended)


def _form(*, note: str = "", problem: str = "", user: str = "") -> str:
    allow(connect_src="'self'")
    factors = frozenset(settings().cluster.now().second_factors)
    return render_template(
        "sign_in.html",
        note=note,
        problem=problem,
        user=user,
        target=_target(),
        cluster=settings().cluster.now().cluster,
        with_code=not factors <= {"webauthn", "off"},
        with_key="webauthn" in factors,
    )


def _target() -> str:
    """Return where to go afterwards: a path of our own pages, never another site."""
    wanted = request.values.get("next", "")
    ours = (
        wanted.startswith("/web/") and len(wanted) <= MAX_NEXT and wanted.isascii() and wanted.isprintable()
    )
    return wanted if ours and "\\" not in wanted else url_for("nodes.home")


@pages.post("/login/challenge")
def challenge() -> ResponseReturnValue:
    """Begin an attempt for a security key; with no name, a passkey will say whose it is."""
    body = codec.parse_json(request.get_data())
    user = body.get("user") if isinstance(body, dict) else None
    if not isinstance(user, str) or len(user) > MAX_NAME:
        raise Invalid('expected {"user": text}')
    pending = settings().api.call("login.begin", LoginBegin(user=user, source=source()))
    if pending.webauthn is None:
        raise Denied("no challenge", message="security keys can't be used here")
    return {"attempt": pending.attempt, "options": pending.webauthn}


@pages.post("/login")
def submit() -> ResponseReturnValue:
    """Take the proofs; a cookie and the way on, or the same refusal whatever was wrong."""
    user = text("user", most=MAX_NAME).strip()
    try:
        return _signed_in(_prove(user, _proofs()))
    except Denied as error:
        return _form(problem=REFUSED, user=user), error.status
    except Invalid as error:
        log.info("a sign-in was not well-formed: %s", error)
        return _form(problem=REFUSED, user=user), Denied.status


def _proofs() -> tuple[Proof, ...]:
    proofs: list[Proof] = []
    if password := text("password", most=4096):
        proofs.append(PasswordProof(password=password))
    if credential := text("credential"):
        proofs.append(WebauthnProof(response=read_credential(credential)))
    elif code := text("code", most=64).replace(" ", ""):
        proofs.append(CodeProof(code=code))
    if not proofs:
        raise Invalid("nothing was given to sign in with")
    return tuple(proofs)


def _prove(user: str, proofs: tuple[Proof, ...]) -> AttemptAccepted:
    api, attempt = settings().api, text("attempt", most=512)
    if not attempt:
        attempt = api.call("login.begin", LoginBegin(user=user, source=source())).attempt
    match api.call("login.prove", LoginProve(attempt=attempt, source=source(), proofs=proofs)):
        case AttemptAccepted() as accepted:
            return accepted
        case AttemptPending():
            raise Denied("a proof is missing")
        case other:
            raise TypeError(f"login.prove answered with {type(other).__name__}")


def _signed_in(accepted: AttemptAccepted) -> Response:
    request_ = WebSessionCreate(attempt=accepted.attempt, source=source())
    session = settings().api.call("web_sessions.create", request_)
    _end_session()
    fresh_key()
    response = make_response(redirect(_target(), 303))
    set_cookie(response, SESSION_COOKIE, session.token)
    return response


def _end_session() -> None:
    """End the session this browser had; one that is over already is no trouble."""
    if not session_token():
        return
    try:
        settings().api.for_web_session(session_token()).call("web_sessions.end", Nothing())
    except SallyportError as error:
        log.info("the former session was over already: %s", error)


@pages.post("/logout")
def sign_out() -> ResponseReturnValue:
    """End the session on the server, and forget it here."""
    if session_token():
        try:
            settings().api.for_web_session(session_token()).call("web_sessions.end", Nothing())
        except Denied:
            log.info("signed out of a session that was over already")
    fresh_key()
    response = make_response(redirect(url_for("sign_in.signed_out"), 303))
    drop_cookie(response, SESSION_COOKIE)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@pages.get("/signed-out")
def signed_out() -> ResponseReturnValue:
    """Say that it worked."""
    return render_template("signed_out.html")
