"""Who calls: worked out from the connection, never from what the request says of itself.

A listener puts its own kind into the WSGI environment before the application sees the request:
a Unix socket stands for one caller (console, proxy, web), and the kernel's word on the peer's uid must be
among
those allowed there; a TLS connection stands for the person in its client certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509

from appliance.broker.callers import Console, Identity, Person, Service
from appliance.certificates.templates import person_uri
from appliance.domain import names
from appliance.domain.errors import Denied, Invalid
from appliance.domain.operations import Caller
from appliance.front.server import TLS_SOCKET

if TYPE_CHECKING:
    from collections.abc import Mapping

DOOR = "sallyport.door"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A Unix socket: which caller it stands for, and which uids may be at its other end."""

    caller: Caller
    uids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identify:
    """Returns the identity behind a request's environment."""

    cluster: str
    web_session: Callable[[str], Person]
    holds: Callable[[int], bool]
    """Whether a certificate of this serial is in the register and not revoked."""

    def __call__(self, environ: Mapping[str, Any], session: str | None) -> Identity:
        """Raise `Denied` where there is none. Only `web` may name a web session."""
        door = environ.get(DOOR)
        if not isinstance(door, Door):
            return self._certificate_holder(environ, session)
        uid = str(environ.get("X_REMOTE_UID", ""))
        if not (uid.isascii() and uid.isdigit()) or int(uid) not in door.uids:
            raise Denied(f"uid {uid} at the socket of {door.caller}")
        if session is not None:
            if door.caller is not Caller.WEB:
                raise Denied(f"{door.caller} named a web session")
            return self.web_session(session)
        return Console(uid=int(uid)) if door.caller is Caller.CONSOLE else Service(kind=door.caller)

    def _certificate_holder(self, environ: Mapping[str, Any], session: str | None) -> Person:
        connection = environ.get(TLS_SOCKET)
        der = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
        if session is not None or not isinstance(der, bytes):
            raise Denied("no client certificate")
        certificate = x509.load_der_x509_certificate(der)
        if not self.holds(certificate.serial_number):
            raise Denied(f"client certificate {certificate.serial_number} is revoked or not in the register")
        return Person(
            user=self._user(certificate),
            source=str(environ.get("REMOTE_ADDR", "")),
            expires_at=certificate.not_valid_after_utc,
        )

    def _user(self, certificate: x509.Certificate) -> str:
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound as error:
            raise Denied("client certificate without a name") from error
        prefix = person_uri(self.cluster, "")
        uris = found.get_values_for_type(x509.UniformResourceIdentifier)
        users = [uri.removeprefix(prefix) for uri in uris if uri.startswith(prefix)]
        if len(users) != 1:
            raise Denied("client certificate that names no person of this cluster")
        try:
            return names.user_name(users[0])
        except Invalid as error:
            raise Denied("client certificate with a malformed name") from error
