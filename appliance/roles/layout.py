"""Where everything lies under `data_dir`. Folders are made closed, and refused when they are open (D4)."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from appliance.domain.errors import Unavailable

CLOSED = 0o700
LONGEST_SOCKET_PATH = 107
"""Bytes that a Unix socket's path may have: `sun_path` of unix(7), without its end."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and sockets of one box."""

    root: Path

    def __post_init__(self) -> None:
        """Refuse a folder whose sockets would have no valid name."""
        spare = LONGEST_SOCKET_PATH - len(os.fsencode(self.signer_console))
        if spare < 0:
            raise Unavailable(f"data_dir: {self.root} is {-spare} bytes too long: sockets lie under it")

    @property
    def run(self) -> Path:
        """Sockets between the processes."""
        return self.root / "run"

    @property
    def signer_auth(self) -> Path:
        """The signer's socket for auth."""
        return self.run / "signer-auth.sock"

    @property
    def signer_console(self) -> Path:
        """The signer's socket for the box's administrator."""
        return self.run / "signer-console.sock"

    @property
    def console(self) -> Path:
        """The API's socket for the box's administrator."""
        return self.run / "console.sock"

    @property
    def proxy(self) -> Path:
        """The API's socket for the SSH workers."""
        return self.run / "proxy.sock"

    @property
    def web(self) -> Path:
        """The API's socket for the web process."""
        return self.run / "web.sock"

    @property
    def token(self) -> Path:
        """The encrypted-file token and its pass phrase."""
        return self.root / "token"

    @property
    def ledger(self) -> Path:
        """The signer's ledger."""
        return self.root / "signer" / "ledger.jsonl"

    @property
    def seal(self) -> Path:
        """The PIN as the holders' YubiKeys release it; not a secret."""
        return self.root / "signer" / "seal.json"

    @property
    def credential(self) -> Path:
        """The PIN as systemd-creds releases it on this machine."""
        return self.root / "signer" / "pin.cred"

    @property
    def auth(self) -> Path:
        """The auth service's store, seed key and TLS key."""
        return self.root / "auth"

    @property
    def log(self) -> Path:
        """The audit log, a file a day."""
        return self.root / "log"

    @property
    def recordings(self) -> Path:
        """The recorded sessions."""
        return self.log / "sessions" / "default"

    @property
    def proxy_state(self) -> Path:
        """The SSH host key and the workers' spools."""
        return self.root / "proxy"

    @property
    def web_state(self) -> Path:
        """The web pages' TLS key and certificate."""
        return self.root / "web"


def closed(folder: Path) -> Path:
    """Return the folder, made if it is missing; raises `Unavailable` when others could look inside."""
    try:
        folder.mkdir(mode=CLOSED, parents=True, exist_ok=True)
        found = folder.stat()
    except FileExistsError as error:
        raise Unavailable(f"{folder} can't be used: expected a folder, it is a file") from error
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise Unavailable(f"{folder} can't be used: expected a folder this account can read and write")
    if found.st_mode & 0o077:
        raise Unavailable(f"{folder} is open to other users: chmod 700 {folder}")
    return folder


def secret_file(path: Path, fresh: bytes) -> bytes:
    """Return a secret file's content, written with `fresh` if it is missing; refuses one others can read."""
    closed(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return read_secret(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    return fresh


def read_secret(path: Path) -> bytes:
    """Return a secret file's content; raises `Unavailable` when it is not there or others can read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise Unavailable(f"{path} is open to other users: chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
