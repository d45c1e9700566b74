"""What the signed-in person is here: name, logins, roles, factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from appliance.client import PinnedAuthority
from webui.person import person, signed_in
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

pages = Blueprint("account", __name__, url_prefix="/web")


@pages.get("/account")
@signed_in
def show() -> ResponseReturnValue:
    """Show the person to themselves."""
    cluster = settings().cluster.now()
    pin = PinnedAuthority.of(cluster.tls_authority).pin
    return render_template("account.html", who=person(), cluster=cluster, pin=pin)
