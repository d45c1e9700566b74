"""`sally`: a person on their own machine."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import click

from appliance.cli import frame, mfa_commands, output
from appliance.cli.durations import TtlType
from appliance.client import Api, TlsTransport
from appliance.client.person import agent, sign_in, trust
from appliance.client.person.home import Home, Profile
from appliance.client.person.ssh_config import known_hosts, ssh_config
from appliance.client.transport import tls_context
from appliance.domain.errors import NotFound
from appliance.domain.operations import journal, nodes
from appliance.domain.operations.operation import Nothing
from appliance.system import SystemClock


@click.group(cls=frame.Answers, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--proxy", envvar="SALLY_PROXY", help="host:port of the cluster's web address.")
@click.pass_context
def cli(context: click.Context, proxy: str | None) -> None:
    """Sign in to a Sallyport cluster and use its nodes with the ssh you have."""
    context.obj = proxy


proxy_option = click.option("--proxy", "own_proxy", help="host:port of the cluster's web address.")


@cli.command()
@proxy_option
@click.option("--user", help="Your name in the cluster.")
@click.option("--ttl", type=TtlType(), help="How long the certificate shall live, from 1m to 30h.")
@click.option(
    "--mfa-mode",
    type=click.Choice([mode.value for mode in sign_in.MfaMode]),
    default=sign_in.MfaMode.AUTO.value,
    show_default=True,
    help="Which second factor to use.",
)
@click.option("--browser", is_flag=True, help="Sign in with a browser, which may be on another machine.")
@click.option("--ca-pin", help="The cluster's pin, as its administrator told you: sha256:…")
@click.pass_obj
def login(
    proxy: str | None,
    own_proxy: str | None,
    user: str | None,
    ttl: int | None,
    mfa_mode: str,
    browser: bool,
    ca_pin: str | None,
) -> None:
    """Sign in: password and second factor in, certificates out."""
    from appliance.cli.dialogue import Terminal

    home, ask = Home.default(), Terminal()
    address = own_proxy or proxy or _last_proxy(home)
    contact = trust.contact(home, address, pin=ca_pin, confirm=ask.confirm_pin)
    if browser:
        done = sign_in.in_the_browser(contact, ttl=ttl, ask=ask)
    else:
        name = user or click.prompt("User", err=True)
        done = sign_in.at_the_prompt(contact, name, ttl=ttl, mode=sign_in.MfaMode(mfa_mode), ask=ask)
    profile = sign_in.profile_of(contact, address, done.issued)
    _keep(home, profile, done)
    left = int((profile.expires_at - SystemClock().now()).total_seconds())
    in_agent = agent.add(home.key(profile), left)
    output.show(profile, lambda: _summary(profile) + ("\nYour ssh-agent has the key." if in_agent else ""))


def _last_proxy(home: Home) -> str:
    try:
        return home.current().proxy
    except NotFound as error:
        raise click.UsageError("which cluster? --proxy=HOST:PORT") from error


def _keep(home: Home, profile: Profile, done: sign_in.SignedIn) -> None:
    from ssl import DER_cert_to_PEM_cert

    issued, keys = done.issued, done.keys
    files = {
        home.key(profile): keys.ssh_private,
        home.key(profile).with_name(f"{profile.user}.pub"): keys.ssh_public.encode() + b"\n",
        home.certificate(profile): issued.ssh_certificate.encode() + b"\n",
        home.tls(profile): keys.tls_private + DER_cert_to_PEM_cert(issued.tls_certificate).encode(),
        home.known_hosts(profile): known_hosts(profile.cluster, issued.host_authority).encode(),
        home.authority(profile.proxy): trust.pem(issued.tls_authorities).encode(),
    }
    home.save(profile, files)


def _summary(profile: Profile) -> str:
    left = max(timedelta(0), profile.expires_at - SystemClock().now())
    until = profile.expires_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    hours, minutes = divmod(int(left.total_seconds()) // 60, 60)
    life = f"{until} ({hours}h{minutes:02d}m left)" if left else f"{until} (expired: sally login)"
    rows = {
        "Proxy": profile.proxy,
        "Signed in as": profile.user,
        "Cluster": profile.cluster,
        "Roles": ", ".join(profile.roles),
        "Logins": ", ".join(profile.logins),
        "Valid until": life,
    }
    return "\n".join(f"{name:<12} {value}" for name, value in rows.items())


@cli.command()
@click.pass_obj
def status(proxy: str | None) -> None:
    """Show who is signed in, where, and for how long; status 1 when that is over."""
    profile = Home.default().current(proxy)
    output.show(profile, lambda: _summary(profile))
    sys.exit(0 if profile.expires_at > SystemClock().now() else 1)


@cli.command()
@click.pass_obj
def logout(proxy: str | None) -> None:
    """Sign out: remove keys and certificates from this machine and from the ssh-agent."""
    home = Home.default()
    profile = home.current(proxy)
    agent.remove(home.key(profile))
    home.forget(profile)
    click.echo(f"{profile.user} is signed out of {profile.proxy}.")


@cli.command()
@click.pass_obj
def ls(proxy: str | None) -> None:
    """List the nodes you can log in to."""
    api, profile = _api(proxy)
    found: nodes.NodeList = api.call("nodes.list", Nothing())
    columns: output.Columns = (
        ("Node Name", lambda node: node.name),
        (
            "Log in with",
            lambda node: _command(node, profile),
        ),
        ("Logins", lambda node: ",".join(node.logins)),
        ("Labels", lambda node: output.labels(node.labels)),
    )
    output.show(found, lambda: output.table(found.nodes, columns, empty="no node is open to you"))


def _command(node: nodes.NodeView, profile: Profile) -> str:
    return f"ssh {node.logins[0]}@{node.name}.{profile.cluster}" if node.logins else "-"


@cli.command()
@click.pass_obj
def config(proxy: str | None) -> None:
    """Print an OpenSSH client configuration, for ~/.ssh/config or `ssh -F`."""
    home = Home.default()
    click.echo(ssh_config(home, home.current(proxy)), nl=False)


@cli.command()
@click.option("--limit", default=20, show_default=True)
@click.pass_obj
def sessions(proxy: str | None, limit: int) -> None:
    """List sessions you may see, newest first."""
    from appliance.cli.sallyctl import session_table

    api, _ = _api(proxy)
    found: journal.SessionList = api.call("sessions.list", journal.SessionsQuery(limit=limit))
    output.show(found, lambda: session_table(found.sessions))


@cli.command()
@click.argument("session")
@click.option("--speed", default=1.0, show_default=True, help="2 plays twice as fast; 0 without pauses.")
@click.option("--idle", default=2.0, show_default=True, help="The longest pause, in seconds.")
@click.option("--cast", type=click.Path(dir_okay=False, path_type=Path), help="Write an asciicast instead.")
@click.pass_obj
def play(proxy: str | None, session: str, speed: float, idle: float, cast: Path | None) -> None:
    """Replay the recorded SESSION in this terminal."""
    from appliance.cli.player import fetch_cast, fetch_recording, replay

    api, _ = _api(proxy)
    if cast is not None:
        cast.write_text(fetch_cast(api, session))
        click.echo(f"written to {cast}", err=True)
        return
    with fetch_recording(api, session) as path:
        replay(path, speed=speed, idle=idle)


def _api(proxy: str | None) -> tuple[Api, Profile]:
    home = Home.default()
    profile = home.current(proxy)
    if profile.expires_at <= SystemClock().now():
        raise click.ClickException("your certificate has expired: sally login")
    authority = home.authority(profile.proxy).read_text()
    context = tls_context(authority, home.tls(profile))
    return Api(TlsTransport([profile.api_address], context)), profile


cli.add_command(mfa_commands.group(lambda proxy: _api(proxy)[0]))
frame.add_common(cli, "sally")


def main() -> None:
    """Run the command line."""
    frame.run(cli, "sally")


if __name__ == "__main__":
    main()
