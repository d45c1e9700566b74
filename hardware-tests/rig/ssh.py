"""OpenSSH's client and server with a key: through its own provider, or through the agent protocol."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fido2.ctap import CtapDevice
from fido2.ctap2 import Ctap2

from authenticators.ssh_sk import parse_sk_public_key, parse_sk_signature, verify_sk_signature
from authenticators.virtual.profile import EDDSA
from authenticators.virtual.ssh import ED25519_SK, enrol, string
from authenticators.virtual.transports.ssh_agent import Agent, AgentSocket
from rig.expect import expect

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

SSHD = "/usr/sbin/sshd"
APPLICATION = "ssh:"
SAY = "echo logged in as $(id -un)"


def log_in_by_agent(device: CtapDevice, folder: Path) -> str:
    """Make an SSH key on a CTAP device and log in with it; an agent carries each signature to the device."""
    folder.mkdir(parents=True)
    agent = CtapAgent.enrol(device)
    (folder / "authorized_keys").write_bytes(b"sk-ssh-ed25519@openssh.com " + _base64(agent.blob) + b"\n")
    with AgentSocket(agent=agent, path=folder / "agent").serving() as path:
        said = _ssh(folder, ["-o", f"IdentityAgent={path}"])
    expect(agent.proofs, "the key was asked for a signature")
    expect(all(proof.user_present for proof in agent.proofs), "each signature says that somebody touched")
    return said


def log_in_by_provider(folder: Path) -> str:
    """Make an SSH key by OpenSSH's built-in provider (libfido2 on USB) and log in with it."""
    folder.mkdir(parents=True)
    private = folder / "id"
    _run(["ssh-keygen", "-q", "-t", "ed25519-sk", "-N", "", "-C", "rig", "-f", str(private)])
    (folder / "authorized_keys").write_bytes(private.with_suffix(".pub").read_bytes())
    return _ssh(folder, ["-o", "IdentityAgent=none", "-i", str(private)])


def list_by_ssh_add(key: VirtualKey, folder: Path) -> str:
    """Put an SSH key on a virtual key, and let OpenSSH's own tool list it through the agent protocol."""
    enrol(key, application=APPLICATION, algorithm=EDDSA, user=f"serial {key.state.serial}")
    path = folder / "agent"
    with AgentSocket(agent=Agent(key=key), path=path).serving():
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        done = subprocess.run(
            ["ssh-add", "-L"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    expect(done.returncode == 0, f"ssh-add lists the key; it said {done.stdout}{done.stderr}")
    return done.stdout


def _ssh(folder: Path, options: list[str]) -> str:
    """Log in to an sshd that lives at the other end of a pipe: no port, no network."""
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host")])
    config = folder / "sshd_config"
    config.write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\nLogLevel VERBOSE\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = shlex.join([SSHD, "-i", "-f", str(config), "-E", str(folder / "sshd.log")])
    return _run(
        [
            "ssh", "-F", "none", "-o", f"ProxyCommand={server}", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", *options, "root@rig", SAY,
        ]
    )  # fmt: skip


def _run(command: list[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    expect(done.returncode == 0, f"{shlex.join(command)} succeeds; it said: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)


@dataclass
class CtapAgent:
    """Answers the two agent requests with a credential on a CTAP device, and checks what it hands out."""

    device: CtapDevice
    blob: bytes
    credential_id: bytes
    proofs: list = field(default_factory=list)

    @classmethod
    def enrol(cls, device: CtapDevice) -> CtapAgent:
        """Make an ed25519-sk credential as ssh-keygen does."""
        made = Ctap2(device).make_credential(
            bytes(32),
            {"id": APPLICATION, "name": "sshd"},
            {"id": bytes(32), "name": "openssh"},
            [{"type": "public-key", "alg": -8}],
        )
        credential = made.auth_data.credential_data
        blob = string(ED25519_SK) + string(credential.public_key[-2]) + string(APPLICATION.encode())
        return cls(device, blob, credential.credential_id)

    def answer(self, request: bytes) -> Steps[bytes]:
        """Answer one message of the agent protocol."""
        yield from ()
        if request[:1] == b"\x0b":
            return b"\x0c" + struct.pack(">I", 1) + string(self.blob) + string(b"rig")
        if request[:1] == b"\x0d":
            return b"\x0e" + string(self._sign(request[1:]))
        return b"\x05"

    def _sign(self, body: bytes) -> bytes:
        (skip,) = struct.unpack_from(">I", body)
        (length,) = struct.unpack_from(">I", body, 4 + skip)
        message = body[8 + skip : 8 + skip + length]
        allow = [{"type": "public-key", "id": self.credential_id}]
        answer = Ctap2(self.device).get_assertion(APPLICATION, hashlib.sha256(message).digest(), allow)
        flags_and_counter = struct.pack(">BI", answer.auth_data.flags, answer.auth_data.counter)
        signature = string(ED25519_SK) + string(answer.signature) + flags_and_counter
        key = parse_sk_public_key(self.blob)
        self.proofs.append(verify_sk_signature(key, parse_sk_signature(signature), message))
        return signature


def tool(name: str) -> str:
    """Return the path of a tool installed beside this Python."""
    return str(Path(sys.executable).with_name(name))
