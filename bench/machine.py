"""Where a figure was measured: the box, how busy it was, and which versions ran."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("sallyport", "asyncssh", "cryptography", "python-pkcs11", "zstandard", "cheroot", "sqlite-utils")
COMMIT = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts and versions, as they go into a report."""

    facts: dict[str, Any]
    versions: dict[str, str]


def describe(load_before: float) -> Machine:
    """Look at this machine. `load_before` is the load average from before the run."""
    facts = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "system": _system(),
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }
    return Machine(facts=facts, versions=_versions())


def load() -> float:
    """Return the load average of the last minute: how busy the machine was before we came."""
    return os.getloadavg()[0]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "openssh": _first_line("ssh", "-V")}
    found |= {name: _package(name) for name in PACKAGES}
    return {**found, "commit": _first_line(*COMMIT)}


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "not installed"
    text = (done.stdout or done.stderr).strip()
    return "unknown" if done.returncode or not text else text.splitlines()[0]
