"""What the signed-in person is here: name, logins, roles, factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from webui.person import person, signed_in
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

pages = Blueprint("account", __name__, url_prefix="/web")


@pages.get("/account")
@signed_in
def show() -> ResponseReturnValue:
    """Show the person to themselves."""
    return render_template("account.html", who=person(), cluster=settings().cluster.now())
