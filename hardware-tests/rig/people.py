"""A person at a browser: python-fido2's client with our own relying party at the other end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fido2.client import DefaultClientDataCollector, Fido2Client, UserInteraction

from authenticators.fido2.relying_party import RelyingParty
from authenticators.fido2.results import Authentication, Registered, User
from rig.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fido2.ctap import CtapDevice

    from authenticators.fido2.credential import Credential

RP_ID = "bastion.example"
ORIGIN = f"https://{RP_ID}"
JOE = User(handle=b"joe's handle", name="joe", display_name="Joe")
# A guest that is emulated instruction by instruction is slow; the ceremony's life is not what is tested.
SITE = RelyingParty(
    rp_id=RP_ID,
    name="Bastion",
    origins=frozenset({ORIGIN}),
    attestation="direct",
    lifetime=timedelta(minutes=10),
)


class Fingers(UserInteraction):
    """Touches when asked, knows a PIN or none."""

    def __init__(self, pin: str | None):
        self.pin = pin

    def prompt_up(self):
        """Touch."""

    def request_pin(self, permissions, rp_id):
        """Type the PIN."""
        return self.pin

    def request_uv(self, permissions, rp_id):
        """Use the finger."""
        return True


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody before a browser with a key in their hand."""

    bench: Bench
    pin: str | None = None

    def client(self, device: CtapDevice) -> Fido2Client:
        """Return the browser's half."""
        return Fido2Client(
            device,
            client_data_collector=DefaultClientDataCollector(ORIGIN),
            user_interaction=Fingers(self.pin),
        )

    def enrol(
        self,
        device: CtapDevice,
        *,
        exclude: Iterable[Credential] = (),
        verified: bool = False,
        passkey: bool = False,
    ) -> Registered:
        """Register the key with the site."""
        options, state = SITE.begin_registration(
            user=JOE,
            now=self.bench.now(),
            exclude=tuple(exclude),
            user_verification="required" if verified else "discouraged",
            resident_key="required" if passkey else "discouraged",
        )
        response = self.client(device).make_credential(options["publicKey"])
        return SITE.complete_registration(state, dict(response), now=self.bench.now())

    def log_in(
        self,
        device: CtapDevice,
        credentials: Iterable[Credential],
        *,
        verified: bool = False,
        passkey: bool = False,
    ) -> Authentication:
        """Log in to the site with one of the credentials."""
        known = tuple(credentials)
        options, state = SITE.begin_authentication(
            now=self.bench.now(),
            credentials=() if passkey else known,
            user_handle=None if passkey else JOE.handle,
            user_verification="required" if verified else "discouraged",
        )
        selection = self.client(device).get_assertion(options["publicKey"])
        return SITE.complete_authentication(
            state,
            dict(selection.get_response(0)),
            lookup={each.credential_id: each for each in known}.get,
            now=self.bench.now(),
        )
