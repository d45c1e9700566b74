import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.client import Api, UnixTransport
from appliance.client.person.trust import pem
from appliance.client.transport import TlsTransport, tls_context
from appliance.roles import auth
from appliance.roles.api_tls import ApiTls
from tests.support import auth_box as support
from tests.support.auth_fixtures import shared_signer
from tests.support.hand_clock import HandClock
from tests.support.web_server import free_port

__all__ = ["served", "shared_signer"]


@dataclass
class Served:
    """The service behind its real listeners: sockets of this account, and mutual TLS on a port."""

    box: support.AuthBox
    port: int
    folder: Path
    clients: list[Any]

    def unix(self, name: str) -> Api:
        """A client of one of the sockets: console, proxy or web."""
        return self._kept(Api(UnixTransport(self.folder / f"data/run/{name}.sock")))

    def person_files(self, person: support.Resident) -> Path:
        """The client certificate and key of a person, as a PEM file."""
        file = self.folder / f"{person.name}.pem"
        certificate = ssl.DER_cert_to_PEM_cert(person.issued.tls_certificate)
        file.write_bytes(person.keys.tls_private + certificate.encode())
        return file

    def context(self, file: Path | None = None):
        return tls_context(pem(self.box.rooms.authorities.tls_certificates()), file)

    def tls(self, file: Path | None = None) -> Api:
        return self._kept(Api(TlsTransport([f"localhost:{self.port}"], self.context(file))))

    def _kept(self, api: Api) -> Api:
        self.clients.append(api)
        return api


@pytest.fixture
def served(shared_signer):
    """TLS looks at the true time, so the box does too."""
    clock = HandClock(datetime.now(UTC) - timedelta(minutes=10))  # noqa: TID251 - tests move it forward
    port = free_port()
    config = support.CONFIG.replace("localhost:3025", f"localhost:{port}\n  listen_addr: 127.0.0.1:{port}")
    with (
        tempfile.TemporaryDirectory(prefix="api-") as folder,
        support.cheap_hashes(),
        support.auth_box(Path(folder), shared_signer, config=config, clock=clock) as box,
    ):
        api_tls = ApiTls(box.ground.layout.auth, box.rooms, box.ground.addresses.api_hosts, clock)
        listeners = list(auth._listen(box.ground, box.rooms, api_tls))
        one = Served(box=box, port=port, folder=Path(folder), clients=[])
        try:
            yield one
        finally:
            for client in one.clients:
                client.close()
            with ThreadPoolExecutor() as pool:  # each takes a moment to notice
                list(pool.map(lambda listener: listener.stop(), listeners))
