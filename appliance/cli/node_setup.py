"""Adding a stock sshd: its host key, and what to put on the machine."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import click

from appliance.domain import names
from appliance.domain.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.domain.operations.nodes import NodeAdded

SCAN_SECONDS = 10
KINDS = "ed25519,ecdsa,rsa"
PREFERENCE = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def confirmed_host_key(address: str, *, yes: bool) -> str:
    """Ask the machine for its host key and the administrator whether it is the right one."""
    line = _scan(address)
    blob = base64.b64decode(line.split()[1])
    fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    click.echo(f"{address} shows the host key {line.split()[0]} {fingerprint}", err=True)
    click.echo("Compare it at the machine: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", err=True)
    if not yes:
        click.confirm("Is this the machine's key?", abort=True, err=True)
    return line


def _scan(address: str) -> str:
    host, port = names.host_port(address, default_port=22)
    tool = shutil.which("ssh-keyscan")
    if tool is None:
        raise Unavailable("ssh-keyscan is not installed: give the key with --host-key FILE")
    command = [tool, "-T", str(SCAN_SECONDS), "-p", str(port), "-t", KINDS, "--", host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * SCAN_SECONDS, check=False)
    keys = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line and line[0] != "#"]
    if not keys:
        raise Unavailable(f"no SSH server answers at {host}:{port}: is it up, or give --host-key FILE")
    return min(keys, key=lambda line: _rank(line.split()[0]))


def _rank(kind: str) -> int:
    return PREFERENCE.index(kind) if kind in PREFERENCE else len(PREFERENCE)


def instructions(added: NodeAdded, out: Path | None) -> str:
    """Return what to do on the machine; with `out`, the files are written there and only named."""
    files = {
        f"{added.name}-user-ca.pub": added.trusted_user_ca_keys,
        f"{added.name}-host-cert.pub": added.host_certificate,
    }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text)
    shown = "\n".join(
        f"{name}:\n{text}" if out is None else f"  {out / name}" for name, text in files.items()
    )
    return (
        f"Node {added.name} has been added.\nPut these two files into /etc/ssh of the machine:\n\n{shown}\n\n"
        "and these lines into its sshd_config, then reload sshd:\n\n"
        f"  TrustedUserCAKeys /etc/ssh/{added.name}-user-ca.pub\n"
        f"  HostCertificate /etc/ssh/{added.name}-host-cert.pub"
    )
