"""`sallyctl access why|ls`: who may what, and by which words of which role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance.cli import frame, output
from appliance.domain.operations import access

if TYPE_CHECKING:
    from appliance.cli.console import Console


@click.group("access", cls=frame.Answers)
def group() -> None:
    """What roles allow, explained."""


@group.command("why")
@click.argument("user")
@click.argument("target")
@click.pass_obj
def why(api: Console, user: str, target: str) -> None:
    """Say whether USER may open TARGET (login@node), and which role decides."""
    login, at, node = target.rpartition("@")
    if not at:
        raise click.UsageError("TARGET is login@node, such as root@web1")
    request = access.AccessQuestion(user=user, login=login, node=node)
    answer: access.AccessExplanation = api.call("access.why", request)
    output.show(answer, lambda: explained(answer))


def explained(answer: access.AccessExplanation) -> str:
    """Return the explanation as lines; texts of roles are escaped."""
    first = f"{answer.answer}: {output.plain(answer.outcome)}"
    reasons = [
        f"  role {output.plain(one.role)}, {output.plain(one.place)}: {output.plain(one.text)}"
        for one in answer.reasons
    ]
    needed = [f"  one of: {', '.join(answer.factors)}"] if answer.factors else []
    return "\n".join([first, *reasons, *needed])


@group.command("ls")
@click.argument("user")
@click.pass_obj
def ls(api: Console, user: str) -> None:
    """List the nodes and logins USER may use."""
    found: access.AccessList = api.call("access.list", access.AccessOf(user=user))
    columns: output.Columns = (
        ("Node Name", lambda line: line.node),
        ("Logins", lambda line: ",".join(line.logins)),
        ("After a check", lambda line: ",".join(line.with_proof)),
    )
    output.show(found, lambda: output.table(found.lines, columns, empty=f"no node is open to {user}"))
