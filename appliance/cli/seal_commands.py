"""`sallyctl seal|unseal|seal-status`: the token's PIN, given away, gathered, taken back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli import frame, output
from hsm.signer.protocol import SealState

if TYPE_CHECKING:
    from appliance.cli.console import Console
    from hsm.secret import Secret

pin_file_option = click.option(
    "--pin-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the PIN.",
)
slot_option = click.option(
    "--slot",
    type=click.Choice(["1", "2"]),
    default="2",
    show_default=True,
    help="Slot of the YubiKeys.",
)


def _pin(pin_file: Path | None) -> Secret:
    from hsm import secret

    if pin_file is not None:
        return secret.Secret(pin_file.read_bytes().strip())
    return secret.Secret(click.prompt("PIN", hide_input=True, err=True).encode())


@click.group(cls=frame.Answers, invoke_without_command=True)
@click.pass_context
def seal(context: click.Context) -> None:
    """Make the signer forget its PIN: nothing can be signed until somebody unseals it."""
    if context.invoked_subcommand is None:
        context.obj.signer.seal()
        click.echo("Sealed. Everything else goes on; sallyctl unseal opens it again.")


@seal.command("setup")
@click.option("--holders", required=True, help="Two to seven names, separated by commas.")
@click.option("--threshold", required=True, type=int, help="How many of them open it together.")
@click.option("--program", is_flag=True, help="Write a fresh secret into slots that are empty.")
@slot_option
@pin_file_option
@click.pass_obj
def seal_setup(
    console: Console, holders: str, threshold: int, program: bool, slot: str, pin_file: Path | None
) -> None:
    """Divide the PIN among HOLDERS, of whom any THRESHOLD open the signer with their YubiKeys.

    The PIN is tried first, for which the signer is sealed for a moment. Use with `unseal: yubikeys`.
    """
    from appliance.cli import holders as ceremony

    names = ceremony.parsed(holders, threshold)
    pin = _pin(pin_file)
    console.signer.seal()
    console.signer.unseal(pin)
    seen = ceremony.Seen()
    keys = {name: ceremony.HoldersKey(name, slot=int(slot), program=program, seen=seen) for name in names}
    path = ceremony.set_up(console, pin, keys, threshold)
    click.echo(f"{threshold} of {', '.join(names)} open it now: sallyctl unseal --yubikey. Kept in {path}.")


@seal.command("store")
@click.option(
    "--with-key",
    type=click.Choice(["tpm2", "host+tpm2", "host"]),
    default="tpm2",
    show_default=True,
    help="What decrypts it: this machine's TPM, its host key, or both.",
)
@pin_file_option
@click.pass_obj
def seal_store(console: Console, with_key: str, pin_file: Path | None) -> None:
    """Give the PIN to systemd-creds, which releases it on this machine only.

    Use with `unseal: systemd-creds`.
    """
    from appliance.roles.layout import Layout
    from hsm import credential

    pin = _pin(pin_file)
    console.signer.seal()
    console.signer.unseal(pin)
    path = Layout(console.config.data_dir).credential
    credential.store(pin, path, credential.BoundTo(with_key))
    click.echo(f"Kept in {path}; this machine alone can read it.")


@click.command(cls=frame.Answer)
@click.option("--yubikey", is_flag=True, help="Gather holders with their YubiKeys, one after another.")
@slot_option
@pin_file_option
@click.pass_obj
def unseal(console: Console, yubikey: bool, slot: str, pin_file: Path | None) -> None:
    """Give the signer its PIN. A wrong one is tried once, and never as the token's last try."""
    if yubikey:
        from appliance.cli import holders as ceremony

        ceremony.gather(console, int(slot))
    else:
        console.signer.unseal(_pin(pin_file))
    click.echo("Open.")


@click.command("seal-status", cls=frame.Answer)
@click.pass_obj
def seal_status(console: Console) -> None:
    """Say whether the signer is sealed; status 1 when it can't sign."""
    report = console.signer.status()
    output.show(report, lambda: str(report.state) + (f": {report.reason}" if report.reason else ""))
    sys.exit(0 if report.state is SealState.OPEN else 1)
