"""What the bastion shows as its host key: for itself, and in the names of nodes.

One key for all; what differs is the certificate. Those for nodes are asked of auth when a node is
first wanted, and kept until shortly before they end.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

from appliance.proxy import certificate
from appliance.proxy.errors import CertificateInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.proxy.algorithms import Suite
    from appliance.proxy.authority import Authority
    from appliance.proxy.config import Limits

RENEW_BEFORE = 600
"""Seconds before its end that a certificate is asked for again."""
MAX_KEPT = 4096
VERSION = "Sallyport"


@dataclass(frozen=True, slots=True)
class _Kept:
    options: asyncssh.SSHServerConnectionOptions
    until: float


class Hosts:
    """Makes the options of connections, each with the host certificate of whose name it answers in."""

    def __init__(
        self,
        *,
        key: asyncssh.SSHKey,
        suite: Suite,
        limits: Limits,
        authority: Authority,
        now: Callable[[], float],
    ) -> None:
        self._key, self._suite, self._limits = key, suite, limits
        self._authority, self._now = authority, now
        self._nodes: dict[str, _Kept] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    @property
    def public_key(self) -> bytes:
        """The host key, SSH wire form."""
        return self._key.public_data

    async def bastion(self, blob: bytes) -> asyncssh.SSHServerConnectionOptions:
        """Return the options for the bastion's own name, with this certificate."""
        return await self._options(blob)

    async def node(self, name: str) -> asyncssh.SSHServerConnectionOptions:
        """Return the options for a node's name; raises `SallyportError` where auth knows no such node."""
        async with self._asking.setdefault(name, asyncio.Lock()):
            kept = self._nodes.get(name)
            if kept is not None and kept.until > self._now():
                return kept.options
            try:
                blob = await self._authority.certify(name, self.public_key)
            finally:
                self._asking.pop(name, None)
            until = certificate.parse(blob).valid_before - RENEW_BEFORE
            self._keep(name, _Kept(await self._options(blob), until))
            return self._nodes[name].options

    def _keep(self, name: str, kept: _Kept) -> None:
        while len(self._nodes) >= MAX_KEPT:
            self._nodes.pop(next(iter(self._nodes)))
        self._nodes[name] = kept

    def forget(self) -> None:
        """Ask for all of them again: the authority has changed."""
        self._nodes.clear()

    async def _options(self, blob: bytes) -> asyncssh.SSHServerConnectionOptions:
        if certificate.parse(blob).public_key != self.public_key:
            raise CertificateInvalid("a host certificate for another key than ours")
        text = b"ssh-ed25519-cert-v01@openssh.com " + b64encode(blob)
        options: asyncssh.SSHServerConnectionOptions = await asyncssh.SSHServerConnectionOptions.construct(
            None,
            config=None,
            server_factory=asyncssh.SSHServer,
            server_version=VERSION,
            server_host_keys=[(self._key, asyncssh.import_certificate(text))],
            gss_host=None,
            login_timeout=self._limits.login_grace,
            keepalive_interval=self._limits.keepalive,
            keepalive_count_max=self._limits.keepalive_count,
            rekey_bytes=self._limits.rekey_bytes,
            x509_trusted_certs=None,
            line_editor=False,
            allow_scp=False,
            agent_forwarding=False,
            encoding=None,
            **self._suite.options(),
        )
        return options
