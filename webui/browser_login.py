"""`sally login --browser`: a command line waits, the person agrees here (row S2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from appliance.domain.errors import Invalid
from appliance.domain.operations.people import BrowserLoginAnswer, BrowserLoginNamed
from webui.forms import text
from webui.person import api, person, signed_in

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

pages = Blueprint("browser_login", __name__, url_prefix="/web/cli")


@pages.get("/<id_>")
@signed_in
def ask(id_: str) -> ResponseReturnValue:
    """Show who asks, from where, for how long, and the code to compare."""
    waiting = api().call("browser_logins.show", BrowserLoginNamed(id=id_))
    return render_template("browser_login/ask.html", waiting=waiting, who=person())


@pages.post("/<id_>")
@signed_in
def answer(id_: str) -> ResponseReturnValue:
    """Carry the person's answer."""
    given = text("answer", most=16)
    if given not in {"approve", "refuse"}:
        raise Invalid("answer: expected approve or refuse")
    api().call("browser_logins.answer", BrowserLoginAnswer(id=id_, approve=given == "approve"))
    return render_template("browser_login/answered.html", approved=given == "approve")
