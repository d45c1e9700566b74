"""Accounts, for administrators: list, add, change, reset, delete (row U1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from appliance.domain.errors import Conflict, Exists, Invalid, NotFound
from appliance.domain.operations.operation import Nothing
from appliance.domain.operations.people import UserCreate, UserNamed, UserUpdate
from webui.forms import text, words
from webui.person import api, signed_in
from webui.refusals import sentence

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from appliance.domain.operations.people import UserView

pages = Blueprint("users", __name__, url_prefix="/web/users")

HOUR = 3600
LIFETIMES = (HOUR // 4, HOUR, 8 * HOUR, 24 * HOUR, 48 * HOUR)


@pages.get("")
@signed_in
def listing() -> ResponseReturnValue:
    """Show all accounts."""
    return render_template("users/list.html", users=_users(), done=request.args.get("done"))


def _users() -> tuple[UserView, ...]:
    found: tuple[UserView, ...] = api().call("users.list", Nothing()).users
    return found


def _user(name: str) -> UserView:
    for user in _users():
        if user.name == name:
            return user
    raise NotFound("there is no account of that name")


@pages.get("/add")
@signed_in
def add_form() -> ResponseReturnValue:
    """Show the form for a new account."""
    return render_template("users/add.html", problem="", given={}, lifetimes=LIFETIMES)


@pages.post("/add")
@signed_in
def add() -> ResponseReturnValue:
    """Make the account; its link is shown here once."""
    try:
        link = api().call("users.create", _new_user())
    except (Invalid, Exists) as error:
        page = render_template(
            "users/add.html", problem=sentence(str(error)), given=request.form, lifetimes=LIFETIMES
        )
        return page, error.status
    return render_template("users/link.html", link=link, fresh=True)


def _new_user() -> UserCreate:
    return UserCreate(
        name=text("name", most=256).strip(),
        logins=words("logins"),
        roles=words("roles"),
        ttl_seconds=_lifetime(text("lifetime", most=16)),
    )


def _lifetime(value: str) -> int:
    if value not in {str(seconds) for seconds in LIFETIMES}:
        raise Invalid("choose how long the link shall work")
    return int(value)


@pages.get("/<name>")
@signed_in
def show(name: str) -> ResponseReturnValue:
    """Show one account, and what can be done with it."""
    return render_template("users/show.html", user=_user(name), problem="", done=request.args.get("done"))


@pages.post("/<name>")
@signed_in
def change(name: str) -> ResponseReturnValue:
    """Change logins and roles."""
    try:
        api().call("users.update", UserUpdate(name=name, logins=words("logins"), roles=words("roles")))
    except (Invalid, Conflict) as error:
        page = render_template("users/show.html", user=_user(name), problem=sentence(str(error)), done=None)
        return page, error.status
    return redirect(url_for("users.show", name=name, done="changed"), 303)


@pages.post("/<name>/reset")
@signed_in
def reset(name: str) -> ResponseReturnValue:
    """Take the account's factors away; the link to enrol anew is shown once."""
    link = api().call("users.reset", UserNamed(name=name))
    return render_template("users/link.html", link=link, fresh=False)


@pages.post("/<name>/delete")
@signed_in
def delete(name: str) -> ResponseReturnValue:
    """Delete the account, when its name was typed to confirm."""
    if text("confirm", most=256).strip() != name:
        page = render_template(
            "users/show.html",
            user=_user(name),
            problem="Type the name of the account to delete it.",
            done=None,
        )
        return page, Invalid.status
    api().call("users.delete", UserNamed(name=name))
    return redirect(url_for("users.listing", done="deleted"), 303)
