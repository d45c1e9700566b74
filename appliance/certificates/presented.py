"""A certificate that a peer presented: what it is worth, judged from its bytes alone.

The edge has judged it already; it is judged again here because the edge faces the network and may be somebody
else's by now. Rules: ours by signature, a user certificate, at least one well-formed principal, valid now,
only
options that are known, and a source address that fits (threats C01 to C09).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from appliance.certificates.lifetimes import LONGEST
from appliance.certificates.templates import SKEW
from appliance.domain import names
from appliance.domain.errors import Denied, Invalid
from hsm.encoding import certificate as wire
from hsm.encoding import public_key
from hsm.encoding.signature import parse_ssh, verify
from hsm.errors import HsmError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CERTIFICATE = 16384
LONGEST_SPAN = int((LONGEST + 2 * SKEW).total_seconds())
"""Seconds from the beginning to the end of a person's certificate; `forever` is no life of ours."""
KNOWN_OPTIONS = frozenset({"source-address"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A person's certificate that holds."""

    user: str
    serial: int
    fingerprint: str
    """Of the certified key."""
    valid_before: datetime


def judge(blob: bytes, *, authorities: Iterable[bytes], source: str, now: datetime) -> Presented:
    """Return who the certificate says it is; raises `Denied` with the reason."""
    try:
        parsed = wire.parse(blob[: MAX_CERTIFICATE + 1])
    except HsmError as error:
        raise Denied(f"malformed certificate: {error}") from error
    says = parsed.says
    _check_signature(parsed, authorities)
    _check_claims(says)
    _check_time(says, now)
    _check_source(dict(says.critical_options), source)
    return Presented(
        user=says.key_id,
        serial=says.serial,
        fingerprint=public_key.fingerprint(says.public_key),
        valid_before=datetime.fromtimestamp(says.valid_before, UTC),
    )


def claimed_user(blob: bytes) -> str:
    """Return the name a certificate claims, for the log of a refusal; empty when it can't be read."""
    try:
        return names.user_name(wire.parse(blob[: MAX_CERTIFICATE + 1]).says.key_id)
    except (HsmError, Invalid):
        return ""


def _check_signature(parsed: wire.ParsedCertificate, authorities: Iterable[bytes]) -> None:
    if parsed.says.signing_key not in set(authorities):
        raise Denied("certificate of an authority that is not trusted for people")
    if not _signed_by(parsed):
        raise Denied("certificate with a bad signature")


def _signed_by(parsed: wire.ParsedCertificate) -> bool:
    key = parsed.says.signing_key
    try:
        signature = parse_ssh(public_key.algorithm_of(key), parsed.signature)
    except HsmError:
        return False
    return verify(key, parsed.signed_bytes, signature)


def _check_claims(says: wire.SshCertificate) -> None:
    if says.kind is not wire.CertificateKind.USER:
        raise Denied("a host certificate in place of a person's")
    if not says.principals:
        raise Denied("certificate without principals")
    if unknown := [name for name, _ in says.critical_options if name not in KNOWN_OPTIONS]:
        raise Denied(f"certificate with critical option {unknown[0]!r}, which is not known")
    try:
        names.user_name(says.key_id)
        for principal in says.principals:
            names.login(principal)
    except Invalid as error:
        raise Denied(f"certificate with a malformed name: {error}") from error


def _check_time(says: wire.SshCertificate, now: datetime) -> None:
    moment = int(now.timestamp())
    if moment < says.valid_after:
        raise Denied(
            "certificate not yet valid", message="your certificate is not valid yet: check the clock"
        )
    if says.valid_before - says.valid_after > LONGEST_SPAN:
        raise Denied("certificate with a longer life than any that this cluster gives")
    if moment >= says.valid_before:
        raise Denied("certificate expired", message="your certificate has expired: sally login")


def _check_source(options: dict[str, str], source: str) -> None:
    allowed = options.get("source-address")
    if allowed is None:
        return
    try:
        address = ip_address(source)
        networks = [ip_network(network) for network in allowed.split(",")]
    except ValueError:
        networks = []
    else:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        address = mapped or address
    fits = any(address in network for network in networks)
    if not fits:
        raise Denied(f"certificate bound to {allowed}, used from {source}")
