"""The OpenSSH client's configuration for a cluster: plain `ssh root@web1.main` then works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain import names

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.client.person.home import Home, Profile


def known_hosts(cluster: str, host_authority: str) -> str:
    """Return the `@cert-authority` lines for a cluster's nodes and its bastion."""
    keys = [line.strip() for line in host_authority.splitlines() if line.strip()]
    return "".join(f"@cert-authority *.{cluster} {key}\n" for key in keys)


def ssh_config(home: Home, profile: Profile) -> str:
    """Return the two `Host` blocks: the bastion, and every node behind it by `ProxyJump`."""
    host, port = names.host_port(profile.ssh_address)
    bastion, cluster = f"sallyport-{profile.cluster}", profile.cluster
    shared = (
        f"    IdentityFile {_quoted(home.key(profile))}\n"
        f"    CertificateFile {_quoted(home.certificate(profile))}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {_quoted(home.known_hosts(profile))}\n"
        "    StrictHostKeyChecking yes\n"
    )
    return (
        f"# Sallyport cluster {cluster}, {profile.user} through {profile.proxy}\n"
        f"Host {bastion}\n"
        f"    HostName {host}\n"
        f"    Port {port}\n"
        f"    User {profile.user}\n"
        f"    HostKeyAlias bastion.{cluster}\n"
        f"{shared}"
        f"Host *.{cluster}\n"
        f"    ProxyJump {bastion}\n"
        f"{shared}"
    )


def _quoted(path: Path) -> str:
    return f'"{path}"'
