"""Throw-away OpenSSH servers on free ports of the loopback, each counted by a meter of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.frame import BenchError
from bench.meter import Meter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 10
SEPARATION = Path("/run/sshd")
SETTINGS = (
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "PermitRootLogin prohibit-password",
    "UsePAM no",
    "StrictModes no",
    "PrintMotd no",
    "PrintLastLog no",
    "LogLevel ERROR",
    "MaxStartups 4000",
    "Subsystem sftp internal-sftp",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    """A running server."""

    port: int
    meter: Meter


def free_port() -> int:
    """Return a port nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def make_key(path: Path) -> str:
    """Make an Ed25519 key pair; return its public line."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, timeout=30)
    return path.with_name(f"{path.name}.pub").read_text(encoding="ascii").strip()


@contextmanager
def running(name: str, folder: Path, port: int, *settings: str) -> Iterator[Sshd]:
    """Run sshd with the host key `folder/host`; stop it, and every connection of it, with the block."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or "sshd"
    if os.geteuid() == 0:
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
    own = (f"ListenAddress 127.0.0.1:{port}", f"HostKey {folder}/host", "PidFile none")
    (folder / "config").write_text("\n".join((*own, *settings, *SETTINGS, "")), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        command = [program, "-D", "-e", "-f", str(folder / "config")]
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
    meter = metered(name, [process.pid])
    try:
        _wait_open(port, process, folder)
        yield Sshd(port=port, meter=meter)
    finally:
        _stop(process, meter)


def _wait_open(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise BenchError(f"sshd did not start: {(folder / 'log').read_text(errors='replace')[-500:]}")


def _stop(process: subprocess.Popen[bytes], meter: Meter) -> None:
    """End the listener first, then what is left of its connections."""
    left = [pid for pid in meter.pids() if pid != process.pid]
    process.terminate()
    process.wait(30)
    for pid in left:
        _end(pid)
    until = time.monotonic() + START_SECONDS
    while meter.pids() and time.monotonic() < until:
        time.sleep(0.05)
    meter.close()


def _end(pid: int) -> None:
    try:
        os.kill(pid, 15)
    except ProcessLookupError:
        return


def run_tool(command: list[str]) -> None:
    """Run a tool of OpenSSH; raises `BenchError` with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise BenchError(f"{command[0]}: {done.stderr.strip()}")
