"""`sally mfa ls|add|rm`: one's own second factors (mission row A7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from appliance.cli import frame, output
from appliance.cli.dialogue import Terminal
from appliance.client import Api
from appliance.client.person.proof import confirmed
from appliance.domain.decision import Factor
from appliance.domain.errors import NotFound
from appliance.domain.operations import devices
from appliance.domain.operations.operation import Nothing
from appliance.domain.operations.people import ClusterInfo, CodeProof, TotpOffer, WebauthnProof

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = {"otp": Factor.TOTP, "webauthn": Factor.WEBAUTHN}


@dataclass(frozen=True, slots=True)
class Conversation:
    """The signed-in person's calls, with the proofs they ask for."""

    api: Api
    ask: Terminal

    @property
    def origin(self) -> str:
        """The web origin that security keys sign for."""
        info: ClusterInfo = self.api.call("cluster.ping", Nothing())
        return f"https://{info.web_address.removesuffix(':443')}"

    def call(self, name: str, request: object) -> Any:
        """Do an operation, with a proof where one is needed."""
        return confirmed(self.api, name, request, origin=self.origin, ask=self.ask)


def group(connected: Callable[[str | None], Api]) -> click.Group:
    """Return the command group; `connected` makes the client of the signed-in person."""

    @click.group("mfa", cls=frame.Answers)
    @click.pass_context
    def mfa(context: click.Context) -> None:
        """Your second factors."""
        context.obj = Conversation(connected(context.obj), Terminal())

    for command in (ls, add, remove):
        mfa.add_command(command)
    return mfa


@click.command("ls", cls=frame.Answer)
@click.pass_obj
def ls(person: Conversation) -> None:
    """List your devices."""
    found: devices.DeviceList = person.api.call("devices.list", Nothing())
    output.show(found, lambda: table(found))


def table(found: devices.DeviceList) -> str:
    """Return devices as a table."""
    columns: output.Columns = (
        ("Name", lambda one: one.name),
        ("Kind", lambda one: one.factor),
        ("Model", lambda one: one.model or "-"),
        ("Added", lambda one: output.when(one.created_at)),
        ("Last used", lambda one: output.when(one.last_used) if one.last_used else "never"),
    )
    return output.table(found.devices, columns, empty="no devices: sally mfa add NAME")


@click.command("add", cls=frame.Answer)
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(tuple(KINDS)), default="webauthn", show_default=True)
@click.pass_obj
def add(person: Conversation, name: str, kind: str) -> None:
    """Add a device called NAME, by the word of one you have."""
    begin = devices.DeviceBegin(factor=KINDS[kind], name=name)
    offered: devices.DeviceOffered = person.call("devices.begin", begin)
    proof: CodeProof | WebauthnProof
    if isinstance(offered.offer, TotpOffer):
        proof = CodeProof(code=person.ask.new_app(offered.offer.secret, offered.offer.uri))
    else:
        click.echo("Now the new key.", err=True)
        proof = WebauthnProof(response=person.ask.new_key(offered.offer.options, person.origin))
    done = person.api.call("devices.finish", devices.DeviceFinish(id=offered.id, proof=proof))
    output.show(done, lambda: f"{output.plain(name)} was added.")


@click.command("rm", cls=frame.Answer)
@click.argument("name")
@click.pass_obj
def remove(person: Conversation, name: str) -> None:
    """Remove the device called NAME, by the word of another one."""
    found: devices.DeviceList = person.api.call("devices.list", Nothing())
    device = next((one for one in found.devices if one.name == name), None)
    if device is None:
        raise NotFound(f"you have no device called {name}: sally mfa ls")
    left: devices.DeviceList = person.call("devices.remove", devices.DeviceNamed(id=device.id))
    output.show(left, lambda: f"{output.plain(name)} was removed.")
