"""Copies of the events as syslog messages (RFC 5424), over UDP, TCP, TLS or a Unix socket."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from appliance.audit.errors import SinkUnavailable
from appliance.audit.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 10.0
"""Seconds for a connection, and for each batch."""
FACILITY = 13
"""`log audit` (RFC 5424 §6.2.1)."""
WARNING, INFORMATIONAL = 4, 6
MAX_DATAGRAM = 65_000
"""Bytes; a longer event is cut over UDP, which can't carry more."""


class Transport(StrEnum):
    """How syslog messages travel."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    UNIX = "unix"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogTarget:
    """A syslog server. `host` is a path for `unix`; `ca_file` is for `tls`, None takes the system's."""

    transport: Transport
    host: str
    port: int = 0
    hostname: str = "-"
    app_name: str = "sallyport"
    ca_file: Path | None = None


def syslog_message(line: bytes, target: SyslogTarget) -> bytes:
    """Return an event as an RFC 5424 message, the line itself as its text."""
    record: dict[str, Any] = json.loads(line)
    code = str(record.get("code", ""))
    priority = FACILITY * 8 + (WARNING if code.endswith("W") else INFORMATIONAL)
    header = f"<{priority}>1 {_word(record.get('time'), 48)} {_word(target.hostname, 255)}"
    name = f"{_word(target.app_name, 48)} - {_word(record.get('event'), 32)} -"
    return f"{header} {name} ".encode("ascii") + line


def _word(value: object, length: int) -> str:
    """Return a header field: printable ASCII without spaces, or the nil value."""
    text = "".join(character for character in str(value or "") if "!" <= character <= "~")
    return text[:length] or "-"


class SyslogSink(Sink):
    """Sends RFC 5424 messages; over streams with octet counting (RFC 6587 §3.4.1).

    UDP acknowledges nothing, and TCP only that the message left: for proof use the HTTP sink or an
    anchor.
    """

    def __init__(self, target: SyslogTarget) -> None:
        self._target = target
        self._socket: socket.socket | None = None

    def send(self, lines: Sequence[bytes]) -> None:
        """Send each line as a message."""
        messages = [syslog_message(line, self._target) for line in lines]
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._send(self._socket, messages)
        except OSError as error:
            self.close()
            raise SinkUnavailable(f"syslog {self._target.host}: {error}") from error

    def close(self) -> None:
        """Close the connection; the next batch opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        address = (self._target.host, self._target.port)
        match self._target.transport:
            case Transport.UDP:
                family, _, _, _, found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
                return _connected(socket.socket(family, socket.SOCK_DGRAM), found)
            case Transport.UNIX:
                return _connected(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), self._target.host)
            case Transport.TCP:
                return socket.create_connection(address, timeout=TIMEOUT)
            case Transport.TLS:
                return self._secured(socket.create_connection(address, timeout=TIMEOUT))
            case _:
                assert_never(self._target.transport)

    def _secured(self, plain: socket.socket) -> socket.socket:
        context = ssl.create_default_context(cafile=self._target.ca_file)
        try:
            return context.wrap_socket(plain, server_hostname=self._target.host)
        except BaseException:
            plain.close()
            raise

    def _send(self, connection: socket.socket, messages: Sequence[bytes]) -> None:
        match self._target.transport:
            case Transport.UDP | Transport.UNIX:
                for message in messages:
                    connection.send(message[:MAX_DATAGRAM])
            case Transport.TCP | Transport.TLS:
                connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            case _:
                assert_never(self._target.transport)


def _connected(connection: socket.socket, address: Any) -> socket.socket:
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection
