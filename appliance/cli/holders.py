"""The ceremony of a sealed start: holders come with their YubiKeys, one after another, to one console."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import click

from appliance.domain.errors import Invalid, NotFound
from appliance.roles.layout import Layout
from authenticators.devices.prompter import TerminalPrompter
from authenticators.devices.yubikey import YubiKeySlot, list_yubikeys
from authenticators.errors import DeviceError, DeviceErrorCode
from authenticators.otp.challenge_response import SECRET_BYTES
from authenticators.secret import Secret as Kept
from hsm import sealing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.cli.console import Console
    from hsm.secret import Secret

Slot = Literal[1, 2]
FEWEST_HOLDERS = 2


def parsed(holders: str, threshold: int) -> tuple[str, ...]:
    """Return the holders' names; raises `Invalid`."""
    names = tuple(name.strip() for name in holders.split(",") if name.strip())
    if len(set(names)) != len(names) or not FEWEST_HOLDERS <= len(names) <= sealing.MOST_HOLDERS:
        raise Invalid(f"holders: expected {FEWEST_HOLDERS} to {sealing.MOST_HOLDERS} different names")
    if not 1 <= threshold <= len(names):
        raise Invalid(f"threshold: expected 1 to {len(names)}, the number of holders")
    return names


@dataclass(kw_only=True)
class Seen:
    """Which YubiKeys were used so far, by serial: one key is one holder."""

    holders: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PresentKey:
    """The one YubiKey that is plugged in."""

    slot: int
    serial: int | None

    def is_of(self, name: str, seen: Seen) -> None:
        """Remember whose it is."""
        if self.serial is not None:
            seen.holders[self.serial] = name

    def respond(self, challenge: bytes) -> Kept:
        """Return HMAC-SHA1 of the challenge; asks for a touch where the slot wants one."""
        return self._slot().respond(challenge)

    def program(self) -> None:
        """Write a fresh secret, which nobody ever sees, into the slot."""
        self._slot().program(Kept(os.urandom(SECRET_BYTES)), touch=True)

    def _slot(self) -> YubiKeySlot:
        return YubiKeySlot(prompter=TerminalPrompter(), slot=cast("Slot", self.slot), serial=self.serial)


def plugged_in(name: str, slot: int, seen: Seen) -> PresentKey:
    """Ask for a holder's YubiKey until exactly one is there that nobody else used."""
    while True:
        click.prompt(
            f"{name}: plug in your YubiKey, alone, and press Enter", default="", show_default=False, err=True
        )
        found = list_yubikeys()
        if len(found) != 1:
            click.echo(f"{len(found)} YubiKeys are there: expected one.", err=True)
            continue
        serial = found[0].serial
        other = seen.holders.get(serial, name) if serial is not None else name
        if other != name:
            click.echo(f"That is the key of {other}.", err=True)
            continue
        return PresentKey(slot=slot, serial=serial)


class HoldersKey:
    """A holder's key during the set-up: asked for when it is needed."""

    def __init__(self, name: str, *, slot: int, program: bool, seen: Seen) -> None:
        self._name = name
        self._slot = slot
        self._program = program
        self._seen = seen

    def respond(self, challenge: bytes) -> Kept:
        """See `ChallengeResponse.respond`."""
        key = plugged_in(self._name, self._slot, self._seen)
        answer = self._answer(key, challenge)
        key.is_of(self._name, self._seen)
        return answer

    def _answer(self, key: PresentKey, challenge: bytes) -> Kept:
        try:
            return key.respond(challenge)
        except DeviceError as error:
            if error.code is not DeviceErrorCode.SLOT_EMPTY or not self._program:
                raise
        key.program()
        return key.respond(challenge)


def set_up(console: Console, pin: Secret, keys: Mapping[str, HoldersKey], threshold: int) -> Path:
    """Ask every holder's key once and keep the seal; returns its file."""
    config = console.config
    sealed = sealing.seal(pin, keys, threshold, config.auth_service.cluster_name, os.urandom)
    path = Layout(config.data_dir).seal
    _write(path, sealed)
    return path


def gather(console: Console, slot: int) -> None:
    """Gather holders until there are enough, unseal the signer, and keep their new challenges."""
    path = Layout(console.config.data_dir).seal
    if not path.exists():
        raise NotFound("no PIN is shared among holders: sallyctl seal setup --holders=… --threshold=…")
    sealed = sealing.load(path.read_text())
    gathering, renewed, seen = sealing.Gathering(sealed), sealed, Seen()
    names = ", ".join(holder.name for holder in sealed.holders)
    while gathering.missing:
        name = click.prompt(f"{gathering.missing} more of {names}. Who comes", err=True).strip()
        try:
            sealed.holder(name)
            key = plugged_in(name, slot, seen)
            gathering.add(name, key)
            key.is_of(name, seen)
            renewed = sealing.renew(renewed, name, key, os.urandom)
        except (sealing.SealError, DeviceError) as error:
            click.echo(f"{error}", err=True)
    console.signer.unseal(gathering.pin())
    _write(path, renewed)


def _write(path: Path, sealed: sealing.SealedPin) -> None:
    """Replace the file whole: half a seal opens nothing."""
    draft = path.with_suffix(".draft")
    with draft.open("w") as file:
        file.write(sealing.dump(sealed))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
