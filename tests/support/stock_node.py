"""An untouched sshd, later told to trust a cluster as administrators do it: two files, two lines, reload."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.sshd import SSHD, free_port, make_host_key

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 10


@dataclass(kw_only=True)
class StockNode:
    """A node of the loopback with its configuration in `folder`. `login` is an account that it has."""

    folder: Path
    port: int
    login: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def trust(self, user_authority: Path, host_certificate: Path) -> str:
        """Add the two lines to its configuration and reload it; returns the lines."""
        lines = f"TrustedUserCAKeys {user_authority}\nHostCertificate {host_certificate}\n"
        with (self.folder / "sshd_config").open("a") as file:
            file.write(lines)
        if self.process is not None:
            reloads = self._log().count("Server listening")
            self.process.send_signal(signal.SIGHUP)
            self._wait_for_listening(reloads + 1)
        return lines

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        (self.folder / "sshd_config").write_text("\n".join(self._untouched()) + "\n")
        with (self.folder / "sshd.log").open("wb") as log:
            command = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        self._wait_for_listening(1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_SECONDS)

    def _untouched(self) -> list[str]:
        """What Debian's file says, and what makes a second sshd on one machine possible."""
        return [
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.folder}/host",
            f"PidFile {self.folder}/pid",
            "KbdInteractiveAuthentication no",
            "PasswordAuthentication no",
            "UsePAM no",
            "X11Forwarding yes",
            "PrintMotd no",
            "AcceptEnv LANG LC_*",
            "Subsystem sftp /usr/lib/openssh/sftp-server",
            "StrictModes no",
        ]

    def _wait_for_listening(self, times: int) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while self._log().count("Server listening") < times or not self._answers():
            if time.monotonic() > until or (self.process is not None and self.process.poll() is not None):
                raise AssertionError(f"sshd did not start: {self._log()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")


@contextmanager
def running_node(folder: Path) -> Iterator[StockNode]:
    """Run a node that knows of no cluster."""
    make_host_key(folder)
    node = StockNode(folder=folder, port=free_port(), login=getpass.getuser())
    node.start()
    try:
        yield node
    finally:
        node.stop()
