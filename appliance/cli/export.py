"""Authorities in the forms their users read (seed 003: known_hosts, authorized_keys, PEM)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from appliance.domain.records import AuthorityKind

if TYPE_CHECKING:
    from appliance.domain.operations.custody import AuthorityList, AuthorityView


def exported(found: AuthorityList, kind: str | None, *, known_hosts_form: bool = False) -> str:
    """Return the public keys of one authority, or of the user and host ones when none is named."""
    wanted = (AuthorityKind(kind),) if kind else (AuthorityKind.USER, AuthorityKind.HOST)
    lines = [_line(found.cluster, one, known_hosts_form) for one in found.authorities if one.kind in wanted]
    return "\n".join(lines)


def known_hosts(cluster: str, public_keys: str, hosts: tuple[str, ...] = ()) -> str:
    """Return `@cert-authority` lines for every node of a cluster, and for further host patterns."""
    patterns = ",".join((f"*.{cluster}", *hosts))
    return "".join(
        f"@cert-authority {patterns} {line.strip()}\n" for line in public_keys.splitlines() if line.strip()
    )


def _line(cluster: str, one: AuthorityView, known_hosts_form: bool) -> str:
    match one.kind:
        case AuthorityKind.USER if known_hosts_form:
            return known_hosts(cluster, one.public_key).rstrip()
        case AuthorityKind.TLS:
            return ssl.DER_cert_to_PEM_cert(one.certificate).rstrip()
        case AuthorityKind.HOST:
            return known_hosts(cluster, one.public_key).rstrip()
        case AuthorityKind.USER:
            return f"cert-authority {one.public_key} {cluster}"
        case _:
            return one.public_key
