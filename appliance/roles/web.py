"""The web process: pages for people, the door for their tools. Holds nothing but its TLS key."""

from __future__ import annotations

import logging
import signal
from contextlib import closing
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from appliance.client import Api, UnixTransport
from appliance.config.addresses import Addresses
from appliance.domain import names
from appliance.domain.errors import SallyportError, Sealed, Unavailable
from appliance.domain.operations import custody
from appliance.domain.operations.operation import Nothing
from appliance.roles import notify
from appliance.roles.layout import Layout, closed, secret_file
from appliance.roles.process import main
from appliance.system import SystemClock
from webui.app import create_app
from webui.config import WebConfig
from webui.server import WebServer, serve

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from appliance.config import Config

RENEW_BEFORE = timedelta(days=30)
LOOK_EVERY = 10.0
"""Seconds; the TLS authority may have been rotated since, and a phase lasts for a minute at least."""

log = logging.getLogger(__name__)


def run(config: Config, arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    del arguments
    layout, addresses = Layout(closed(config.data_dir)), Addresses.of(config)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(Api(UnixTransport(layout.web))) as api:
        own = OwnCertificate(api, closed(layout.web_state), addresses.web_hosts)
        files = _files(config) or own.files()
        web = WebConfig(
            listen=names.host_port(config.proxy_service.web_listen_addr),
            address=addresses.web,
            certificate=files[0],
            key=files[1],
        )
        server = serve(create_app(web, api), web)
        thread = Thread(target=server.serve, name="web")
        thread.start()
        notify.ready("serving")
        while not stop.wait(LOOK_EVERY):
            if _files(config) is None:
                own.renew(server)
        server.stop()
        thread.join()


def _files(config: Config) -> tuple[Path, Path] | None:
    certificate, key = config.proxy_service.https_cert_file, config.proxy_service.https_key_file
    return (certificate, key) if certificate and key else None


class OwnCertificate:
    """A certificate of the cluster's TLS authority, renewed a month before its end or when another key signs.

    While the token is sealed or away the one of before is used.
    """

    def __init__(self, api: Api, folder: Path, hosts: tuple[str, ...]) -> None:
        self._api = api
        self._hosts = hosts
        self._key = folder / "tls.key"
        self._chain = folder / "tls.crt"
        self._clock = SystemClock()

    def files(self) -> tuple[Path, Path]:
        """Return certificate chain and key, both made if they are missing or about to end."""
        key = secret_file(self._key, _fresh_key())
        if not self._good(key):
            self._renew(key)
        return self._chain, self._key

    def _renew(self, key: bytes) -> bool:
        """Return whether there is a new certificate; raises where there is not even one of before."""
        try:
            self._certify(key)
        except (Sealed, Unavailable) as error:
            if not self._usable(key):
                raise
            log.warning("the web certificate can't be renewed now: %s", error)
            return False
        return True

    def _usable(self, key: bytes) -> bool:
        if not self._chain.exists():
            return False
        certificate = x509.load_pem_x509_certificates(self._chain.read_bytes())[0]
        return certificate.not_valid_after_utc > self._clock.now() and _public(key) == _spki(certificate)

    def renew(self, server: WebServer) -> None:
        """Renew in time; what goes wrong is tried again a little later, for a month."""
        key = self._key.read_bytes()
        try:
            if not self._good(key) and self._renew(key):
                server.reload_certificate()
        except SallyportError as error:
            log.warning("the web certificate could not be looked after: %s", error)

    def _good(self, key: bytes) -> bool:
        """Whether it is of this key and the authority of now, names all hosts, and lasts another month."""
        if not self._chain.exists():
            return False
        certificate, authority = x509.load_pem_x509_certificates(self._chain.read_bytes())[:2]
        names_extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = {str(entry.value) for entry in names_extension}
        ends: datetime = certificate.not_valid_after_utc
        lasts = ends - self._clock.now() > RENEW_BEFORE
        ours = _public(key) == _spki(certificate) and self._signs(authority)
        return lasts and set(self._hosts) <= named and ours

    def _signs(self, authority: x509.Certificate) -> bool:
        found: custody.AuthorityList = self._api.call("authorities.list", Nothing())
        der = authority.public_bytes(Encoding.DER)
        return any(one.signing and one.certificate == der for one in found.authorities)

    def _certify(self, key: bytes) -> None:
        answer: custody.WebCertified = self._api.call(
            "web.certify", custody.WebCertify(public_key=_public(key))
        )
        draft = self._chain.with_suffix(".draft")
        draft.write_text(answer.chain)
        draft.replace(self._chain)


def _fresh_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(pem: bytes) -> bytes:
    key = load_pem_private_key(pem, None)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


if __name__ == "__main__":
    main("web", run)
