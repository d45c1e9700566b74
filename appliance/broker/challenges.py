"""Challenges: a fresh proof for exactly one thing (invariant 3; mission rows M1, A7, X1).

What it is for is written down canonically when it is begun: scope, user, cluster, facts, end. A security
key signs a challenge derived from the digest of that text and a nonce; text, nonce and assertion go into
the event, so that anyone can check later who said yes to what. A code is bound to the text by the record
alone. Whoever uses a challenge writes the text again from what they are about to do: it must be the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from appliance.authn.codes import Codes
from appliance.authn.passkeys import CloneSuspected, Passkeys
from appliance.authn.requirement import SETTINGS
from appliance.authn.seeds import SeedVault
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.preferences import Preferences
from appliance.broker.state import State
from appliance.broker.throttle import Throttle
from appliance.domain import codec
from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, Denied, NotFound
from appliance.domain.events import Event, EventName, Value
from appliance.domain.operations import challenges as messages
from appliance.domain.operations.challenges import Scope
from appliance.domain.operations.people import CodeProof, WebauthnProof
from appliance.store.repository import Repository
from authenticators.fido2.ceremony import derive_challenge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.broker.callers import Person
    from appliance.domain.records import Credentials
    from appliance.store.repository import Stored

LIFE = timedelta(minutes=5)
TAG = b"sallyport challenge v1\n"
ID_BYTES = 24
NONCE_BYTES = 32
MAX_TRIES = 5
MATCHING = 6
"""Characters of the short code: 30 bits, for people to compare."""
REFUSED = "that did not match: check the code, or use another key"
GONE = "this confirmation has ended: begin again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """How a challenge was answered."""

    factor: Factor
    at: datetime
    device: str
    verification: bool
    """Whether the key verified its person, by PIN or finger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge, from its beginning to its use."""

    id: str
    scope: Scope
    user: str
    canonical: str
    words: tuple[str, ...]
    without: str = ""
    """The device that may not answer: one that is being removed can't agree to that."""
    created_at: datetime
    expires_at: datetime
    nonce: bytes = b""
    ceremony: str | None = None
    """The relying party's state of the options shown last, taken out by an answer."""
    tries: int = 0
    met: Met | None = None
    spent: bool = False

    @property
    def digest(self) -> bytes:
        """SHA-256 of what is agreed to."""
        return hashlib.sha256(TAG + self.canonical.encode()).digest()

    @property
    def matching(self) -> str:
        """The short code."""
        return base64.b32encode(self.digest).decode("ascii")[:MATCHING]


