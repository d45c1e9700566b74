"""A person's connection, with the hooks that the rest of the proxy fills in."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, ClassVar

from asyncssh.connection import SSHServerConnection
from asyncssh.constants import (
    DISC_BY_APPLICATION,
    MSG_CHANNEL_OPEN,
    MSG_EXT_INFO,
    MSG_GLOBAL_REQUEST,
    MSG_KEXINIT,
    MSG_USERAUTH_REQUEST,
)
from asyncssh.encryption import encryption_needs_mac
from asyncssh.misc import IllegalUserName, ProtocolError
from asyncssh.packet import SSHPacket

from appliance.proxy.fast import hostbound
from appliance.proxy.fast.mended import Mended
from appliance.proxy.fast.opening import Opening

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

KEXINIT_LISTS = 10
COOKIE = 16


class ServerConnection(Opening, Mended, SSHServerConnection):
    """See the package. Subclasses say what is allowed; here nothing is."""

    offer_aead_to: ClassVar[tuple[bytes, ...]] = ()
    """How the versions of clients begin that are offered ciphers with built-in integrity only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Any) -> None:
        super().__init__(loop, options)
        self._greeted = False
        self._first_host_key = b""

    @property
    def source(self) -> str:
        """The peer's IP address, as the kernel says; never what a client calls itself."""
        return self._peer_addr

    @property
    def authenticated(self) -> bool:
        """Whether somebody is logged in."""
        return self._auth_complete

    def user_name_allowed(self, raw: bytes) -> bool:
        """Whether a user name, exactly as sent, may be asked for at all."""
        raise NotImplementedError

    async def validate_signature(
        self, user: str, key_data: bytes, message: bytes, signature: bytes, *, host_bound: bool
    ) -> bool:
        """Whether this key may log in; `message` and `signature` are empty where it is only asked about."""
        raise NotImplementedError

    # Greeting

    def greeted(self) -> None:
        """Tell that the version line has been sent already."""
        self._greeted = True

    def connection_made(self, transport: Any) -> None:
        """Begin, on a socket or on a channel."""
        hostbound.register()
        self._extensions_to_send[hostbound.EXTENSION] = hostbound.EXTENSION_VERSION
        super().connection_made(transport)

    def _send_version(self) -> None:
        if self._greeted:
            self._server_version = b"SSH-2.0-" + self._version
            self.set_extra_info(server_version=self._server_version.decode("ascii"))
        else:
            super()._send_version()

    def _send_kexinit(self) -> None:
        # Our list can depend on the client's version, which is known by now
        if not self._session_id and self._client_version.startswith(self.offer_aead_to):
            aead = [name for name in self._enc_algs if not encryption_needs_mac(name)]
            self._enc_algs = aead or self._enc_algs
        super()._send_kexinit()

    async def reload_config(self) -> None:
        """There are no configuration files to match the user name against."""

    def choose_server_host_key(self, peer_host_key_algs: Sequence[bytes]) -> bool:
        """Choose, and remember the first: host-bound signatures name that one."""
        chosen = super().choose_server_host_key(peer_host_key_algs)
        key = self.get_server_host_key()
        if chosen and not self._first_host_key and key is not None:
            self._first_host_key = key.public_data
        return chosen

    async def _process_kexinit(self, kind: int, seq: int, packet: SSHPacket) -> None:
        theirs = packet.get_full_payload()
        await super()._process_kexinit(kind, seq, packet)
        # RFC 4253 section 7: a guess is right only if both first choices agree; dropbear relies on it
        self._ignore_first_kex = _guesses(theirs) and _firsts(theirs) != _firsts(self._server_kexinit)

    def _process_ext_info(self, kind: int, seq: int, packet: SSHPacket) -> None:
        super()._process_ext_info(kind, seq, packet)
        self._can_recv_ext_info = False  # RFC 8308 section 2.4: once

    # Authentication

    def _process_userauth_request(self, kind: int, seq: int, packet: SSHPacket) -> Any:
        raw = SSHPacket(packet.get_full_payload())
        raw.get_byte()
        if not self._auth_complete and not self.user_name_allowed(raw.get_string()):
            raise IllegalUserName("user name not allowed")
        return super()._process_userauth_request(kind, seq, packet)

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """See `validate_signature`."""
        return await self.validate_signature(
            username, key_data, self._signed(msg), signature, host_bound=False
        )

    async def validate_host_bound(
        self, username: str, key_data: bytes, msg: bytes, signature: bytes, *, host_key: bytes
    ) -> bool:
        """See `validate_signature`; the host key must be the one this connection began with."""
        if not self._first_host_key or not hmac.compare_digest(host_key, self._first_host_key):
            return False
        return await self.validate_signature(
            username, key_data, self._signed(msg), signature, host_bound=True
        )

    def _signed(self, msg: bytes) -> bytes:
        return len(self._session_id).to_bytes(4, "big") + self._session_id + msg if msg else b""

    def public_key_auth_supported(self) -> bool:
        """Certificates are the only first factor."""
        return True

    def host_based_auth_supported(self) -> bool:
        """Never."""
        return False

    def password_auth_supported(self) -> bool:
        """Never."""
        return False

    def kbdint_auth_supported(self) -> bool:
        """Only where a subclass asks for a second factor."""
        return False

    def more_time(self, seconds: float) -> None:
        """Begin the time for logging in anew."""
        self._cancel_login_timer()
        self._login_timer = self._loop.call_later(seconds, self._login_timer_callback)

    def say(self, text: str) -> None:
        """Show a line to a person who is not logged in yet (RFC 4252 section 5.4)."""
        if not self._auth_complete and self._transport is not None:
            self.send_auth_banner(text.rstrip("\n") + "\r\n")

    def part(self, text: str) -> None:
        """Tell a person why, and close."""
        if self._transport is not None:
            self.disconnect(DISC_BY_APPLICATION, text)

    _packet_handlers = {  # noqa: RUF012 - as the class above has it
        **SSHServerConnection._packet_handlers,
        MSG_KEXINIT: _process_kexinit,
        MSG_EXT_INFO: _process_ext_info,
        MSG_USERAUTH_REQUEST: _process_userauth_request,
        MSG_CHANNEL_OPEN: Opening._process_channel_open,
        MSG_GLOBAL_REQUEST: Opening._process_global_request,
    }


def _kexinit(payload: bytes) -> tuple[list[Sequence[bytes]], bool]:
    packet = SSHPacket(payload)
    packet.get_bytes(1 + COOKIE)
    lists = [packet.get_namelist() for _ in range(KEXINIT_LISTS)]
    return lists, packet.get_boolean()


def _guesses(payload: bytes) -> bool:
    return _kexinit(payload)[1]


def _firsts(payload: bytes) -> tuple[bytes, bytes]:
    kex, host_keys, *_ = _kexinit(payload)[0]
    if not kex or not host_keys:
        raise ProtocolError("Empty list of algorithms")
    return kex[0], host_keys[0]
