"""How a call gets to the auth service: by Unix socket, by mutual TLS, or through the web address."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONNECT_SECONDS = 5.0
CALL_SECONDS = 30.0
"""A signature by a slow token behind a queue still fits; a hung service does not hold callers longer."""
KEPT_SECONDS = 5.0
"""An idle connection is kept for less time than any of our servers keeps it: none is used that is closing."""
JSON_TYPE = {"Content-Type": "application/json"}


class Transport(ABC):
    """Carries one request to the service and its answer back. Thread-safe."""

    @abstractmethod
    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return HTTP status and body; raises `Unavailable` when no server answers."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""


def _http(**connection: Any) -> httpx2.HTTPTransport:
    return httpx2.HTTPTransport(limits=httpx2.Limits(keepalive_expiry=KEPT_SECONDS), **connection)


def _client(transport: httpx2.HTTPTransport, base: str) -> httpx2.Client:
    # trust_env off: no proxy or CA variable of the environment may redirect or widen this connection
    timeout = httpx2.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS)
    return httpx2.Client(transport=transport, base_url=base, timeout=timeout, trust_env=False)


class UnixTransport(Transport):
    """Over a Unix socket; the kernel tells the service who calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = _client(_http(uds=str(path)), "http://auth")

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """See `Transport.post`."""
        try:
            answer = self._client.post(path, content=body, headers={**JSON_TYPE, **headers})
        except httpx2.TransportError as error:
            raise Unavailable(f"the auth service does not answer on {self._path}: {error}") from error
        return answer.status_code, answer.content

    def close(self) -> None:
        """See `Transport.close`."""
        self._client.close()


def tls_context(
    authorities_pem: str, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return a TLS 1.3 client context that trusts exactly these authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authorities_pem)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


class TlsTransport(Transport):
    """Over mutual TLS to the first of several auth servers that answers."""

    def __init__(self, servers: Sequence[str], context: ssl.SSLContext) -> None:
        self._clients = [_client(_http(verify=context), f"https://{server}") for server in servers]

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """See `Transport.post`. Moves on to the next server only when no connection was made.

        A request that may have reached a server is never sent to a second one.
        """
        problem: Exception = Unavailable("no auth server is configured")
        for client in self._clients:
            try:
                answer = client.post(path, content=body, headers={**JSON_TYPE, **headers})
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = Unavailable(
                    f"{client.base_url.host}:{client.base_url.port} can't be reached: {error}"
                )
            except httpx2.TransportError as error:
                raise Unavailable(f"{client.base_url.host} broke off: {error}") from error
            else:
                return answer.status_code, answer.content
        raise problem

    def close(self) -> None:
        """See `Transport.close`."""
        for client in self._clients:
            client.close()


class WebTransport(TlsTransport):
    """Through the web address, for those who hold no certificate yet: signing in."""

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """See `Transport.post`."""
        return super().post(f"/webapi{path}", body, headers)


@dataclass(frozen=True, slots=True)
class PinnedAuthority:
    """A TLS authority known by the SHA-256 of its public key, as `sha256:<64 hex digits>`."""

    pin: str

    @staticmethod
    def of(certificate_der: bytes) -> PinnedAuthority:
        """Return the pin of a certificate."""
        spki = x509.load_der_x509_certificate(certificate_der).public_key()
        raw = spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PinnedAuthority("sha256:" + hashlib.sha256(raw).hexdigest())

    def matches(self, certificate_der: bytes) -> bool:
        """Whether this is the certificate's pin."""
        return hmac.compare_digest(
            PinnedAuthority.of(certificate_der).pin.encode(), self.pin.lower().encode()
        )
