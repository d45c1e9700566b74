"""The typed client of the auth API: the only way in, for proxy, web, node and the tools.

    api        `Api.call(operation name, request) -> response`, over a Unix socket or mutual TLS
    transport  how bytes get there: `UnixTransport`, `TlsTransport` (several servers), `WebTransport`

A peer's refusal arrives as the same `SallyportError` that the service raised.
"""

from appliance.client.api import Api
from appliance.client.transport import PinnedAuthority, TlsTransport, Transport, UnixTransport, WebTransport

__all__ = ["Api", "PinnedAuthority", "TlsTransport", "Transport", "UnixTransport", "WebTransport"]
