"""What each kind of certificate says.

Making only: the signer lints what it is asked for, and what it made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.domain.records import AuthorityKind

SKEW = timedelta(seconds=60)
"""How far back a certificate's validity begins, for peers whose clock is late."""
PERSON_EXTENSIONS = (
    ("permit-X11-forwarding", ""),
    ("permit-agent-forwarding", ""),
    ("permit-port-forwarding", ""),
    ("permit-pty", ""),
)
"""A person's certificate opens only the bastion, which decides all of these at each connection."""

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSpec:
    """An SSH certificate to be made. `public_key` is in SSH wire form; the signer chooses the serial."""

    authority: AuthorityKind
    public_key: bytes
    key_id: str
    principals: tuple[str, ...]
    valid_after: datetime
    valid_before: datetime
    critical_options: Options = ()
    extensions: Options = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSpec:
    """An X.509 certificate to be made by the TLS authority. `public_key` is a DER SubjectPublicKeyInfo."""

    public_key: bytes
    common_name: str
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    uri: str = ""
    server: bool = False
    valid_after: datetime
    valid_before: datetime


def person_uri(cluster: str, user: str) -> str:
    """Return the URI that names a person in a client certificate (subjectAltName)."""
    return f"sallyport://{cluster}/person/{user}"


def person_ssh(
    *, user: str, logins: tuple[str, ...], public_key: bytes, now: datetime, until: datetime
) -> SshSpec:
    """Return what a person carries: identity in the key id, their logins as principals."""
    return SshSpec(
        authority=AuthorityKind.USER,
        public_key=public_key,
        key_id=user,
        principals=logins,
        valid_after=now - SKEW,
        valid_before=until,
        extensions=PERSON_EXTENSIONS,
    )


def person_tls(*, cluster: str, user: str, public_key: bytes, now: datetime, until: datetime) -> TlsSpec:
    """Return a person's client certificate for the API."""
    return TlsSpec(
        public_key=public_key,
        common_name=user,
        uri=person_uri(cluster, user),
        valid_after=now - SKEW,
        valid_before=until,
    )


def session_ssh(
    *, session: str, user: str, login: str, public_key: bytes, egress: str, now: datetime, until: datetime
) -> SshSpec:
    """Return the certificate of one session to one node: this login, from this address, for minutes."""
    prefix = 128 if ":" in egress else 32
    return SshSpec(
        authority=AuthorityKind.OPENSSH,
        public_key=public_key,
        key_id=f"session={session} user={user}",
        principals=(login,),
        valid_after=now - SKEW,
        valid_before=until,
        critical_options=(("source-address", f"{egress}/{prefix}"),),
        extensions=PERSON_EXTENSIONS,
    )


def host_ssh(*, names: tuple[str, ...], public_key: bytes, now: datetime, until: datetime) -> SshSpec:
    """Return a host certificate."""
    return SshSpec(
        authority=AuthorityKind.HOST,
        public_key=public_key,
        key_id=names[0],
        principals=names,
        valid_after=now - SKEW,
        valid_before=until,
    )
