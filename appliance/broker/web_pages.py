"""TLS certificates for the cluster's own servers: the web pages, and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING

from appliance.broker.authorities import Authorities
from appliance.broker.issue import Issuer
from appliance.broker.ports import Clock
from appliance.certificates.templates import SKEW, TlsSpec
from appliance.domain.operations import custody as messages

if TYPE_CHECKING:
    from datetime import datetime


LIFE = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPages:
    """Certifies servers in names that the configuration gives, never in names that are asked for."""

    issuer: Issuer
    authorities: Authorities
    clock: Clock
    hosts: tuple[str, ...]

    def certify(self, identity: object, request: messages.WebCertify) -> messages.WebCertified:
        """Certify the web process's key."""
        del identity
        return self.chain(request.public_key, self.hosts)

    def chain(self, public_key: bytes, hosts: tuple[str, ...]) -> messages.WebCertified:
        """Return a server certificate for these hosts, and the authority behind it."""
        now = self.clock.now()
        leaf = self.issuer.tls(_spec(public_key, hosts, now))
        pem = DER_cert_to_PEM_cert(leaf) + DER_cert_to_PEM_cert(self.authorities.tls_certificate())
        return messages.WebCertified(chain=pem, expires_at=now + LIFE)


def _spec(public_key: bytes, hosts: tuple[str, ...], now: datetime) -> TlsSpec:
    return TlsSpec(
        public_key=public_key,
        common_name=hosts[0],
        dns_names=tuple(host for host in hosts if not _is_address(host)),
        ip_addresses=tuple(host for host in hosts if _is_address(host)),
        server=True,
        valid_after=now - SKEW,
        valid_before=now + LIFE,
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
