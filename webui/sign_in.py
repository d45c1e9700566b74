"""Signing in and out (rows U1, U3, A1, A3).

    GET  /web/login             the form: user name, password, code or recovery code, or a security key
    POST /web/login             all proofs at once; one wrong proof refuses them all and is not named
    POST /web/login/challenge   JSON: the options for the browser's security key call
    POST /web/logout

An unknown name gets the same questions and the same answer (threat M06): which keys somebody has is told
only to who knows the password, or to nobody, when a passkey names its owner. A new session has a new cookie,
the one before is ended, and the proofs of older forms are void (threat W02).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import Blueprint, make_response, redirect, render_template, request, url_for

from appliance.domain import codec
from appliance.domain.errors import Denied, Invalid, NotFound, SallyportError
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

MAX_NAME, MAX_PASSWORD_FIELD, MAX_NEXT = 256, 4096, 512
EXPIRED = "This sign-in took too long. Please begin again."
REFUSED = "That did not match. Check the user name, the password and the code, then try again."


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
        with_code="otp" in factors,
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
    """Begin an attempt for a security key after the password; with no name, for a passkey alone."""
    asked = _asked()
    pending = settings().api.call("login.begin", LoginBegin(user=asked.user, source=source()))
    if asked.user:
        pending = _after_password(pending.attempt, asked.password)
    if pending.webauthn is None:
        raise Denied("no key", message="no security key is registered for this account: use a code")
    return {"attempt": pending.attempt, "options": pending.webauthn}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    user: str
    password: str = field(default="", repr=False)


def _asked() -> _Asked:
    asked: _Asked = codec.loads(_Asked, request.get_data())
    if len(asked.user) > MAX_NAME or len(asked.password) > MAX_PASSWORD_FIELD:
        raise Invalid("user or password is too long")
    return asked


def _after_password(attempt: str, password: str) -> AttemptPending:
    proof = PasswordProof(password=password)
    try:
        answer = settings().api.call(
            "login.prove", LoginProve(attempt=attempt, source=source(), proofs=(proof,))
        )
    except Denied as error:
        raise Denied(error.reason, message=REFUSED) from error
    if not isinstance(answer, AttemptPending):
        raise Invalid("the password is enough: no security key is asked for")
    return answer


@pages.post("/login")
def submit() -> ResponseReturnValue:
    """Take the proofs; a cookie and the way on, or the same refusal whatever was wrong."""
    user = text("user", most=MAX_NAME).strip()
    try:
        return _signed_in(_prove(user, _proofs()))
    except Denied as error:
        return _form(problem=REFUSED, user=user), error.status
    except NotFound:
        return _form(problem=EXPIRED, user=user), Denied.status
    except Invalid as error:
        log.info("a sign-in was not well-formed: %s", error)
        return _form(problem=REFUSED, user=user), Denied.status


def _proofs() -> tuple[Proof, ...]:
    proofs: list[Proof] = []
    password = text("password", most=MAX_PASSWORD_FIELD)
    if password and not text("attempt"):  # an attempt that is under way has the password already
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
