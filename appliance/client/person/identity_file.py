"""Identity files: private key, certificates and authorities in one file, for programs (mission row K2)."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from appliance.client.person.ssh_config import known_hosts

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.client.person.home import FreshKeys
    from appliance.domain.operations.people import IssuedCredentials


def write_identity(path: Path, keys: FreshKeys, issued: IssuedCredentials) -> None:
    """Write `path` for our own tools, and `path`-ssh, `path`-ssh-cert.pub for OpenSSH; refuses to overwrite.

    The main file has, in PEM: TLS key, TLS certificate, TLS authorities, and the host authorities as
    comments.
    """
    tls = ssl.DER_cert_to_PEM_cert(issued.tls_certificate)
    authorities = "".join(map(ssl.DER_cert_to_PEM_cert, issued.tls_authorities))
    hosts = "".join(f"# {line}\n" for line in known_hosts(issued.cluster, issued.host_authority).splitlines())
    ssh = path.with_name(path.name + "-ssh")
    files = {
        path: keys.tls_private + (tls + authorities + hosts).encode(),
        ssh: keys.ssh_private,
        ssh.with_name(ssh.name + "-cert.pub"): issued.ssh_certificate.encode() + b"\n",
    }
    for file, data in files.items():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
