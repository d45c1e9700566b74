"""The whole appliance but its SSH edge: signer, auth and web as the processes `sallyport start` runs."""

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.client import Api, UnixTransport
from tests.support.web_server import free_port

START_SECONDS = 60
CONFIG = """\
sallyport:
  nodename: box
  data_dir: {folder}/data
auth_service:
  cluster_name: main
  listen_addr: 127.0.0.1:{api}
  public_addr: localhost:{api}
proxy_service:
  web_listen_addr: 127.0.0.1:{web}
  public_addr: localhost:{web}
"""


@dataclass(frozen=True, kw_only=True)
class Appliance:
    """What a test needs of it."""

    url: str
    port: int
    folder: Path
    console: Api

    @property
    def spki(self) -> str:
        """Base64 SHA-256 of the web pages' public key, as Chromium's switch takes it."""
        import base64  # noqa: PLC0415 - only here
        import hashlib  # noqa: PLC0415

        pem = (self.folder / "data/web/tls.crt").read_bytes()
        key = x509.load_pem_x509_certificate(pem).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def tls(self, authority_der: bytes) -> ssl.SSLContext:
        """Return a client context that trusts the cluster."""
        return ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(authority_der))


@contextmanager
def running_appliance(folder: Path) -> Iterator[Appliance]:
    """Start it on free ports with fresh state; stop it with the block."""
    folder.chmod(0o700)
    web, api = free_port(), free_port()
    config = folder / "sallyport.yaml"
    config.write_text(CONFIG.format(folder=folder, web=web, api=api))
    command = [sys.executable, "-m", "appliance.cli.sallyport", "start", "-c", str(config)]
    command += ["--roles", "signer,auth,web"]
    log = (folder / "log.txt").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        _wait(process, folder)
        console = Api(UnixTransport(folder / "data/run/console.sock"))
        yield Appliance(url=f"https://localhost:{web}", port=web, folder=folder, console=console)
        console.close()
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _wait(process: subprocess.Popen, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        said = (folder / "log.txt").read_text(errors="replace")
        if "web is ready" in said:
            return
        if process.poll() is not None:
            raise AssertionError(f"the appliance did not start:\n{said}")
        time.sleep(0.1)
    raise AssertionError(f"the appliance was not ready in time:\n{said}")
