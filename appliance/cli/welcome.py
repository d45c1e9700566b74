"""What a person sees when the appliance has started on a machine of their own, and what to do next."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.client import Api, PinnedAuthority, UnixTransport
from appliance.config.addresses import Addresses
from appliance.domain.operations import custody, people
from appliance.domain.operations.operation import Nothing

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.config import Config

FIRST = "admin"
FIRST_LOGINS = ("root",)
FIRST_ROLES = ("editor", "access", "auditor")


def greet(config: Config, path: Path) -> None:
    """Print addresses, fingerprints, the first administrator's link if it is wanted, and what comes next."""
    api = Api(UnixTransport(config.data_dir / "run" / "console.sock"))
    try:
        _print(api, config, path)
    finally:
        api.close()


def _print(api: Api, config: Config, path: Path) -> None:
    info: people.ClusterInfo = api.call("cluster.ping", Nothing())
    authorities: custody.AuthorityList = api.call("authorities.list", Nothing())
    addresses = Addresses.of(config)
    pin = PinnedAuthority.of(info.tls_authority).pin
    click.echo(f"\nSallyport {info.server_version}, cluster {info.cluster}")
    click.echo(
        f"  web pages   https://{addresses.web}/web/trust  (first, let your browser trust this cluster)"
    )
    click.echo(f"  ssh         {addresses.ssh}")
    click.echo(f"  pin         {pin}")
    for one in authorities.authorities:
        click.echo(f"  {one.kind + ' CA':<11} {one.fingerprint}")
    link = _first_link(api)
    user = link.user if link else FIRST
    if link is not None:
        click.echo(f"\nThe first administrator's sign-up link, good once and until {_when(link.expires_at)}:")
        click.echo(f"  {link.url}")
    click.echo("\nWhat next, in another terminal:")
    for line in _next(config, path, addresses, pin, user):
        click.echo(f"  {line}")
    click.echo("\nCtrl-C stops everything; the same command starts it again with the same state.")


def _next(config: Config, path: Path, addresses: Addresses, pin: str, user: str) -> list[str]:
    cluster, host = config.auth_service.cluster_name, socket.gethostname()
    sallyctl, sally = _command("sallyctl"), _command("sally")
    return [
        f"{sallyctl} -c {path} nodes add {host} --openssh --addr=127.0.0.1:22 --labels=env=dev",
        f"{sally} login --proxy={addresses.web} --user={user} --ca-pin={pin}",
        f"{sally} config >> ~/.ssh/config",
        f"ssh root@{host}.{cluster}",
    ]


def _command(name: str) -> str:
    """Return a command as it can be typed here: a checkout's own are not on the search path."""
    beside = Path(sys.argv[0]).with_name(name)
    return name if shutil.which(name) or not beside.exists() else str(beside)


def _first_link(api: Api) -> people.InviteLink | None:
    """Return a link for the first administrator, or None when somebody has signed up already."""
    users: people.UserList = api.call("users.list", Nothing())
    if any(user.active for user in users.users):
        return None
    if any(user.name == FIRST for user in users.users):
        link: people.InviteLink = api.call("users.reset", people.UserNamed(name=FIRST))
        return link
    created: people.InviteLink = api.call(
        "users.create", people.UserCreate(name=FIRST, logins=FIRST_LOGINS, roles=FIRST_ROLES)
    )
    return created


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M")
