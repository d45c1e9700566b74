"""A client that says what it likes: asyncssh's own transport, with every message above it written by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.connection import SSHClientConnection
from asyncssh.packet import Boolean, String, UInt32

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.bastion import Bastion

MSG_REQUEST, MSG_FAILURE, MSG_SUCCESS, MSG_BANNER, MSG_PK_OK = 50, 51, 52, 53, 60
CONNECTION = b"ssh-connection"
SECONDS = 10


class _Ear:
    """Stands where asyncssh's own authentication would, and only listens."""

    def __init__(self, heard: asyncio.Queue[tuple[int, bytes]]) -> None:
        self._heard = heard

    def log_received_packet(self, *_: Any) -> None: ...

    def process_packet(self, kind: int, _seq: int, packet: Any) -> bool:
        self._heard.put_nowait((kind, packet.get_remaining_payload()))
        return True

    def cancel(self) -> None: ...


class Attacker(SSHClientConnection):
    """After the key exchange it does nothing by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Any) -> None:
        super().__init__(loop, options)
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[Exception | None] = loop.create_future()
        self.heard: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

    def _validate_host_key(self, host: str, addr: str, port: int, key_data: bytes) -> Any:
        return asyncssh.public_key.decode_ssh_certificate(key_data).key

    def try_next_auth(self, *, next_method: bool = False) -> None:
        self._auth = _Ear(self.heard)  # type: ignore[assignment]
        self.ready.set_result(None)

    def _process_own(self, kind: int, _seq: int, packet: Any) -> None:
        self.heard.put_nowait((kind, packet.get_remaining_payload()))
        if kind == MSG_SUCCESS:
            self._auth_complete = True

    def _cleanup(self, exc: Exception | None) -> None:
        super()._cleanup(exc)
        if not self.gone.done():
            self.gone.set_result(exc)

    _packet_handlers = {  # noqa: RUF012
        **SSHClientConnection._packet_handlers,
        MSG_FAILURE: _process_own,
        MSG_SUCCESS: _process_own,
        MSG_BANNER: _process_own,
    }

    @property
    def session_id(self) -> bytes:
        return self._session_id

    def request(self, user: bytes, method: bytes, *rest: bytes, service: bytes = CONNECTION) -> None:
        """Send a USERAUTH_REQUEST."""
        self.send_packet(MSG_REQUEST, String(user), String(service), String(method), *rest)

    def key_request(
        self,
        user: bytes,
        blob: bytes,
        algorithm: bytes,
        *,
        signer: asyncssh.SSHKey | None = None,
        signature_algorithm: bytes | None = None,
        session_id: bytes | None = None,
        signed_user: bytes | None = None,
        signed_service: bytes = CONNECTION,
        signature: bytes | None = None,
    ) -> None:
        """Ask about a key, or (with `signer`) sign; what is signed can be other than what is sent."""
        signed = signer is not None or signature is not None
        head = Boolean(signed) + String(algorithm) + String(blob)
        if signer is not None and signature is None:
            data = (
                String(self._session_id if session_id is None else session_id)
                + bytes([MSG_REQUEST])
                + String(user if signed_user is None else signed_user)
                + String(signed_service)
                + String(b"publickey")
                + head
            )
            signature = signer.sign(data, signature_algorithm or signer.sig_algorithms[0])
        tail = b"" if signature is None else String(signature)
        self.request(user, b"publickey", head + tail)

    async def answer(self) -> int:
        """Return the type of the next answer, banners left out; 0 where the connection is closed instead."""
        while True:
            hear = asyncio.ensure_future(self.heard.get())
            async with asyncio.timeout(SECONDS):
                await asyncio.wait({hear, self.gone}, return_when=asyncio.FIRST_COMPLETED)
            if not hear.done():
                hear.cancel()
                return 0
            if hear.result()[0] != MSG_BANNER:
                return hear.result()[0]

    async def closed(self) -> Exception | None:
        """Wait until the bastion has closed the connection."""
        async with asyncio.timeout(SECONDS):
            return await asyncio.shield(self.gone)


@asynccontextmanager
async def attacking(bastion: Bastion, **options: Any) -> AsyncIterator[Attacker]:
    """Connect, exchange keys, ask for user authentication, and hand over."""
    loop = asyncio.get_running_loop()
    chosen = await asyncssh.SSHClientConnectionOptions.construct(
        None,
        config=None,
        host="127.0.0.1",
        port=bastion.port,
        username="x",
        known_hosts=([], [], []),
        **options,
    )
    attacker = Attacker(loop, chosen)
    await loop.create_connection(lambda: attacker, "127.0.0.1", bastion.port)
    async with asyncio.timeout(SECONDS):
        await attacker.ready
    try:
        yield attacker
    finally:
        attacker.abort()
        await attacker.wait_closed()


async def login(
    bastion: Bastion, user: str, key: asyncssh.SSHKey, paper: Any, **options: Any
) -> asyncssh.SSHClientConnection:
    """Log in at the bastion's own door with asyncssh; raises what asyncssh raises."""
    return await asyncssh.connect(
        "127.0.0.1",
        bastion.port,
        username=user,
        client_keys=[(key, paper)],
        known_hosts=([], [bastion.authority.host.convert_to_public()], []),
        config=None,
        agent_path=None,
        **options,
    )


async def refused(bastion: Bastion, user: str, key: asyncssh.SSHKey, paper: Any) -> bool:
    """Whether the bastion does not let this certificate in under this name."""
    try:
        connection = await login(bastion, user, key, paper)
    except (asyncssh.PermissionDenied, asyncssh.ConnectionLost, asyncssh.DisconnectError):
        return True
    connection.abort()
    await connection.wait_closed()
    return False


def direct_tcpip(host: str, port: int) -> tuple[bytes, ...]:
    """The payload of a direct-tcpip channel."""
    return String(host), UInt32(port), String("127.0.0.1"), UInt32(1)
