"""The two sockets `sallyctl` speaks to: the auth service's, and the signer's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from appliance.client import Api, UnixTransport
from appliance.config import Config, load
from appliance.domain.errors import Unavailable
from hsm.signer.client import SignerClient

if TYPE_CHECKING:
    from pathlib import Path

AUTH_SOCKET = "run/console.sock"
SIGNER_SOCKET = "run/signer-console.sock"


class Console:
    """Connections made when a command first needs them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._api: Api | None = None
        self._signer: SignerClient | None = None

    @property
    def config(self) -> Config:
        """The appliance's configuration."""
        return load(self._path)

    def call(self, name: str, request: object) -> Any:
        """Do an operation of the auth service."""
        if self._api is None:
            self._api = Api(UnixTransport(self._socket(AUTH_SOCKET)))
        return self._api.call(name, request)

    @property
    def signer(self) -> SignerClient:
        """The signer, through the console's own door."""
        if self._signer is None:
            self._signer = SignerClient(self._socket(SIGNER_SOCKET))
        return self._signer

    def close(self) -> None:
        """Close what was opened."""
        if self._api is not None:
            self._api.close()
        if self._signer is not None:
            self._signer.close()

    def _socket(self, name: str) -> Path:
        path = self.config.data_dir / name
        if not path.exists():
            raise Unavailable(f"no appliance runs here: {path} is not there (sallyport start)")
        if not os.access(path, os.W_OK):
            raise Unavailable(f"{path} is not yours to use: be root, or the account the appliance runs as")
        return path
