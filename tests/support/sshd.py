"""A real Debian sshd on a free port of the loopback, as a throw-away node that trusts a CA."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = "/usr/sbin/sshd"
START_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """Where the node answers. `host_key` is its public key line."""

    folder: Path
    port: int
    login: str
    host_key: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def make_host_key(folder: Path) -> str:
    """Make the node's own key; return its public line, for an authority to certify."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host")], check=True, timeout=30
    )
    return (folder / "host.pub").read_text()


@contextmanager
def running_sshd(
    folder: Path, *, user_authority: str, host_certificate: str, extra: tuple[str, ...] = ()
) -> Iterator[Sshd]:
    """Run sshd with the key of `make_host_key`, its certificate, and TrustedUserCAKeys."""
    (folder / "host-cert.pub").write_text(host_certificate)
    (folder / "ca.pub").write_text(user_authority)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    (folder / "config").write_text("\n".join([*_lines(folder, port), *extra]) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        _wait(port, process, folder)
        yield Sshd(
            folder=folder, port=port, login=getpass.getuser(), host_key=(folder / "host.pub").read_text()
        )
    finally:
        process.terminate()
        process.wait(timeout=10)


def _lines(folder: Path, port: int) -> list[str]:
    return [
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {folder}/host",
        f"HostCertificate {folder}/host-cert.pub",
        f"TrustedUserCAKeys {folder}/ca.pub",
        f"PidFile {folder}/pid",
        "AuthorizedKeysFile none",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "UsePAM no",
        "StrictModes no",
        "LogLevel VERBOSE",
        "AcceptEnv LANG LC_*",
        "Subsystem sftp internal-sftp",
        "MaxStartups 100:30:200",
        "PrintMotd no",
    ]


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("sshd did not start: " + (folder / "log").read_text())
