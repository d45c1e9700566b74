"""Finishing a sign-up: a password, one second factor that is seen to work, recovery codes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.authn.codes import Codes
from appliance.authn.passkeys import Passkeys
from appliance.authn.password import hash_password
from appliance.authn.requirement import SETTINGS
from appliance.authn.seeds import SeedVault
from appliance.broker.accounts import Links
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.preferences import Preferences
from appliance.broker.state import State
from appliance.domain import codec
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, Invalid
from appliance.domain.events import Event, EventName
from appliance.domain.operations import people
from appliance.domain.records import Credentials, Handle, Invite, TotpDevice, WebauthnDevice

if TYPE_CHECKING:
    from appliance.store.repository import Stored

TOTP_SECRET_BYTES = 20
"""RFC 4226 section 4, R6: 160 bits recommended."""
HANDLE_BYTES = 32
MAX_DEVICE_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """An enrolment under way, kept in the link's record."""

    factor: Factor
    device: str
    handle: bytes
    state: str
    """The relying party's state, or the sealed TOTP secret in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What a person does with a sign-up link."""

    state: State
    links: Links
    codes: Codes
    passkeys: Passkeys
    vault: SeedVault
    random: Randomness
    trail: Trail
    clock: Clock
    preferences: Preferences
    cluster: str
    shortest_password: int

    def show(self, identity: object, request: people.InviteToken) -> people.InviteView:
        """Return whose link it is."""
        del identity
        invite = self.links.open(request.token).value
        return people.InviteView(
            user=invite.user,
            kind=invite.kind,
            expires_at=invite.expires_at,
            factors=self.preferences.current().second_factors,
            shortest_password=self.shortest_password,
        )

    def begin(self, identity: object, request: people.EnrolBegin) -> people.TotpOffer | people.WebauthnOffer:
        """Offer a fresh secret or a WebAuthn ceremony; beginning again replaces the one before."""
        del identity
        invite = self.links.open(request.token)
        if request.factor not in {SETTINGS[name] for name in self.preferences.current().second_factors}:
            raise Invalid(f"{request.factor} can't be enrolled in this cluster")
        device, handle = self.random.uuid(), self.random.bytes(HANDLE_BYTES)
        base = Credentials(user=invite.value.user, password="", handle=handle)
        offer, ceremony = self.offered(base, request.factor, device)
        self._keep(invite, ceremony)
        return offer

    def finish(self, identity: object, request: people.EnrolFinish) -> people.Enrolled:
        """Judge the proof, then make the account usable: everything in one commit, and the link is spent."""
        del identity
        invite = self.links.open(request.token)
        if invite.value.ceremony is None:
            raise Invalid("no factor was begun with this link")
        ceremony: Ceremony = codec.loads(Ceremony, invite.value.ceremony)
        user = invite.value.user
        name = device_name(request.device_name)
        password = hash_password(request.password, shortest=self.shortest_password, user=user)
        base = Credentials(user=user, password=password, handle=ceremony.handle)
        try:
            credentials = self.with_device(base, ceremony, name, request.proof)
        except Denied as error:
            self.trail.record(Event(name=EventName.INVITE_USE, user=user, error=error.reason))
            error.recorded = True
            raise
        fresh = self.codes.new_recovery()
        self._record(user, ceremony.factor, name)
        self._commit(invite, replace(credentials, recovery=fresh.stored))
        return people.Enrolled(user=user, recovery_codes=fresh.shown)

    def offered(
        self, base: Credentials, factor: Factor, device: str
    ) -> tuple[people.TotpOffer | people.WebauthnOffer, Ceremony]:
        """Return what a person needs to enrol a further device, and the ceremony to finish it by."""
        if factor is Factor.TOTP:
            return self._offered_totp(base, device)
        options, state = self.passkeys.begin_registration(
            user=base.user,
            handle=base.handle,
            now=self.clock.now(),
            exclude=tuple(one.credential for one in base.webauthn),
        )
        ceremony = Ceremony(factor=Factor.WEBAUTHN, device=device, handle=base.handle, state=state)
        return people.WebauthnOffer(options=options), ceremony

    def _offered_totp(self, base: Credentials, device: str) -> tuple[people.TotpOffer, Ceremony]:
        secret = self.random.bytes(TOTP_SECRET_BYTES)
        sealed = base64.b64encode(self.vault.seal(secret, user=base.user, device=device)).decode("ascii")
        offer = self.codes.totp_offer(secret, user=base.user, issuer=f"Sallyport {self.cluster}")
        return offer, Ceremony(factor=Factor.TOTP, device=device, handle=base.handle, state=sealed)

    def _keep(self, invite: Stored[Invite], ceremony: Ceremony) -> None:
        changed = replace(invite.value, ceremony=codec.dumps(ceremony).decode())
        self.state.invites.update(changed, invite.revision)

    def with_device(
        self,
        base: Credentials,
        ceremony: Ceremony,
        name: str,
        proof: people.CodeProof | people.WebauthnProof,
    ) -> Credentials:
        """Return what the person has with the new device; raises `Denied` for a proof that fails."""
        match proof, ceremony.factor:
            case people.CodeProof(code=code), Factor.TOTP:
                return replace(base, totp=(*base.totp, self._totp_device(base.user, ceremony, name, code)))
            case people.WebauthnProof(response=response), Factor.WEBAUTHN:
                return replace(
                    base, webauthn=(*base.webauthn, self._webauthn_device(ceremony, name, response))
                )
        raise Invalid("the proof does not belong to the factor that was begun")

    def _totp_device(self, user: str, ceremony: Ceremony, name: str, code: str) -> TotpDevice:
        sealed = base64.b64decode(ceremony.state)
        secret = self.vault.open(sealed, user=user, device=ceremony.device)
        now = self.clock.now()
        step = self.codes.totp_step(secret, code, last_step=None, now=now)
        if step is None:
            raise Denied(
                "wrong code at enrolment", message="that code is not right: check the device's clock"
            )
        return TotpDevice(id=ceremony.device, name=name, sealed_secret=sealed, last_step=step, created_at=now)

    def _webauthn_device(self, ceremony: Ceremony, name: str, response: dict[str, Any]) -> WebauthnDevice:
        now = self.clock.now()
        credential_id, credential = self.passkeys.complete_registration(ceremony.state, response, now=now)
        return WebauthnDevice(
            id=ceremony.device, name=name, credential_id=credential_id, credential=credential, created_at=now
        )

    def _record(self, user: str, factor: Factor, device: str) -> None:
        for name in (EventName.INVITE_USE, EventName.MFA_ADD, EventName.RECOVERY_CODES):
            detail = {"factor": str(factor), "device": device} if name is EventName.MFA_ADD else {}
            self.trail.record(Event(name=name, user=user, detail={**detail}))

    def _commit(self, invite: Stored[Invite], credentials: Credentials) -> None:
        user = self.state.users.get(invite.value.user)
        now = self.clock.now()
        used = replace(invite.value, used_at=now, ceremony=None)
        signed_up = replace(user.value, active=True, since=now)
        spent = self.state.invites.key(used.id)
        old = self.state.credentials.find(credentials.user)
        keep = (
            self.state.credentials.replacement(credentials, old.revision)
            if old
            else self.state.credentials.creation(credentials)
        )
        self.state.backend.transact(
            [
                self.state.invites.replacement(used, invite.revision),
                self.state.users.replacement(signed_up, user.revision),
                keep,
                self.state.handles.creation(Handle(handle=credentials.handle.hex(), user=credentials.user)),
                *(one for one in self.links.voided(credentials.user) if one.key != spent),
            ]
        )


def device_name(given: str) -> str:
    """Return the name of a device; raises `Invalid`."""
    name = given.strip() or "first device"
    if len(name) > MAX_DEVICE_NAME or not name.isprintable():
        raise Invalid(f"a device name has at most {MAX_DEVICE_NAME} printable characters")
    return name
