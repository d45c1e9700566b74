"""`sallyport`: the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.cli import frame
from appliance.config import Config, load
from appliance.config.sample import sample

ROLES = ("signer", "auth", "proxy", "web")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Sallyport, a hardened SSH bastion."""


def _roles(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    del context, parameter
    chosen = tuple(value.split(",")) if value else ROLES
    if unknown := [role for role in chosen if role not in ROLES]:
        raise click.BadParameter(f"{unknown[0]!r}: expected some of {', '.join(ROLES)}")
    return chosen


@cli.command()
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SALLYPORT_CONFIG",
    default=Path("/etc/sallyport.yaml"),
    show_default=True,
    help="The configuration file.",
)
@click.option("-d", "--debug", is_flag=True, help="Log everything, to stderr.")
@click.option("-r", "--roles", callback=_roles, help=f"Which processes to run.  [default: {','.join(ROLES)}]")
@click.option("--advertise-ip", help="The address others reach this machine at.")
@click.option("-l", "--listen-ip", help="The address to listen on, for all services.")
@click.option("--nodename", help="The name of this machine.")
@click.option("--accept-clock", is_flag=True, help="Start though the clock is behind the last event.")
@click.option("--welcome", is_flag=True, help="On a new cluster, make the first administrator's link.")
def start(
    config: Path,
    debug: bool,
    roles: tuple[str, ...],
    advertise_ip: str | None,
    listen_ip: str | None,
    nodename: str | None,
    accept_clock: bool,
    welcome: bool,
) -> None:
    """Start the appliance: each role is a process of its own, watched and restarted."""
    from appliance.roles.supervisor import Plan, supervise

    settings = {
        "sallyport.advertise_ip": advertise_ip,
        "sallyport.nodename": nodename,
        "sallyport.log.severity": "DEBUG" if debug else None,
        "sallyport.log.output": "stderr" if debug else None,
        **_listen(config, listen_ip),
    }
    given = {key: value for key, value in settings.items() if value is not None}
    plan = Plan(config=config, settings=given, roles=roles, accept_clock=accept_clock)

    def on_ready(running: Config) -> None:
        if welcome:
            from appliance.cli.welcome import greet

            greet(running, config)

    sys.exit(supervise(plan, on_ready))


def _listen(path: Path, address: str | None) -> dict[str, str | None]:
    if address is None:
        return {}
    config = load(path)
    listeners = {
        "auth_service.listen_addr": config.auth_service.listen_addr,
        "proxy_service.listen_addr": config.proxy_service.listen_addr,
        "proxy_service.web_listen_addr": config.proxy_service.web_listen_addr,
    }
    host = f"[{address}]" if ":" in address else address
    return {key: f"'{host}:{value.rpartition(':')[2]}'" for key, value in listeners.items()}


@cli.command()
def configure() -> None:
    """Print a commented sample configuration, which loads unchanged."""
    click.echo(sample(), nl=False)


@cli.command()
@click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SALLYPORT_CONFIG",
    default=Path("/etc/sallyport.yaml"),
    help="The configuration file.",
)
def status(config: Path) -> None:
    """Say whether the processes of this machine answer."""
    from appliance.roles.probe import probe

    answers = probe(load(config))
    for name, problem in answers.items():
        click.echo(f"{name:<7} {problem or 'answers'}")
    sys.exit(1 if any(answers.values()) else 0)


@cli.command("help")
@click.pass_context
def show_help(context: click.Context) -> None:
    """Show this help."""
    click.echo(context.find_root().get_help())


frame.add_common(cli, "sallyport")


def main() -> None:
    """Run the command line."""
    frame.run(cli, "sallyport")


if __name__ == "__main__":
    main()
