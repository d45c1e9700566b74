"""The API's own TLS certificate, and what a sealed token may hold up at the start."""

from __future__ import annotations

import logging
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.domain.errors import Sealed, Unavailable
from appliance.roles import notify
from appliance.roles.layout import closed, secret_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    from appliance.broker.broker import Rooms
    from appliance.broker.ports import Clock

RETRY = timedelta(minutes=1)
WAIT_SECONDS, PATIENCE_SECONDS = 1.0, 30.0

log = logging.getLogger(__name__)


def released(stop: Event, act: Callable[[], object]) -> bool:
    """Do something that may need the token; while that is sealed, say so and wait.

    Returns whether it was done: False when it is time to stop.
    """
    while True:
        try:
            act()
        except Sealed as error:
            notify.waiting(f"{error} (sallyctl unseal)", PATIENCE_SECONDS)
            if stop.wait(WAIT_SECONDS):
                return False
        else:
            return True


class ApiTls:
    """The API's TLS context, made anew when the TLS authority changes, and daily.

    Key and certificate are kept in a file closed to others, so that a start with a sealed token has one.
    """

    def __init__(self, folder: Path, rooms: Rooms, hosts: tuple[str, ...], clock: Clock) -> None:
        self._file = closed(folder) / "api.pem"
        self._rooms = rooms
        self._hosts = hosts
        self._clock = clock
        self._made_for: tuple[object, ...] = ()
        self._retry_at = clock.now()
        self._current = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection; raises `Sealed`, `Unavailable` where there was none."""
        authorities, now = self._rooms.authorities, self._clock.now()
        wanted = (authorities.tls_certificates(), authorities.tls_certificate(), now.date())
        if wanted != self._made_for and (not self._made_for or now >= self._retry_at):
            self._make_for(wanted)
        return self._current

    def _make_for(self, wanted: tuple[object, ...]) -> None:
        try:
            self._certify()
        except (Sealed, Unavailable) as error:
            if not self._file.exists():
                raise
            log.warning("the API keeps its certificate of before: %s", error)
            self._retry_at = self._clock.now() + RETRY
            wanted = ("the one of before",)
        self._current, self._made_for = self._load(), wanted

    def _certify(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        chain = self._rooms.web_pages.chain(public, self._hosts).chain
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        draft = self._file.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        secret_file(draft, private + chain.encode())
        draft.replace(self._file)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._file)
        for authority in self._rooms.authorities.tls_certificates():
            context.load_verify_locations(cadata=authority)
        return context
