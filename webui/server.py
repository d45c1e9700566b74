"""The web pages' server: the hardened front with the pages' certificate."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from appliance.front.server import FrontServer

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    from webui.config import WebConfig

TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server context: TLS 1.3, and 1.2 with forward secrecy and authenticated encryption only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


class WebServer(FrontServer):
    """Serves the pages; its certificate can be read again while it serves."""

    def __init__(self, app: Flask, config: WebConfig) -> None:
        self.config = config
        self.context = tls_context(config.certificate, config.key)
        super().__init__(app, config.listen, config.limits, lambda: self.context, url=config.url)

    def reload_certificate(self) -> None:
        """Read the certificate and key files again; connections that stand are not touched."""
        self.context.load_cert_chain(self.config.certificate, self.config.key)


def serve(app: Flask, config: WebConfig) -> WebServer:
    """Return the server, bound and ready; the caller runs `serve()` on it and stops it with `stop()`.

    Raises `Unavailable` when the address can't be bound, OSError when a file can't be read, ssl.SSLError when
    the certificate and key do not fit.
    """
    server = WebServer(app, config)
    server.prepare()
    return server
