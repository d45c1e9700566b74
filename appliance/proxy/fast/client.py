"""A connection to a node, with the hooks that the rest of the proxy fills in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncssh.connection import SSHClientConnection
from asyncssh.constants import MSG_CHANNEL_OPEN, MSG_GLOBAL_REQUEST

from appliance.proxy.fast.opening import Opening

if TYPE_CHECKING:
    import asyncio

    from asyncssh.public_key import SSHKey


class ClientConnection(Opening, SSHClientConnection):
    """See the package. The node's host key is judged by `judge_host_key` alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Any) -> None:
        super().__init__(loop, options, wait="auth")

    def judge_host_key(self, key_data: bytes) -> SSHKey:
        """Return the key that must have signed the exchange; raises `ValueError` where it is not trusted."""
        raise NotImplementedError

    def _validate_host_key(self, host: str, addr: str, port: int, key_data: bytes) -> SSHKey:
        del host, addr, port
        return self.judge_host_key(key_data)

    _packet_handlers = {  # noqa: RUF012 - as the class above has it
        **SSHClientConnection._packet_handlers,
        MSG_CHANNEL_OPEN: Opening._process_channel_open,
        MSG_GLOBAL_REQUEST: Opening._process_global_request,
    }
