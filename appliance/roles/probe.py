"""Whether the processes of this machine answer: a connection to each, nothing more."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from appliance.config.addresses import ANYWHERE
from appliance.domain import names
from appliance.roles.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.config import Config

SECONDS = 3.0


def probe(config: Config) -> dict[str, str]:
    """Return role to what is wrong with it; empty when it answers."""
    layout, proxy = Layout(config.data_dir), config.proxy_service
    return {
        "signer": _unix(layout.signer_auth),
        "auth": _unix(layout.console),
        "proxy": _tcp(proxy.listen_addr),
        "web": _tcp(proxy.web_listen_addr),
    }


def _unix(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        try:
            connection.connect(str(path))
        except OSError as error:
            return f"does not answer on {path}: {error.strerror}"
    return ""


def _tcp(address: str) -> str:
    host, port = names.host_port(address)
    target = "localhost" if host in ANYWHERE else host
    try:
        socket.create_connection((target, port), timeout=SECONDS).close()
    except OSError as error:
        return f"does not answer on {target}:{port}: {error.strerror}"
    return ""
