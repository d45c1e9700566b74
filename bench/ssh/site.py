"""Everything that the rows of `bench/run ssh` stand on: one node, and two ways to it.

    client ──► appliance (signer, auth, one SSH worker, web) ──► node (sshd)
    client ──► jump      (sshd)                              ──► node

Names of the client's configuration:

    us           the bastion itself, for `-W`
    us-node      the node by one connection: login and node in the user name
    us-chain     the node by `ProxyJump`; the bastion terminates both layers
    us-blind     the node by a direct stream to its sshd: the bastion sees only its own layer
    us-passed    the node by one connection that names it before the SSH banner (`ProxyUseFdpass`)
    peer         the sshd that is the jump, as an unprivileged user
    peer-shell   the same as the user who runs this, for `ssh peer-shell ssh node`
    peer-chain   the node by `ProxyJump` through it
    direct       the node itself

Cipher and key exchange are the same for all, AES-128-GCM and Curve25519, so that servers are compared and
not the choices of a client; `plain` is the configuration without that.
"""

from __future__ import annotations

import getpass
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ssh import appliance, sshd
from bench.ssh.appliance import CLUSTER, NODE, PERSON, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

SAME = "Ciphers aes128-gcm@openssh.com", "KexAlgorithms curve25519-sha256"
SHARED = (
    "IdentitiesOnly yes",
    "IdentityAgent none",
    "StrictHostKeyChecking no",
    "UserKnownHostsFile /dev/null",
    "GlobalKnownHostsFile /dev/null",
    "LogLevel ERROR",
    "BatchMode yes",
    "Compression no",
)
HOST_NAMES = f"{NODE}.{CLUSTER}"
PLAIN_USER = "nobody"
PASS_FD = Path(__file__).with_name("pass_fd.py")
_sources = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a row uses. `identity` is the person's, `key` opens the two sshds."""

    folder: Path
    config: Path
    plain: Path
    appliance: appliance.Running
    jump: sshd.Sshd
    node: sshd.Sshd
    identity: Identity
    key: Path
    jump_certificate: Path
    jump_user: str
    login: str

    def ssh(self, host: str, *words: str, options: tuple[str, ...] = (), plain: bool = False) -> list[str]:
        """Return the command of a stock client."""
        return ["ssh", "-F", str(self.plain if plain else self.config), *options, host, *words]


def fresh_source() -> str:
    """Return a loopback address nobody used yet: both servers slow down who comes often from one address."""
    above, low = divmod(next(_sources), 254)
    high, middle = divmod(above, 254)
    return f"127.{64 + high % 64}.{middle}.{low + 1}"


@contextmanager
def built() -> Iterator[Site]:
    """Start everything; stop it and remove its files with the block."""
    folder = Path(tempfile.mkdtemp(prefix="bench-ssh-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # an unprivileged jump user reads nothing here but must get to its session
        yield _build(folder, stack)


def _build(folder: Path, stack: ExitStack) -> Site:
    login, port = getpass.getuser(), sshd.free_port()
    for name in ("node", "jump"):
        (folder / name).mkdir()
    host_key = sshd.make_key(folder / "node/host")
    sshd.make_key(folder / "jump/host")
    key = folder / "key"
    (folder / "authorized").write_text(f"{sshd.make_key(key)}\n", encoding="ascii")
    running = stack.enter_context(appliance.running(folder / "appliance"))
    added = appliance.add_node(running, f"127.0.0.1:{port}", host_key)
    identity = appliance.sign_in(running, folder, login)
    node = stack.enter_context(_node(folder, port, added.trusted_user_ca_keys, added.host_certificate))
    user = PLAIN_USER if os.geteuid() == 0 else login
    jump = stack.enter_context(_jump(folder))
    made = Site(
        folder=folder,
        config=folder / "ssh_config",
        plain=folder / "plain_config",
        appliance=running,
        jump=jump,
        node=node,
        identity=identity,
        key=key,
        jump_certificate=_certify(folder, user, login),
        jump_user=user,
        login=login,
    )
    _write_configurations(made)
    return made


def _node(folder: Path, port: int, authority: str, certificate: str) -> AbstractContextManager[sshd.Sshd]:
    own = folder / "node"
    (own / "host-cert.pub").write_text(certificate, encoding="ascii")
    (own / "trusted").write_text(authority, encoding="ascii")
    return sshd.running(
        "node",
        own,
        port,
        f"HostCertificate {own}/host-cert.pub",
        f"TrustedUserCAKeys {own}/trusted",
        f"AuthorizedKeysFile {folder}/authorized",
    )


def _jump(folder: Path) -> AbstractContextManager[sshd.Sshd]:
    sshd.make_key(folder / "jump_ca")
    trusted = f"TrustedUserCAKeys {folder}/jump_ca.pub"
    return sshd.running("jump", folder / "jump", sshd.free_port(), trusted, "AuthorizedKeysFile none")


def _certify(folder: Path, *users: str) -> Path:
    """Certify the client's key for the jump, so that both servers verify a certificate."""
    command = ["ssh-keygen", "-q", "-s", str(folder / "jump_ca"), "-I", PERSON, "-n", ",".join(set(users))]
    sshd.run_tool([*command, "-V", "-5m:+1d", str(folder / "key.pub")])
    return folder / "key-cert.pub"


def _write_configurations(made: Site) -> None:
    for path, own in ((made.config, SAME), (made.plain, ())):
        path.write_text(_configuration(_hosts(made, path), own), encoding="utf-8")
    # What the jump's own ssh reads in `ssh peer-shell ssh -F … direct`
    inner = _configuration({"direct": _direct(made)}, SAME)
    (made.folder / "inner_config").write_text(inner, encoding="utf-8")


def _configuration(hosts: dict[str, str], own: tuple[str, ...]) -> str:
    shared = "".join(f"  {line}\n" for line in (*SHARED, *own))
    return "".join(f"Host {name}\n{body}" for name, body in hosts.items()) + f"Host *\n{shared}"


def _hosts(made: Site, config: Path) -> dict[str, str]:
    us, peer = _at(made.appliance.port), _at(made.jump.port)
    person = f"  IdentityFile {made.identity.key}\n  CertificateFile {made.identity.certificate}\n"
    certified = f"  IdentityFile {made.key}\n  CertificateFile {made.jump_certificate}\n"
    through_us = f"ssh -F {config} -W {NODE}:{made.node.port} us"
    passing = f"{sys.executable} {PASS_FD} 127.0.0.1 {made.appliance.port} {NODE} 22"
    return {
        "us": f"{us}  User {PERSON}\n{person}",
        "us-node": f"{us}  User {made.login}@{NODE}\n{person}",
        "us-chain": f"  HostName {HOST_NAMES}\n  User {made.login}\n  ProxyJump us\n{person}",
        "us-blind": f"  User {made.login}\n  IdentityFile {made.key}\n  ProxyCommand {through_us}\n",
        "us-passed": f"  User {made.login}\n{person}  ProxyCommand {passing}\n  ProxyUseFdpass yes\n",
        "peer": f"{peer}  User {made.jump_user}\n{certified}",
        "peer-shell": f"{peer}  User {made.login}\n{certified}",
        "peer-chain": f"{_direct(made)}  ProxyJump peer\n",
        "direct": _direct(made),
    }


def _at(port: int) -> str:
    return f"  HostName 127.0.0.1\n  Port {port}\n"


def _direct(made: Site) -> str:
    return f"{_at(made.node.port)}  User {made.login}\n  IdentityFile {made.key}\n"
