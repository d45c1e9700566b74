"""A SoftHSM 2 of a test's own: real module, real PKCS#11, thrown away afterwards.

SoftHSM reads `SOFTHSM2_CONF` when it is initialised, so a process has one store: `shared_store` makes
it at the first call, and each test takes a fresh token in it.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, SO_PIN = "1234", "5678"


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """A store of tokens in a folder."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> SoftHsm:
        """Make the store and point this process (and its children) at it."""
        tokens = folder / "tokens"
        tokens.mkdir(mode=0o700)
        configuration = f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        (folder / "softhsm2.conf").write_text(configuration)
        os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs to see this store."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def make_token(self, label: str, pin: str = PIN) -> Path:
        """Make a token and return its folder; moving that folder away is pulling the token."""
        before = set((self.folder / "tokens").iterdir())
        command = [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            pin,
            "--so-pin",
            SO_PIN,
        ]
        subprocess.run(command, check=True, capture_output=True, env=self.environment)
        (made,) = set((self.folder / "tokens").iterdir()) - before
        return made

    def pull(self, token: Path) -> Path:
        """Take the token out; returns where it is meanwhile."""
        away = self.folder / f"pulled-{token.name}"
        token.rename(away)
        return away

    def put_back(self, token: Path) -> None:
        """Put a pulled token back in."""
        (self.folder / f"pulled-{token.name}").rename(token)

    def uri(self, label: str) -> str:
        """The RFC 7512 URI of a token."""
        return f"pkcs11:token={label}?module-path={MODULE}"


@functools.cache
def shared_store() -> SoftHsm:
    """The store of this process."""
    folder = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return SoftHsm.make(folder)


_numbers = itertools.count(1)


def fresh_label() -> str:
    """A token label that no other test uses."""
    return f"token{next(_numbers)}"
