"""`sallyport-vkey`: make a software key, look at it, and plug it where it is needed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from cryptography.hazmat.primitives.serialization import Encoding

from authenticators.virtual import ssh
from authenticators.virtual.attestation import test_root
from authenticators.virtual.device_info import capabilities
from authenticators.virtual.errors import VirtualKeyError
from authenticators.virtual.faults import NAMES, FaultPlan, parse_fault
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.profile import EDDSA, ES256, PROFILES, profile_named
from authenticators.virtual.state import KeyState
from authenticators.virtual.store import KeyFile
from authenticators.virtual.transports.ssh_agent import Agent, AgentSocket
from authenticators.virtual.transports.usbredir import listening_at, serve_usbredir
from authenticators.virtual.transports.vpcd import DEFAULT_PORT, NFC_ATR, USB_ATR, VpcdCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALGORITHMS: Final = {"ed25519": EDDSA, "ecdsa": ES256}
_key_file = click.argument("key_file", type=click.Path(path_type=Path))
_faults = click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=VALUE][@AFTER][xTIMES]",
    help=f"Misbehave from the AFTERth use of the key on, TIMES times; repeatable: {', '.join(NAMES)}.",
)
_touch = click.option(
    "--touch-after", type=float, metavar="SECONDS", help="How long the person takes to touch the key."
)


def main() -> None:
    """Run the command; a known error ends with its message and exit status 1."""
    try:
        commands(standalone_mode=True)
    except VirtualKeyError as error:
        click.echo(f"sallyport-vkey: {error}", err=True)
        sys.exit(1)


@click.group()
def commands() -> None:
    """Software security keys for tests, demos and CI. They prove nothing: never trust one."""


@commands.command()
@_key_file
@click.option("--model", default="modern", show_default=True, help="See `models`.")
def new(key_file: Path, model: str) -> None:
    """Make a key and keep it in KEY_FILE."""
    state = KeyState.fresh(profile_named(model), os.urandom)
    KeyFile(key_file).create(state)
    click.echo(f"{key_file}: {state.profile.model}, serial {state.serial}")


@commands.command()
def models() -> None:
    """List the models of keys."""
    for profile in PROFILES.values():
        version = ".".join(map(str, profile.firmware))
        click.echo(f"{profile.name:14} {version:6} {profile.aaguid}  {profile.description}")


@commands.command()
@_key_file
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(key_file: Path, form: str) -> None:
    """Show what is on the key; no secrets."""
    described = describe(KeyFile(key_file).load())
    if form == "json":
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        click.echo(f"{name + ':':20} {', '.join(value) if isinstance(value, list) else value}")


@commands.command()
def root() -> None:
    """Print the certificate of the test root that attests every virtual key (PEM). Trust it in tests only."""
    click.echo(test_root().certificate.public_bytes(Encoding.PEM).decode(), nl=False)


@commands.command()
@_key_file
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Where vpcd listens.")
@click.option(
    "--usb/--nfc", default=False, help="The ATR tools see; ykman offers FIDO on a card only over NFC."
)
@_faults
@_touch
def pcsc(
    key_file: Path, host: str, port: int, faults: tuple[str, ...], touch_after: float | None, *, usb: bool
) -> None:
    """Put the key into the virtual reader of a running pcscd (Debian: vsmartcard-vpcd)."""
    key = open_key(key_file, faults, touch_after)
    with VpcdCard(key, host=host, port=port, atr=USB_ATR if usb else NFC_ATR) as card:
        click.echo(f"serial {key.state.serial} in the reader at {host}:{port}; Ctrl-C takes it out", err=True)
        with _interrupted(card.unplug):
            card.wait()


@commands.command()
@_key_file
@click.option(
    "--address", default="127.0.0.1:0", show_default=True, help="HOST:PORT, or the path of a Unix socket."
)
@_faults
@_touch
def usbredir(key_file: Path, address: str, faults: tuple[str, ...], touch_after: float | None) -> None:
    """Offer the key as a USB device (OTP+FIDO+CCID) to a QEMU guest.

    Give QEMU: -device qemu-xhci -chardev socket,id=vkey,host=HOST,port=PORT -device usb-redir,chardev=vkey
    """
    key = open_key(key_file, faults, touch_after)
    with listening_at(address) as (listener, where):
        click.echo(f"serial {key.state.serial} at {where}; Ctrl-C takes it out", err=True)
        with _interrupted(listener.close):
            serve_usbredir(key, listener)


@commands.command()
@_key_file
@click.option("--socket", "path", type=click.Path(path_type=Path), required=True, help="For SSH_AUTH_SOCK.")
@click.option("--enrol", type=click.Choice(sorted(ALGORITHMS)), help="First make an SSH key of this kind.")
@click.option("--application", default="ssh:", show_default=True)
@click.option("--user", default="virtual", show_default=True, help="The name on the SSH key.")
@click.option("--verified", is_flag=True, help="Sign as if the person also proved a PIN or finger.")
@_faults
@_touch
def agent(
    key_file: Path,
    path: Path,
    *,
    enrol: str | None,
    application: str,
    user: str,
    faults: tuple[str, ...],
    touch_after: float | None,
    verified: bool,
) -> None:
    """Serve the SSH keys on the key to any ssh client."""
    key = open_key(key_file, faults, touch_after)
    if enrol is not None:
        ssh.enrol(key, application=application, algorithm=ALGORITHMS[enrol], user=user)
    left = threading.Event()
    with AgentSocket(agent=Agent(key=key, verified=verified), path=path).serving(), _interrupted(left.set):
        click.echo(f"SSH_AUTH_SOCK={path}; Ctrl-C ends it", err=True)
        left.wait()


def open_key(key_file: Path, faults: tuple[str, ...], touch_after: float | None) -> VirtualKey:
    """Return the key of a file with its faults; raises `VirtualKeyError`."""
    plan = FaultPlan(tuple(parse_fault(text) for text in faults))
    key = VirtualKey(store=KeyFile(key_file), entropy=os.urandom, clock=time.monotonic, faults=plan)
    if touch_after is not None:
        # For this run only: what the person does is not a property of the key in the file.
        key.person_takes = touch_after
    return key


def describe(state: KeyState) -> dict[str, Any]:
    """Return what can be shown of a key."""
    profile = state.profile
    return {
        "model": profile.model,
        "serial": state.serial,
        "aaguid": str(profile.aaguid),
        "applications": [able.name or "" for able in capabilities(profile)],
        "fido pin": "set" if state.fido.pin_hash else "not set",
        "fido pin retries": state.fido.pin_retries,
        "signature counter": state.fido.signature_counter,
        "passkeys": [f"{kept.user_name or '?'}@{kept.rp_id}" for kept in state.fido.resident],
        "otp slots": [str(n) for n, slot in ((1, state.otp.slot1), (2, state.otp.slot2)) if slot],
        "oath accounts": [kept.name.decode(errors="replace") for kept in state.oath.accounts],
        "piv pin tries": state.piv.pin_left,
        "piv keys": [f"{kept.slot:02x}" for kept in state.piv.keys],
    }


@contextmanager
def _interrupted(leave: Callable[[], None]) -> Iterator[None]:
    """Leave in order on Ctrl-C and on SIGTERM."""

    def handler(_number: int, _frame: object) -> None:
        leave()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
