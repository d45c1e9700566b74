"""The bastion as a client of nodes: one connection for one session, with that session's certificate.

The node must show a host certificate of our host authority for exactly the name that auth expects;
there is no known_hosts file, no first use, and a plain host key is never enough (threat S13).
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.public_key import SSHKey

from appliance.domain import names
from appliance.proxy import certificate
from appliance.proxy.errors import CertificateInvalid, NodeNotTrusted, NodeRefused, NodeUnreachable
from appliance.proxy.fast.client import ClientConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from appliance.proxy.algorithms import Suite
    from appliance.proxy.config import Limits
    from appliance.proxy.fast.channel import Far
    from appliance.proxy.fast.opening import GlobalAnswer

HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
HOST_CERTIFICATES = [f"{name}-cert-v01@openssh.com" for name in (*HOST_KEYS, "rsa-sha2-512", "rsa-sha2-256")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """How to get into a node, once. `certificate` and `authorities` are SSH wire form."""

    node: str
    address: str
    login: str
    key: SSHKey
    certificate: bytes
    host_principal: str
    authorities: Collection[bytes]


class NodeConnection(ClientConnection):
    """A connection to a node. What the node asks for is handed to `opens` and `asks`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Any, approach: Approach, now: float) -> None:
        super().__init__(loop, options)
        self._approach = approach
        self._now = now
        self.opens: Callable[[bytes, bytes], Awaitable[Far]] | None = None
        self.asks: Callable[[str, bytes], GlobalAnswer] | None = None
        self.lost: Callable[[str], None] | None = None

    def judge_host_key(self, key_data: bytes) -> SSHKey:
        """See `ClientConnection.judge_host_key`."""
        try:
            shown = certificate.parse(key_data)
        except CertificateInvalid as error:
            raise ValueError(f"no host certificate: {error}") from error
        reason = certificate.judge_host(
            shown,
            authorities=self._approach.authorities,
            now=self._now,
            principal=self._approach.host_principal,
        )
        if reason is not None:
            raise ValueError(reason)
        return shown.key

    async def open_requested(self, kind: bytes, payload: bytes) -> Far:
        """The node opens a channel."""
        if self.opens is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not asked for")
        return await self.opens(kind, payload)

    def global_request_received(self, name: str, payload: bytes) -> GlobalAnswer:
        """The node asks for something beside channels."""
        return self.asks is not None and self.asks(name, payload)

    def closed(self, exc: Exception | None) -> None:
        """See `Mended.closed`."""
        if self.lost is not None:
            self.lost(str(exc) if exc else "the node closed the connection")


class Nodes:
    """Opens nodes."""

    def __init__(self, *, suite: Suite, limits: Limits, now: Callable[[], float]) -> None:
        self._suite, self._limits, self._now = suite, limits, now

    async def open(self, approach: Approach) -> NodeConnection:
        """Return a connection that the node has let in; raises a `NodeProblem`."""
        host, port = names.host_port(approach.address)
        options = await self._options(approach, host, port)
        loop = asyncio.get_running_loop()
        options.waiter = entered = loop.create_future()
        connection = NodeConnection(loop, options, approach, self._now())
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                await loop.create_connection(lambda: connection, host, port)
                await entered
        except BaseException as error:
            connection.abort()
            _settle(entered)
            raise _translated(error, approach) from error
        return connection

    async def _options(self, approach: Approach, host: str, port: int) -> asyncssh.SSHClientConnectionOptions:
        name = approach.key.get_algorithm() + "-cert-v01@openssh.com "
        paper = asyncssh.import_certificate(name.encode() + b64encode(approach.certificate))
        options: asyncssh.SSHClientConnectionOptions = await asyncssh.SSHClientConnectionOptions.construct(
            None,
            config=None,
            host=host,
            port=port,
            username=approach.login,
            client_keys=[(approach.key, paper)],
            client_factory=asyncssh.SSHClient,
            known_hosts=([], [], []),
            server_host_key_algs=HOST_CERTIFICATES,
            preferred_auth=["publickey"],
            agent_path=None,
            gss_host=None,
            gss_kex=False,
            gss_auth=False,
            x509_trusted_certs=None,
            x509_trusted_cert_paths=(),
            login_timeout=self._limits.connect_timeout,
            keepalive_interval=self._limits.keepalive,
            keepalive_count_max=self._limits.keepalive_count,
            rekey_bytes=self._limits.rekey_bytes,
            **self._suite.options(),
        )
        return options


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.cancel():
        with contextlib.suppress(asyncssh.Error, OSError):  # it was told by the error that got us here
            waiter.exception()


def _translated(error: BaseException, approach: Approach) -> BaseException:
    node = approach.node
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return NodeNotTrusted(f"node {node} could not prove its identity", reason=str(error))
        case asyncssh.PermissionDenied():
            return NodeRefused(f"node {node} does not let {approach.login} in", reason=str(error))
        case TimeoutError():
            return NodeUnreachable(
                f"node {node} is down", reason=f"{approach.address} does not answer in time"
            )
        case OSError() | asyncssh.Error():
            return NodeUnreachable(f"node {node} is down", reason=f"{approach.address}: {error}")
        case _:
            return error
