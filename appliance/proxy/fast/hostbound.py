"""Host-bound public key authentication (OpenSSH PROTOCOL 3.1): the signature names the server's key.

A signature made for one server is worthless at another, even for somebody in the middle who was
trusted with an agent (mission row X2). The method is announced in EXT_INFO, and not listed among
the methods that can continue, as OpenSSH's own server has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncssh import auth
from asyncssh.auth import MSG_USERAUTH_PK_OK
from asyncssh.packet import String

if TYPE_CHECKING:
    from asyncssh.packet import SSHPacket

METHOD = b"publickey-hostbound-v00@openssh.com"
EXTENSION = b"publickey-hostbound@openssh.com"
EXTENSION_VERSION = b"0"


class HostBoundAuth(auth._ServerPublicKeyAuth):
    """One request of the method."""

    @classmethod
    def supported(cls, conn: Any) -> bool:
        """Only on our own connections."""
        return hasattr(conn, "validate_host_bound") and super().supported(conn)

    async def _start(self, packet: SSHPacket) -> None:
        signed = packet.get_boolean()
        algorithm, key_data, host_key = packet.get_string(), packet.get_string(), packet.get_string()
        message = packet.get_consumed_payload() if signed else b""
        signature = packet.get_string() if signed else b""
        packet.check_end()
        conn: Any = self._conn
        accepted = await conn.validate_host_bound(
            self._username, key_data, message, signature, host_key=host_key
        )
        if not accepted:
            self.send_failure()
        elif signed:
            await self.send_success()
        else:
            self.send_packet(MSG_USERAUTH_PK_OK, String(algorithm), String(key_data))


def register() -> None:
    """Make asyncssh find the method; doing it again changes nothing."""
    auth._server_auth_handlers[METHOD] = HostBoundAuth
