"""Signing in: proofs in, an accepted attempt out.

Wrong proofs are refused together and without saying which was wrong; unknown users take the same path at the
same cost. What a proof uses up (a TOTP step, a recovery code, a counter) is written by compare-and-swap
before the proof counts, so of two parallel uses one wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, assert_never

from appliance.authn.attempt import Attempt, Requirement
from appliance.authn.codes import Codes
from appliance.authn.passkeys import CloneSuspected, Passkeys
from appliance.authn.password import PasswordCheck
from appliance.authn.requirement import SETTINGS, enrolled, sign_in
from appliance.authn.seeds import SeedVault
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.preferences import Preferences
from appliance.broker.state import State
from appliance.broker.throttle import Throttle
from appliance.domain import names
from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, Denied, Invalid, NotFound
from appliance.domain.events import Event, EventName
from appliance.domain.operations import people
from appliance.domain.records import Credentials, LoginAttempt

if TYPE_CHECKING:
    from appliance.store.repository import Stored

ATTEMPT_LIFE = timedelta(minutes=5)
ID_BYTES = 24
MAX_PROOFS = 4
REFUSED = "the name, password or code is wrong"
PASSWORDLESS = Requirement((frozenset({Factor.WEBAUTHN}),))
NOBODY = "-"
"""Stands for every name that no account can have: people type passwords where the name belongs."""
CODES = frozenset({Factor.TOTP, Factor.RECOVERY_CODE})

Change = Callable[[Credentials], Credentials]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Begin an attempt, and judge what is offered for it."""

    state: State
    codes: Codes
    passkeys: Passkeys
    passwords: PasswordCheck
    vault: SeedVault
    throttle: Throttle
    random: Randomness
    trail: Trail
    clock: Clock
    preferences: Preferences

    def begin(self, identity: object, request: people.LoginBegin) -> people.AttemptPending:
        """Return the same answer for every name; with no name, options for any passkey of this site."""
        del identity
        now, ceremony, options = self.clock.now(), None, None
        if not request.user:
            self._check_passkeys_allowed()
            options, ceremony = self.passkeys.begin_authentication(handle=None, credentials=(), now=now)
        attempt = LoginAttempt(
            id=self.random.bytes(ID_BYTES).hex(),
            user=_possible(request.user),
            source=request.source,
            created_at=now,
            expires_at=now + ATTEMPT_LIFE,
            ceremony=ceremony,
            passwordless=not request.user,
        )
        self.state.attempts.create(attempt)
        factors = (Factor.PASSWORD, *(SETTINGS[name] for name in self.preferences.current().second_factors))
        return people.AttemptPending(
            attempt=attempt.id,
            factors=factors if request.user else (Factor.WEBAUTHN,),
            webauthn=options,
        )

    def prove(
        self, identity: object, request: people.LoginProve
    ) -> people.AttemptPending | people.AttemptAccepted:
        """Judge the proofs; one that is wrong refuses them all."""
        del identity
        stored = self._open(request)
        user = stored.value.user or self._passkey_owner(request)
        counted = self.throttle.admit(user, request.source)
        try:
            answer = self._judge(stored, user, request)
        except Denied as error:
            event = Event(name=EventName.AUTH, user=user, source=request.source, error=error.reason)
            self.trail.record(event)
            refusal = Denied(error.reason, message=REFUSED)
            refusal.recorded = True
            raise refusal from error
        except Exception:
            # Not the person's failure, so it does not count as one; it goes on to the border as it is.
            self.throttle.forgive(counted)
            raise
        self.throttle.forgive(counted)
        if isinstance(answer, people.AttemptAccepted):
            self.throttle.succeeded(user, request.source)
        return answer

    def _check_passkeys_allowed(self) -> None:
        if Factor.WEBAUTHN not in {SETTINGS[name] for name in self.preferences.current().second_factors}:
            raise Denied("passkey offered where webauthn is not allowed", message="type your user name")

    def _open(self, request: people.LoginProve) -> Stored[LoginAttempt]:
        stored = self.state.attempts.find(request.attempt)
        if stored is None or stored.value.spent or not 0 < len(request.proofs) <= MAX_PROOFS:
            raise NotFound("this sign-in has expired: begin again")
        return stored

    def _passkey_owner(self, request: people.LoginProve) -> str:
        """Return whose passkey answers, by what it says of itself; empty when that is nobody."""
        proofs = [proof for proof in request.proofs if isinstance(proof, people.WebauthnProof)]
        try:
            handle = self.passkeys.user_handle(proofs[0].response) if proofs else b""
        except Denied:
            return ""  # judged, and refused with its reason, when it is its turn
        found = self.state.handles.find(handle.hex()) if handle else None
        return found.value.user if found else ""

    def _judge(
        self, stored: Stored[LoginAttempt], user: str, request: people.LoginProve
    ) -> people.AttemptPending | people.AttemptAccepted:
        record = stored.value
        if record.source != request.source:
            raise Denied(f"attempt of {record.source} proved from {request.source}", message=REFUSED)
        credentials = self._credentials(user, record.created_at)
        attempt = self._attempt(record, credentials)
        for proof in sorted(request.proofs, key=_order):
            _check_turn(record, attempt, proof)
            if credentials is None and not isinstance(proof, people.PasswordProof):
                raise Denied("unknown user", message=REFUSED)
            attempt = attempt.with_proof(self._prove(record, user, credentials, attempt, proof))
        if credentials is None:
            raise Denied("unknown user", message=REFUSED)
        return self._answer(stored, user, credentials, attempt, request.source)

    def _credentials(self, user: str, begun: datetime) -> Credentials | None:
        """Return what an active account has, unless the attempt was begun before it was that account's."""
        account = self.state.users.find(user or NOBODY)
        credentials = self.state.credentials.find(user or NOBODY)
        usable = account is not None and account.value.active and account.value.covers(begun)
        return credentials.value if usable and credentials else None

    def _attempt(self, record: LoginAttempt, credentials: Credentials | None) -> Attempt:
        if record.passwordless:
            return Attempt(PASSWORDLESS)
        proved = frozenset(Factor(name) for name in record.proved)
        if credentials is None:
            return Attempt(Requirement((frozenset({Factor.PASSWORD}),)), proved)
        return Attempt(self._requirement(credentials), proved)

    def _requirement(self, credentials: Credentials) -> Requirement:
        settings = self.preferences.current()
        return sign_in(credentials, settings.second_factors, required=settings.required)

    def _prove(
        self,
        record: LoginAttempt,
        user: str,
        credentials: Credentials | None,
        attempt: Attempt,
        proof: people.Proof,
    ) -> Factor:
        match proof:
            case people.PasswordProof(password=password):
                if not self.passwords(credentials.password if credentials else None, password):
                    raise Denied("wrong password" if credentials else "unknown user", message=REFUSED)
                return Factor.PASSWORD
            case people.CodeProof(code=code):
                return self._prove_code(user, code, attempt.missing)
            case people.WebauthnProof():
                return self._prove_passkey(record, user, proof)
            case unknown:
                assert_never(unknown)

    def _prove_code(self, user: str, code: str, missing: frozenset[Factor]) -> Factor:
        credentials = self.state.credentials.get(user)
        now = self.clock.now()
        for device in credentials.value.totp if Factor.TOTP in missing else ():
            secret = self.vault.open(device.sealed_secret, user=user, device=device.id)
            step = self.codes.totp_step(secret, code, last_step=device.last_step, now=now)
            if step is not None:
                used = replace(device, last_step=step, last_used=now)
                devices = tuple(used if one.id == device.id else one for one in credentials.value.totp)
                self._use_up(credentials, replace(credentials.value, totp=devices))
                return Factor.TOTP
        rest = self.codes.recovery(credentials.value.recovery, code)
        if rest is None:
            raise Denied("wrong or used code", message=REFUSED)
        self.trail.record(Event(name=EventName.RECOVERY_CODE_USED, user=user))
        self._use_up(credentials, replace(credentials.value, recovery=rest))
        return Factor.RECOVERY_CODE

    def _prove_passkey(self, record: LoginAttempt, user: str, proof: people.WebauthnProof) -> Factor:
        credentials, now = self.state.credentials.get(user), self.clock.now()
        if record.ceremony is None:
            raise Denied("assertion without a ceremony", message=REFUSED)
        self._spend_ceremony(record)
        known = {device.credential_id: device.credential for device in credentials.value.webauthn}
        try:
            done = self.passkeys.complete_authentication(
                record.ceremony, proof.response, credentials=known, now=now
            )
        except CloneSuspected as alarm:
            self.trail.record(Event(name=EventName.MFA_CLONE, user=user, error=alarm.reason))
            raise
        devices = tuple(
            replace(device, credential=done.credential, last_used=now)
            if device.credential_id == done.credential_id
            else device
            for device in credentials.value.webauthn
        )
        self._use_up(credentials, replace(credentials.value, webauthn=devices))
        return Factor.WEBAUTHN

    def _spend_ceremony(self, record: LoginAttempt) -> None:
        def spend(current: LoginAttempt) -> LoginAttempt:
            if current.ceremony != record.ceremony:
                raise Denied("ceremony used twice", message=REFUSED)
            return replace(current, ceremony=None)

        self.state.attempts.modify(record.id, spend)

    def _use_up(self, stored: Stored[Credentials], changed: Credentials) -> None:
        try:
            self.state.credentials.update(changed, stored.revision)
        except Conflict as error:
            raise Denied("a factor was used twice at the same time", message=REFUSED) from error

    def _answer(
        self,
        stored: Stored[LoginAttempt],
        user: str,
        credentials: Credentials,
        attempt: Attempt,
        source: str,
    ) -> people.AttemptPending | people.AttemptAccepted:
        now = self.clock.now()
        options, ceremony = None, None
        if attempt.missing & {Factor.WEBAUTHN} and credentials.webauthn:
            keys = tuple(device.credential for device in credentials.webauthn)
            options, ceremony = self.passkeys.begin_authentication(
                handle=credentials.handle, credentials=keys, now=now
            )
        proved = tuple(sorted(attempt.proved))
        if attempt.accepted:
            factors = {"factors": proved}
            self.trail.record(Event(name=EventName.AUTH, user=user, source=source, detail=factors))
        self._keep(stored.value.id, user, proved, ceremony)
        if attempt.accepted:
            return people.AttemptAccepted(attempt=stored.value.id, user=user)
        usable = attempt.missing & (enrolled(credentials) | {Factor.PASSWORD})
        return people.AttemptPending(attempt=stored.value.id, factors=tuple(sorted(usable)), webauthn=options)

    def _keep(self, attempt: str, user: str, proved: tuple[str, ...], ceremony: str | None) -> None:
        def keep(current: LoginAttempt) -> LoginAttempt:
            return replace(current, user=user, proved=proved, ceremony=ceremony)

        self.state.attempts.modify(attempt, keep)

    def spend(self, attempt: str, source: str) -> str:
        """Return the user of an accepted attempt and spend it; raises `Denied` for any other."""
        found = self.state.attempts.find(attempt)
        if found is None or found.value.spent or not self._accepted(found.value):
            raise Denied("attempt not accepted, spent or expired", message="sign in first")
        if found.value.source != source:
            raise Denied(f"attempt of {found.value.source} spent from {source}", message="sign in first")
        try:
            self.state.attempts.update(replace(found.value, spent=True), found.revision)
        except Conflict as error:
            raise Denied("attempt spent twice", message="sign in first") from error
        return found.value.user

    def _accepted(self, record: LoginAttempt) -> bool:
        credentials = self._credentials(record.user, record.created_at)
        if credentials is None:
            return False
        proved = frozenset(Factor(name) for name in record.proved)
        needed = self._requirement(credentials)
        passwordless = record.passwordless and Attempt(PASSWORDLESS, proved).accepted
        return passwordless or Attempt(needed, proved).accepted


def _possible(user: str) -> str:
    """Return a name that an account could have, `NOBODY` for any other, empty for none."""
    try:
        return names.user_name(user) if user else ""
    except Invalid:
        return NOBODY


def _check_turn(record: LoginAttempt, attempt: Attempt, proof: people.Proof) -> None:
    """Raise `Denied` for a second factor before the first, or for one that would not count.

    Otherwise codes could be guessed, and used up, by somebody who doesn't know the password; and who exists
    could be told by the time it takes.
    """
    match proof:
        case people.PasswordProof():
            counts = not record.passwordless
        case people.CodeProof():
            counts = bool(CODES & attempt.missing)
        case people.WebauthnProof():
            counts = Factor.WEBAUTHN in attempt.missing
        case unknown:
            assert_never(unknown)
    if not counts:
        raise Denied("a proof out of its turn, or of a kind that does not count here", message=REFUSED)


def _order(proof: people.Proof) -> int:
    """The password first: a code is not used up for somebody who doesn't know it."""
    return 0 if isinstance(proof, people.PasswordProof) else 1
