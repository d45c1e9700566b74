"""`sallyctl`: the administrator at the box's console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.cli import access_commands, custody_commands, frame, output, resource_commands, seal_commands
from appliance.cli.console import Console
from appliance.cli.durations import TtlType
from appliance.domain.operations import custody, journal, nodes, people
from appliance.domain.operations.operation import Nothing


@click.group(cls=frame.Answers, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SALLYPORT_CONFIG",
    default=Path("/etc/sallyport.yaml"),
    show_default=True,
    help="The appliance's configuration; says where its data folder is.",
)
@click.pass_context
def cli(context: click.Context, config: Path) -> None:
    """Administer a Sallyport cluster from the box it runs on.

    You are known by your account on this machine: root, or the account the appliance runs as.
    """
    context.obj = Console(config)
    context.call_on_close(context.obj.close)


@cli.command()
@click.pass_obj
def status(api: Console) -> None:
    """Show the cluster: version, addresses, authorities."""
    info: people.ClusterInfo = api.call("cluster.ping", Nothing())
    authorities: custody.AuthorityList = api.call("authorities.list", Nothing())

    def text() -> str:
        keys = "\n".join(f"  {one.kind:<8} {one.fingerprint}" for one in authorities.authorities)
        return (
            f"Cluster  {info.cluster}\nVersion  {info.server_version}\nWeb      https://{info.web_address}\n"
            f"SSH      {info.ssh_address}\nAPI      {info.api_address}\nCA keys\n{keys}"
        )

    output.show(info, text)


@cli.group()
def users() -> None:
    """People's accounts."""


ttl_option = click.option(
    "--ttl", type=TtlType(), default="1h", show_default=True, help="Life of the link, from 1m to 48h."
)


def _names(value: str) -> tuple[str, ...]:
    return tuple(name for name in value.split(",") if name)


def _link(link: people.InviteLink) -> None:
    def text() -> str:
        until = output.when(link.expires_at)
        return f"Give this link to {link.user}. It works once, until {until}:\n{link.url}"

    output.show(link, text)


@users.command("add")
@click.argument("name")
@click.argument("logins", required=False, default="")
@click.option("--roles", default="access", show_default=True, help="Roles, separated by commas.")
@ttl_option
@click.pass_obj
def users_add(api: Console, name: str, logins: str, roles: str, ttl: int) -> None:
    """Make an account NAME that may use the operating-system LOGINS (separated by commas).

    With no logins, the user gets their own name as the only one. Prints a sign-up link.
    """
    request = people.UserCreate(name=name, logins=_names(logins), roles=_names(roles), ttl_seconds=ttl)
    _link(api.call("users.create", request))


@users.command("ls")
@click.pass_obj
def users_ls(api: Console) -> None:
    """List accounts."""
    found: people.UserList = api.call("users.list", Nothing())
    columns: output.Columns = (
        ("User", lambda user: user.name),
        ("Allowed to log in as", lambda user: ",".join(user.logins)),
        ("Roles", lambda user: ",".join(user.roles)),
        ("Factors", lambda user: ",".join(user.factors) or ("-" if user.active else "not signed up")),
    )
    output.show(found, lambda: output.table(found.users, columns, empty="no users: sallyctl users add NAME"))


@users.command("update")
@click.argument("name")
@click.option("--logins", help="Logins, separated by commas; replaces those they have.")
@click.option("--roles", help="Roles, separated by commas; replaces those they have.")
@click.pass_obj
def users_update(api: Console, name: str, logins: str | None, roles: str | None) -> None:
    """Change the logins or roles of NAME; it holds from their next connection on."""
    request = people.UserUpdate(
        name=name,
        logins=None if logins is None else _names(logins),
        roles=None if roles is None else _names(roles),
    )
    user: people.UserView = api.call("users.update", request)
    output.show(user, lambda: f"{user.name}: logins {','.join(user.logins)}; roles {','.join(user.roles)}")


@users.command("reset")
@click.argument("name")
@click.pass_obj
def users_reset(api: Console, name: str) -> None:
    """Take away the password and factors of NAME and print a link to enrol anew."""
    _link(api.call("users.reset", people.UserNamed(name=name)))


@users.command("rm")
@click.argument("name")
@click.pass_obj
def users_rm(api: Console, name: str) -> None:
    """Delete the account NAME and end its sessions."""
    answer = api.call("users.delete", people.UserNamed(name=name))
    output.show(answer, lambda: f"User {name} has been deleted.")


@cli.group("nodes")
def nodes_group() -> None:
    """Machines people log in to."""


def _labels(context: click.Context, parameter: click.Parameter, value: str) -> dict[str, str]:
    del context, parameter
    pairs = [pair.partition("=") for pair in value.split(",") if pair]
    if any(not separator for _, separator, _ in pairs):
        raise click.BadParameter("expected key=value pairs separated by commas, such as env=dev,os=debian")
    return {key: text for key, _, text in pairs}


