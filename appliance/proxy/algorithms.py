"""Which algorithms the edge speaks, as two profiles, and what it accepts as a person's signature.

`compat` serves OpenSSH 8.4 and later (and PuTTY, dropbear, paramiko, libssh2 of the same years);
ssh-audit names nothing in it but that exchanges without post-quantum protection exist. `pq-only`
offers hybrid ML-KEM (draft-ietf-sshm-mlkem-hybrid-kex) or nothing. Neither has a NIST-curve or
finite-field exchange of doubtful making, SHA-1, CBC, encrypt-and-MAC, or compression. Strict key
exchange (CVE-2023-48795) is asyncssh's own default.

chacha20-poly1305 stands first in a stock client's list and the client's order wins, but costs twice
what AES-GCM does where the CPU has AES: there it is not offered. After it, OpenSSH would take AES-CTR
with a separate MAC before AES-GCM, which costs twice as well: a client that calls itself OpenSSH is
offered AES-GCM only (every OpenSSH since 6.2 has it); CTR is for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CPUINFO = Path("/proc/cpuinfo")
CHACHA = "chacha20-poly1305@openssh.com"
GCM = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
CTR = ("aes256-ctr", "aes192-ctr", "aes128-ctr")
ETM = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
MLKEM = "mlkem768x25519-sha256"
KNOWS_GCM = b"SSH-2.0-OpenSSH_"
"""How the version of a client begins that has AES-GCM, but would not choose it by itself."""
HOST_CERTIFICATE = "ssh-ed25519-cert-v01@openssh.com"

SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""What a person's key may sign with: nothing with SHA-1, and no X.509 (threat C15)."""


class Profile(StrEnum):
    """The name of a set of algorithms."""

    COMPAT = "compat"
    PQ_ONLY = "pq-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Algorithm names in order of preference, as they stand on the wire."""

    kex: tuple[str, ...]
    encryption: tuple[str, ...]
    mac: tuple[str, ...]
    signatures: tuple[str, ...] = SIGNATURES

    def options(self) -> Mapping[str, object]:
        """Return them as asyncssh's connection options, compression off."""
        return {
            "kex_algs": list(self.kex),
            "encryption_algs": list(self.encryption),
            "mac_algs": list(self.mac),
            "compression_algs": None,
            "signature_algs": list(self.signatures),
        }


def cpu_has_aes(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the CPU computes AES in hardware; unknown counts as no."""
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return "aes" in next(flags, [])


def suite(profile: Profile, *, aes: bool) -> Suite:
    """Return what the edge offers to people; `aes` as `cpu_has_aes` tells."""
    chacha = () if aes else (CHACHA,)
    if profile is Profile.PQ_ONLY:
        return Suite(kex=(MLKEM,), encryption=(*GCM, *chacha), mac=ETM)
    kex = (MLKEM, "curve25519-sha256", "curve25519-sha256@libssh.org")
    return Suite(kex=kex, encryption=(*GCM, *CTR, *chacha), mac=ETM)


def node_suite(*, aes: bool) -> Suite:
    """Return what the edge speaks towards nodes: a stock sshd of any supported Debian has all of it."""
    chacha = () if aes else (CHACHA,)
    kex = (MLKEM, "curve25519-sha256", "ecdh-sha2-nistp256")
    return Suite(kex=kex, encryption=(*GCM, *CTR, *chacha), mac=ETM)
