"""`~/.sally`: a folder a cluster, closed to other users, and a note of the one in use."""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.domain import codec
from appliance.domain.errors import NotFound, Unavailable

FOLDER_MODE = 0o700
FILE_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who is signed in where."""

    proxy: str
    """`host:port` of the web address."""
    user: str
    cluster: str
    ssh_address: str
    api_address: str
    logins: tuple[str, ...]
    roles: tuple[str, ...]
    expires_at: datetime
    system_trust: bool
    """Whether the web address has a certificate the system trusts, rather than one of the cluster's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshKeys:
    """New private keys (PEM / OpenSSH form) and what is to be certified of them."""

    ssh_private: bytes
    ssh_public: str
    """OpenSSH form, one line."""
    tls_private: bytes
    tls_public: bytes
    """DER SubjectPublicKeyInfo."""

    @property
    def ssh_blob(self) -> bytes:
        """The public key in SSH wire form."""
        return base64.b64decode(self.ssh_public.split()[1])


def fresh_keys() -> FreshKeys:
    """Make an Ed25519 SSH key and a P-256 TLS key."""
    ssh, tls = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    return FreshKeys(
        ssh_private=ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        ssh_public=ssh.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii"),
        tls_private=tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        tls_public=tls.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


@dataclass(frozen=True, slots=True)
class Home:
    """The folder itself."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """Return `$SALLY_HOME`, or `~/.sally`."""
        return cls(Path(os.environ.get("SALLY_HOME") or Path.home() / ".sally"))

    def folder(self, proxy: str) -> Path:
        """Return the folder of a cluster, by its web address."""
        return self.root / proxy.replace(":", "_").replace("/", "_")

    def key(self, profile: Profile) -> Path:
        """Return the SSH private key's path; the certificate lies beside it as `-cert.pub`."""
        return self.folder(profile.proxy) / profile.user

    def certificate(self, profile: Profile) -> Path:
        """Return the SSH certificate's path."""
        return self.folder(profile.proxy) / f"{profile.user}-cert.pub"

    def tls(self, profile: Profile) -> Path:
        """Return the file with the client certificate and its key, PEM."""
        return self.folder(profile.proxy) / f"{profile.user}-tls.pem"

    def known_hosts(self, profile: Profile) -> Path:
        """Return the file that names the cluster's host authority."""
        return self.folder(profile.proxy) / "known_hosts"

    def authority(self, proxy: str) -> Path:
        """Return the file with the cluster's TLS authority, PEM."""
        return self.folder(proxy) / "ca.pem"

    def current(self, proxy: str | None = None) -> Profile:
        """Return the profile in use, or that of a web address; raises `NotFound` when nobody is signed in."""
        name = proxy or self._note().strip()
        path = self.folder(name) / "profile.json" if name else self.root
        try:
            profile: Profile = codec.loads(Profile, path.read_bytes(), lenient=True)
        except OSError as error:
            raise NotFound("not signed in: sally login --proxy=HOST:PORT --user=NAME") from error
        return profile

    def save(self, profile: Profile, files: dict[Path, bytes]) -> None:
        """Write a sign-in: private files first, the profile and the note last."""
        self._close(self.root)
        self._close(self.folder(profile.proxy))
        for path, data in files.items():
            _write(path, data)
        _write(self.folder(profile.proxy) / "profile.json", codec.dumps(profile))
        _write(self.root / "current", profile.proxy.encode())

    def save_authority(self, proxy: str, pem: str) -> None:
        """Remember a cluster's TLS authority."""
        self._close(self.root)
        self._close(self.folder(proxy))
        _write(self.authority(proxy), pem.encode())

    def forget(self, profile: Profile) -> None:
        """Sign out: keys, certificates and profile go, the authority stays known."""
        authority = self.authority(profile.proxy)
        pem = authority.read_text() if authority.exists() else ""
        shutil.rmtree(self.folder(profile.proxy))
        (self.root / "current").unlink(missing_ok=True)
        if pem:
            self.save_authority(profile.proxy, pem)

    def _note(self) -> str:
        try:
            return (self.root / "current").read_text()
        except OSError:
            return ""

    def _close(self, folder: Path) -> None:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise Unavailable(f"{folder} is open to other users: chmod 700 {folder}")


def _write(path: Path, data: bytes) -> None:
    """Replace a file whole, closed to others from its first moment."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