@nodes_group.command("add")
@click.argument("name")
@click.option("--openssh", is_flag=True, required=True, help="The machine runs stock sshd.")
@click.option("--addr", required=True, help="host:port as the bastion reaches it; port 22 if left out.")
@click.option("--labels", default="", callback=_labels, help="key=value pairs separated by commas.")
@click.option(
    "--host-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The machine's public host key. Without this it is asked for over the network, and shown.",
)
@click.option("--yes", is_flag=True, help="Take the host key that the network gave without asking.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files for the machine into this folder instead of printing them.",
)
@click.pass_obj
def nodes_add(
    api: Console,
    name: str,
    openssh: bool,
    addr: str,
    labels: dict[str, str],
    host_key: Path | None,
    yes: bool,
    out: Path | None,
) -> None:
    """Add a machine called NAME that runs stock sshd, and say what to put on it."""
    from appliance.cli.node_setup import confirmed_host_key, instructions

    del openssh
    line = host_key.read_text() if host_key else confirmed_host_key(addr, yes=yes)
    request = nodes.NodeAddOpenssh(name=name, address=addr, host_key=line, labels=labels)
    added: nodes.NodeAdded = api.call("nodes.add_openssh", request)
    output.show(added, lambda: instructions(added, out))


@nodes_group.command("unit")
@click.argument("name")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write the files into.",
)
@click.pass_obj
def nodes_unit(api: Console, name: str, out: Path) -> None:
    """Write a systemd timer that keeps the machine NAME in step: trust, host certificate, revocations."""
    from appliance.cli.node_timer import write_timer

    info: people.ClusterInfo = api.call("cluster.ping", Nothing())
    bundle: nodes.NodeBundle = api.call("nodes.bundle", nodes.NodeNamed(name=name))
    output.show(bundle, lambda: write_timer(out, name, info, bundle))


@nodes_group.command("ls")
@click.pass_obj
def nodes_ls(api: Console) -> None:
    """List nodes."""
    found: nodes.NodeList = api.call("nodes.list", Nothing())
    columns: output.Columns = (
        ("Node Name", lambda node: node.name),
        ("Node ID", lambda node: node.id),
        ("Address", lambda node: node.address),
        ("Labels", lambda node: output.labels(node.labels)),
    )
    empty = "no nodes: sallyctl nodes add NAME --openssh --addr=HOST"
    output.show(found, lambda: output.table(found.nodes, columns, empty=empty))


@nodes_group.command("rm")
@click.argument("name")
@click.pass_obj
def nodes_rm(api: Console, name: str) -> None:
    """Remove the node NAME and end its sessions."""
    answer = api.call("nodes.delete", nodes.NodeNamed(name=name))
    output.show(answer, lambda: f"Node {name} has been removed.")


@cli.group()
def sessions() -> None:
    """Sessions, live and past."""


@sessions.command("ls")
@click.option("--live", is_flag=True, help="Only those that run now.")
@click.option("--limit", default=100, show_default=True)
@click.pass_obj
def sessions_ls(api: Console, live: bool, limit: int) -> None:
    """List sessions, newest first."""
    found: journal.SessionList = api.call("sessions.list", journal.SessionsQuery(limit=limit, live_only=live))
    output.show(found, lambda: session_table(found.sessions))


def session_table(found: tuple[journal.SessionView, ...]) -> str:
    """Return sessions as a table; `sally` prints the same."""
    columns: output.Columns = (
        ("Session ID", lambda one: one.id),
        ("Who", lambda one: f"{one.user} as {one.login}@{one.node}"),
        ("From", lambda one: one.source),
        ("Started", lambda one: output.when(one.started_at)),
        ("Ended", lambda one: output.when(one.ended_at) if one.ended_at else "running"),
        ("Recording", _recording),
    )
    return output.table(found, columns, empty="no sessions")


def _recording(session: journal.SessionView) -> str:
    if not session.recording_size:
        return "-"
    return f"{session.recording_size} bytes" + (" (end lost)" if session.recording_lost else "")


@cli.group()
def events() -> None:
    """The audit log."""


@events.command("ls")
@click.option("--type", "event", default="", help="Only events of this name, such as session.start.")
@click.option("--user", default="", help="Only events of this user.")
@click.option("--session", default="", help="Only events of this session.")
@click.option("--limit", default=50, show_default=True)
@click.pass_obj
def events_ls(api: Console, event: str, user: str, session: str, limit: int) -> None:
    """List events, newest first."""
    query = journal.EventsQuery(event=event, user=user, session=session, limit=limit)
    found: journal.EventList = api.call("events.list", query)
    columns: output.Columns = (
        ("Time", lambda one: one["time"]),
        ("Event", lambda one: one["event"]),
        ("User", lambda one: one.get("user", "")),
        ("Details", _details),
    )
    output.show(found, lambda: output.table(found.events, columns, empty="no events"))


HEAD = frozenset({"time", "event", "user", "uid", "prev", "seq", "code"})


def _details(event: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in event.items() if key not in HEAD)


cli.add_command(custody_commands.auth)
cli.add_command(custody_commands.certs)
cli.add_command(custody_commands.hsm)
cli.add_command(seal_commands.seal)
cli.add_command(seal_commands.unseal)
cli.add_command(seal_commands.seal_status)
cli.add_command(access_commands.group)
for command in resource_commands.COMMANDS:
    cli.add_command(command)
frame.add_common(cli, "sallyctl")


def main() -> None:
    """Run the command line."""
    from authenticators.errors import DeviceError
    from hsm.errors import HsmError

    frame.run(cli, "sallyctl", expected=(HsmError, DeviceError))


if __name__ == "__main__":
    main()
