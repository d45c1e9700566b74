"""How a cluster's TLS authority becomes known: saved before, trusted by the system, pinned, or confirmed.

Nothing secret is sent before one of the four holds. A first contact that is not verified is used for one
thing:
to read the authority's certificate, which is then compared with the pin, or shown to the person.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.client.api import Api
from appliance.client.transport import PinnedAuthority, WebTransport, tls_context
from appliance.domain import names
from appliance.domain.errors import Denied, Unavailable
from appliance.domain.operations.operation import Nothing
from appliance.domain.operations.people import ClusterInfo

if TYPE_CHECKING:
    from appliance.client.person.home import Home

SECONDS = 10.0
Confirm = Callable[[str], bool]
"""Shows a pin and asks whether it is the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A web address that is known, and the way to call it."""

    api: Api
    info: ClusterInfo
    system_trust: bool


def contact(home: Home, proxy: str, *, pin: str | None, confirm: Confirm) -> Contact:
    """Return a verified way to the cluster at `proxy`; raises `Denied` when it is not who it should be."""
    saved = home.authority(proxy)
    if pin is None and not saved.exists() and _system_trusts(proxy):
        return _contact(proxy, ssl.create_default_context(), system_trust=True)
    if pin is not None or not saved.exists():
        home.save_authority(proxy, _first_contact(proxy, pin, confirm))
    return _contact(proxy, tls_context(saved.read_text()), system_trust=False)


def _contact(proxy: str, context: ssl.SSLContext, *, system_trust: bool) -> Contact:
    api = Api(WebTransport([proxy], context))
    info: ClusterInfo = api.call("cluster.ping", Nothing())
    return Contact(api=api, info=info, system_trust=system_trust)


def _system_trusts(proxy: str) -> bool:
    try:
        _handshake(proxy, ssl.create_default_context())
    except ssl.SSLCertVerificationError:
        return False
    return True


def _first_contact(proxy: str, pin: str | None, confirm: Confirm) -> str:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    api = Api(WebTransport([proxy], unverified))
    try:
        info: ClusterInfo = api.call("cluster.ping", Nothing())
    finally:
        api.close()
    return ssl.DER_cert_to_PEM_cert(_vouched_for(proxy, info, pin, confirm))


def _vouched_for(proxy: str, info: ClusterInfo, pin: str | None, confirm: Confirm) -> bytes:
    """Return the one authority that the pin or the person vouches for.

    Whoever answered may be anybody, and may have put an authority of their own beside the right one: what
    else they say is trusted comes in later, over a connection that this one has verified.
    """
    found = PinnedAuthority.of(info.tls_authority)
    if pin is None:
        if not confirm(found.pin):
            raise Denied("authority not confirmed", message="not confirmed: nothing was sent")
        return info.tls_authority
    for offered in (info.tls_authority, *info.tls_authorities):
        if PinnedAuthority(pin).matches(offered):
            return offered
    raise Denied("pin differs", message=f"{proxy} is not the cluster of this pin: it shows {found.pin}")


def pem(certificates: Iterable[bytes]) -> str:
    """Return DER certificates as one PEM text, each once."""
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in dict.fromkeys(certificates))


def _handshake(proxy: str, context: ssl.SSLContext) -> None:
    host, port = names.host_port(proxy)
    try:
        with (
            socket.create_connection((host, port), timeout=SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        raise Unavailable(f"{proxy} can't be reached: {error}") from error
