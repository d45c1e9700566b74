"""The machines a person can reach, and for administrators, adding and removing them (rows S3, S5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from appliance.domain.errors import Exists, Invalid
from appliance.domain.operations.nodes import NodeAddOpenssh, NodeNamed
from appliance.domain.operations.operation import Nothing
from webui.forms import text
from webui.person import api, person, signed_in
from webui.refusals import sentence
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

pages = Blueprint("nodes", __name__, url_prefix="/web")


@pages.get("/")
@signed_in
def home() -> ResponseReturnValue:
    """Show the nodes with what to type to get there."""
    found = api().call("nodes.list", Nothing()).nodes
    return render_template(
        "nodes/list.html",
        nodes=found,
        who=person(),
        cluster=settings().cluster.now(),
        done=request.args.get("done"),
    )


@pages.get("/nodes/add")
@signed_in
def add_form() -> ResponseReturnValue:
    """Show the form for a machine with stock sshd."""
    return render_template("nodes/add.html", problem="", given={})


@pages.post("/nodes/add")
@signed_in
def add() -> ResponseReturnValue:
    """Add the machine and show what to put on it."""
    try:
        added = api().call("nodes.add_openssh", _node())
    except (Invalid, Exists) as error:
        page = render_template("nodes/add.html", problem=sentence(str(error)), given=request.form)
        return page, error.status
    return render_template("nodes/added.html", added=added)


def _node() -> NodeAddOpenssh:
    return NodeAddOpenssh(
        name=text("name", most=253).strip(),
        address=text("address", most=300).strip(),
        host_key=text("host_key", most=8192).strip(),
        labels=_labels(text("labels", most=8192)),
    )


def _labels(value: str) -> dict[str, str]:
    """Parse `key=value` pairs, one a line or split by commas."""
    pairs: dict[str, str] = {}
    for item in value.replace("\n", ",").split(","):
        key, separator, setting = (part.strip() for part in item.partition("="))
        if not key and not separator:
            continue
        if not separator or key in pairs:
            raise Invalid(f"label {item.strip()[:64]!r} is not valid: expected key=value, each key once")
        pairs[key] = setting
    return pairs


@pages.get("/nodes/<name>/remove")
@signed_in
def remove_form(name: str) -> ResponseReturnValue:
    """Ask before a machine is removed."""
    return render_template("nodes/remove.html", name=name)


@pages.post("/nodes/<name>/remove")
@signed_in
def remove(name: str) -> ResponseReturnValue:
    """Remove the machine; its sessions end."""
    api().call("nodes.delete", NodeNamed(name=name))
    return redirect(url_for("nodes.home", done="removed"), 303)
