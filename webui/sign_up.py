"""From a one-use link to an account: a password, a second factor, recovery codes once (rows U1, A1, A3, A5).

GET  /web/invite/<token>            whose link it is, what to choose from
POST /web/invite/<token>/<factor>   begin to enrol: the form with the QR code, or for the security key
POST /web/invite/<token>/finish     password and proof; the recovery codes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request
from werkzeug.exceptions import NotFound as NoSuchPage

from appliance.domain import codec
from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, Denied, Invalid, NotFound
from appliance.domain.operations.people import (
    CodeProof,
    EnrolBegin,
    EnrolFinish,
    InviteToken,
    InviteView,
    TotpOffer,
    WebauthnOffer,
    WebauthnProof,
)
from webui.forms import text
from webui.refusals import Notice, sentence
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from appliance.domain.errors import SallyportError

pages = Blueprint("sign_up", __name__, url_prefix="/web/invite")

MAX_PASSWORD_FIELD = 4096
MAX_DEVICE_NAME = 64
FACTORS = {"totp": Factor.TOTP, "webauthn": Factor.WEBAUTHN}
OTPAUTH = "otpauth://totp/"


@pages.errorhandler(NotFound)
@pages.errorhandler(Conflict)
def link_refused(error: SallyportError) -> ResponseReturnValue:
    """Say which it is: used, expired, or altered."""
    said = Notice(
        title="This link can't be used",
        text=sentence(str(error)),
        advice="Links work once and for a limited time. Ask your administrator for a new one.",
    )
    return render_template("notice.html", notice=said), error.status


@pages.get("/<token>")
def choose(token: str) -> ResponseReturnValue:
    """Show whose link it is and what can be enrolled."""
    return render_template("sign_up/choose.html", token=token, invite=_invite(token))


@pages.post("/<token>/<kind>")
def begin(token: str, kind: str) -> ResponseReturnValue:
    """Begin to enrol a factor."""
    if kind not in FACTORS:
        raise NoSuchPage
    invite = _invite(token)
    match settings().api.call("invites.begin", EnrolBegin(token=token, factor=FACTORS[kind])):
        case TotpOffer(secret=secret, uri=uri):
            return _totp_page(token, invite, secret, uri)
        case WebauthnOffer(options=options):
            return _webauthn_page(token, invite, codec.dumps(options).decode())
        case other:
            raise TypeError(f"invites.begin answered with {type(other).__name__}")


def _totp_page(token: str, invite: InviteView, secret: str, uri: str, problem: str = "") -> str:
    return render_template(
        "sign_up/totp.html", token=token, invite=invite, secret=secret, uri=uri, problem=problem
    )


def _webauthn_page(token: str, invite: InviteView, options: str, problem: str = "") -> str:
    return render_template(
        "sign_up/webauthn.html", token=token, invite=invite, options=options, problem=problem
    )


@pages.post("/<token>/finish")
def finish(token: str) -> ResponseReturnValue:
    """Finish the sign-up; what was mistyped is asked again with the same secret on the page."""
    try:
        enrolled = settings().api.call("invites.finish", _finish_request(token))
    except (Invalid, Denied) as error:
        return _again(token, sentence(str(error))), error.status
    return render_template("sign_up/codes.html", enrolled=enrolled)


def _finish_request(token: str) -> EnrolFinish:
    return EnrolFinish(token=token, password=_password(), device_name=_device_name(), proof=_proof())


def _password() -> str:
    """Return the password; how long it has to be is the auth service's to judge."""
    password = text("password", most=MAX_PASSWORD_FIELD)
    if password != text("again", most=MAX_PASSWORD_FIELD):
        raise Invalid("the two passwords are not the same")
    return password


def _device_name() -> str:
    name = text("device_name", most=MAX_DEVICE_NAME).strip()
    return name or ("authenticator app" if text("secret") else "security key")


def _proof() -> CodeProof | WebauthnProof:
    if credential := text("credential"):
        return WebauthnProof(response=read_credential(credential))
    return CodeProof(code=text("code", most=64).replace(" ", ""))


def read_credential(value: str) -> dict[str, object]:
    """Parse what the browser's `toJSON()` made; raises `Invalid`."""
    parsed = codec.parse_json(value)
    if not isinstance(parsed, dict):
        raise Invalid("the security key's answer is not an object")
    return dict(parsed)


def _again(token: str, problem: str) -> str:
    """Show the form again. The QR code comes from the person's own form, and is shown to nobody else."""
    invite, secret, uri = _invite(token), text("secret", most=256), text("uri", most=512)
    if secret and uri.startswith(OTPAUTH):
        return _totp_page(token, invite, secret, uri, problem)
    if request.form.get("credential"):
        offer = settings().api.call("invites.begin", EnrolBegin(token=token, factor=Factor.WEBAUTHN))
        return _webauthn_page(token, invite, codec.dumps(offer.options).decode(), problem)
    return render_template("sign_up/choose.html", token=token, invite=invite, problem=problem)


def _invite(token: str) -> InviteView:
    found: InviteView = settings().api.call("invites.show", InviteToken(token=token))
    return found
