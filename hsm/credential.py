"""A PIN kept by systemd: encrypted under the TPM (or the host's key) by `systemd-creds`.

`store` and `release` run the program with fixed arguments; the PIN goes through pipes only. A unit with
`LoadCredentialEncrypted=signer-pin:…` gets it decrypted in `$CREDENTIALS_DIRECTORY`, which `loaded` reads.
`ask` is the third way: a person at the console.
"""

from __future__ import annotations

import getpass
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from hsm.errors import HsmError
from hsm.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

NAME = "signer-pin"
PROGRAM = "systemd-creds"
_SECONDS = 60
Run = Callable[[Sequence[str], bytes], bytes]


class CredentialError(HsmError):
    """systemd-creds could not do it; the message is its own first line."""


class BoundTo(StrEnum):
    """What the credential can be decrypted with."""

    TPM2 = "tpm2"
    HOST_AND_TPM2 = "host+tpm2"
    HOST = "host"


def run(command: Sequence[str], data: bytes) -> bytes:
    """Run a program with data on its standard input and return what it prints; raises `CredentialError`."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CredentialError(f"{command[0]} cannot be run") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines()
        raise CredentialError(f"{command[0]}: {lines[0][:200] if lines else 'failed without a word'}")
    return done.stdout


def store(pin: Secret, path: Path, bound_to: BoundTo, *, run: Run = run) -> None:
    """Encrypt the PIN into a file; only this machine (its TPM, its host key) can decrypt it."""
    path.unlink(missing_ok=True)
    run((PROGRAM, f"--name={NAME}", f"--with-key={bound_to}", "encrypt", "-", str(path)), pin.reveal())


def release(path: Path, *, run: Run = run) -> Secret:
    """Return the PIN of an encrypted file."""
    return Secret(run((PROGRAM, f"--name={NAME}", "decrypt", str(path), "-"), b""))


def loaded(directory: Path) -> Secret | None:
    """Return the PIN that systemd decrypted for this unit (`$CREDENTIALS_DIRECTORY`), if there is one."""
    path = directory / NAME
    return Secret(path.read_bytes()) if path.is_file() else None


def ask(prompt: str = "PIN of the token: ") -> Secret:
    """Ask a person on the terminal; what is typed is not shown."""
    return Secret(getpass.getpass(prompt, stream=sys.stderr))
