"""Key and certificate in the running ssh-agent, for as long as the certificate lives."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 10


def add(key: Path, lifetime: int) -> bool:
    """Put the key, with the certificate beside it, into the agent.

    Returns whether there is one that took it.
    """
    return _ssh_add("-q", "-t", str(lifetime), str(key))


def remove(key: Path) -> bool:
    """Take the key and its certificate out of the agent again."""
    return _ssh_add("-q", "-d", str(key))


def _ssh_add(*arguments: str) -> bool:
    tool = shutil.which("ssh-add")
    if tool is None or not os.environ.get("SSH_AUTH_SOCK"):
        return False
    done = subprocess.run(
        [tool, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False
    )
    return done.returncode == 0