def repository(state: State) -> Repository[Challenge]:
    """Return where challenges lie until they end."""
    return Repository(
        state.backend,
        prefix="challenges",
        kind=Challenge,
        name=lambda one: one.id,
        expires=lambda one: one.expires_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenges:
    """Begin, show, answer, use."""

    state: State
    codes: Codes
    passkeys: Passkeys
    vault: SeedVault
    throttle: Throttle
    preferences: Preferences
    random: Randomness
    trail: Trail
    clock: Clock
    cluster: str

    @property
    def kept(self) -> Repository[Challenge]:
        """Where they lie."""
        return repository(self.state)

    def begin(
        self, user: str, scope: Scope, facts: Mapping[str, str], words: tuple[str, ...], *, without: str = ""
    ) -> Challenge:
        """Return a fresh challenge; raises `Denied` when the person has no factor that could answer it."""
        if not self.factors(user, without=without):
            raise Denied(
                f"{user} has no second factor to confirm with", message="you have no factor for this"
            )
        now = self.clock.now()
        challenge = Challenge(
            id=self.random.bytes(ID_BYTES).hex(),
            scope=scope,
            user=user,
            canonical=self._canonical(user, scope, facts, now + LIFE),
            words=words,
            without=without,
            created_at=now,
            expires_at=now + LIFE,
        )
        self.kept.create(challenge)
        return challenge

    def factors(self, user: str, *, without: str = "") -> tuple[str, ...]:
        """Return the factors the person has and the cluster allows."""
        found = self.state.credentials.find(user)
        if found is None:
            return ()
        has = {
            Factor.TOTP: any(one.id != without for one in found.value.totp),
            Factor.WEBAUTHN: any(one.id != without for one in found.value.webauthn),
        }
        allowed = (SETTINGS[name] for name in self.preferences.current().second_factors)
        return tuple(factor for factor in allowed if has[factor])

    def show(self, identity: Person, request: messages.ChallengeNamed) -> messages.ChallengeView:
        """Return what is asked, with fresh options for the person's keys."""
        challenge = self._own(request.id, identity.user).value
        factors = self.factors(challenge.user, without=challenge.without)
        options = None
        if Factor.WEBAUTHN in factors and challenge.met is None:
            options = self._begin_ceremony(challenge)
        return messages.ChallengeView(
            id=challenge.id,
            scope=challenge.scope,
            words=challenge.words,
            matching=challenge.matching,
            factors=factors,
            webauthn=options,
            met=challenge.met is not None,
            expires_at=challenge.expires_at,
        )

    def answer(self, identity: Person, request: messages.ChallengeAnswer) -> messages.ChallengeMet:
        """Judge the person's yes."""
        challenge = self.prove(request.id, identity.user, request.proof, identity.source)
        return messages.ChallengeMet(id=challenge.id, expires_at=challenge.expires_at)

    def prove(self, name: str, user: str, proof: CodeProof | WebauthnProof, source: str) -> Challenge:
        """Return the challenge as met; raises `Denied` for a wrong proof, `Throttled` for too many."""
        stored = self._own(name, user)
        if stored.value.met is not None:
            raise Denied("challenge answered twice", message=GONE)
        counted = self.throttle.admit(user, source)
        # Written before the proof is looked at: no answer is judged twice, and tries can't run in parallel.
        stored = self._taken(stored)
        try:
            met, evidence = self._judge(stored.value, proof)
        except Denied as error:
            self._record(stored.value, source, {}, error=error.reason)
            error.recorded = True
            raise
        self.throttle.forgive(counted)
        self._record(stored.value, source, {"factor": met.factor, "device": met.device, **evidence})
        return self._swap(stored, replace(stored.value, met=met)).value

    def find_met(self, name: str, user: str, scope: Scope, facts: Mapping[str, str]) -> Met | None:
        """Return how a challenge for exactly this was answered, or None. It can be asked again."""
        found = self.kept.find(name)
        same = found is not None and self.is_for(found.value, user, scope, facts)
        return found.value.met if found is not None and same else None

    def spend(self, name: str, user: str, scope: Scope, facts: Mapping[str, str]) -> Challenge:
        """Use a challenge up for exactly this; raises `Denied` when it is for anything else."""
        found = self.kept.find(name)
        if found is None or found.value.spent or found.value.met is None:
            raise Denied("proof unknown, unmet, used or over", message=GONE)
        if not self.is_for(found.value, user, scope, facts):
            raise Denied("proof given for something else", message="that was confirmed for something else")
        return self._swap(found, replace(found.value, spent=True)).value

    def is_for(self, challenge: Challenge, user: str, scope: Scope, facts: Mapping[str, str]) -> bool:
        """Whether the challenge is this person's, for exactly these facts, and not over."""
        wanted = self._canonical(user, scope, facts, challenge.expires_at)
        now = self.clock.now()
        in_time = challenge.created_at <= now < challenge.expires_at
        return in_time and challenge.user == user and challenge.canonical == wanted

    def find(self, name: str) -> Challenge | None:
        """Return a challenge that is there."""
        found = self.kept.find(name)
        return None if found is None else found.value

    def _canonical(self, user: str, scope: Scope, facts: Mapping[str, str], ends: datetime) -> str:
        said = {"cluster": self.cluster, "scope": scope, "user": user, "facts": facts, "expires_at": ends}
        return codec.dumps(dict(sorted(said.items()))).decode()

    def _own(self, name: str, user: str) -> Stored[Challenge]:
        found = self.kept.find(name)
        if found is None or found.value.user != user or found.value.spent:
            raise NotFound(GONE)
        return found

    def _begin_ceremony(self, challenge: Challenge) -> dict[str, Any]:
        credentials = self.state.credentials.get(challenge.user).value
        nonce = self.random.bytes(NONCE_BYTES)
        options, ceremony = self.passkeys.begin_authentication(
            handle=credentials.handle,
            credentials=tuple(one.credential for one in credentials.webauthn if one.id != challenge.without),
            now=self.clock.now(),
            scope=challenge.scope,
            challenge=derive_challenge(digest=challenge.digest, nonce=nonce),
        )
        self.kept.modify(challenge.id, lambda now: replace(now, nonce=nonce, ceremony=ceremony))
        return options

    def _taken(self, stored: Stored[Challenge]) -> Stored[Challenge]:
        if stored.value.tries >= MAX_TRIES:
            raise Denied("too many answers to one challenge", message=GONE)
        taken = replace(stored.value, ceremony=None, tries=stored.value.tries + 1)
        ceremony = stored.value.ceremony
        written = self._swap(stored, taken)
        return replace(written, value=replace(written.value, ceremony=ceremony))

    def _swap(self, stored: Stored[Challenge], changed: Challenge) -> Stored[Challenge]:
        try:
            return self.kept.update(replace(changed, ceremony=None), stored.revision)
        except Conflict as error:
            raise Denied("a challenge was used twice at the same time", message=GONE) from error

    def _judge(self, challenge: Challenge, proof: CodeProof | WebauthnProof) -> tuple[Met, dict[str, Value]]:
        factors = self.factors(challenge.user, without=challenge.without)
        match proof:
            case CodeProof(code=code) if Factor.TOTP in factors:
                return self._judge_code(challenge, code), {}
            case WebauthnProof(response=response) if Factor.WEBAUTHN in factors:
                return self._judge_assertion(challenge, response)
            case CodeProof() | WebauthnProof():
                raise Denied("a factor that is not allowed or not there", message=REFUSED)
            case unknown:
                assert_never(unknown)

    def _judge_code(self, challenge: Challenge, code: str) -> Met:
        stored, now = self.state.credentials.get(challenge.user), self.clock.now()
        for device in stored.value.totp:
            if device.id == challenge.without:
                continue
            secret = self.vault.open(device.sealed_secret, user=challenge.user, device=device.id)
            step = self.codes.totp_step(secret, code, last_step=device.last_step, now=now)
            if step is not None:
                used = replace(device, last_step=step, last_used=now)
                devices = tuple(used if one.id == device.id else one for one in stored.value.totp)
                self._use_up(stored, replace(stored.value, totp=devices))
                return Met(factor=Factor.TOTP, at=now, device=device.id, verification=False)
        raise Denied("wrong or used code", message=REFUSED)

    def _judge_assertion(
        self, challenge: Challenge, response: dict[str, Any]
    ) -> tuple[Met, dict[str, Value]]:
        stored, now = self.state.credentials.get(challenge.user), self.clock.now()
        if challenge.ceremony is None:
            raise Denied("assertion without a ceremony", message=GONE)
        known = {
            one.credential_id: one.credential for one in stored.value.webauthn if one.id != challenge.without
        }
        try:
            done = self.passkeys.complete_authentication(
                challenge.ceremony, response, credentials=known, now=now, scope=challenge.scope
            )
        except CloneSuspected as alarm:
            self.trail.record(Event(name=EventName.MFA_CLONE, user=challenge.user, error=alarm.reason))
            raise
        device = next(one for one in stored.value.webauthn if one.credential_id == done.credential_id)
        used = replace(device, credential=done.credential, last_used=now)
        devices = tuple(used if one.id == device.id else one for one in stored.value.webauthn)
        self._use_up(stored, replace(stored.value, webauthn=devices))
        met = Met(factor=Factor.WEBAUTHN, at=now, device=device.id, verification=done.user_verified)
        return met, _evidence(challenge, response, done.credential)

    def _use_up(self, stored: Stored[Credentials], changed: Credentials) -> None:
        try:
            self.state.credentials.update(changed, stored.revision)
        except Conflict as error:
            raise Denied("a factor was used twice at the same time", message=REFUSED) from error

    def _record(
        self, challenge: Challenge, source: str, detail: Mapping[str, Value], *, error: str = ""
    ) -> None:
        head: dict[str, Value] = {
            "challenge": challenge.id,
            "challenge_scope": challenge.scope,
            "words": challenge.words,
            "canonical": challenge.canonical,
        }
        self.trail.record(
            Event(
                name=EventName.MFA_CHALLENGE,
                user=challenge.user,
                source=source,
                error=error,
                detail={**head, **detail},
            )
        )


def _evidence(challenge: Challenge, response: Mapping[str, Any], credential: str) -> dict[str, Value]:
    """Return everything that a later check of the signature needs, in base64url as browsers write it."""
    said = response["response"]
    return {
        "nonce": base64.urlsafe_b64encode(challenge.nonce).decode("ascii").rstrip("="),
        "public_key": str(json.loads(credential)["public_key"]),
        "authenticator_data": str(said["authenticatorData"]),
        "client_data_json": str(said["clientDataJSON"]),
        "signature": str(said["signature"]),
    }
