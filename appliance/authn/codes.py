"""One-time codes: an adapter over the `authenticators` library, in our verbs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.domain.operations.people import TotpOffer
from authenticators.errors import OtpError, RecoveryCodeError
from authenticators.otp.totp import Totp
from authenticators.recovery_codes import RecoveryCodeSet, generate
from authenticators.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecoveryCodes:
    """A fresh set: what is shown once, and what is kept."""

    shown: tuple[str, ...]
    stored: str


@dataclass(frozen=True, slots=True)
class Codes:
    """TOTP and recovery codes; `random(n)` returns n random bytes."""

    random: Callable[[int], bytes]

    def new_recovery(self) -> NewRecoveryCodes:
        """Make a fresh set of recovery codes."""
        shown, stored = generate(self.random)
        return NewRecoveryCodes(shown=shown, stored=json.dumps(stored.to_dict()))

    def totp_offer(self, secret: bytes, *, user: str, issuer: str) -> TotpOffer:
        """Return what a person needs to put a secret into their app."""
        uri = Totp(secret=Secret(secret)).provisioning_uri(account=user, issuer=issuer)
        return TotpOffer(secret=base64.b32encode(secret).decode("ascii"), uri=uri)

    def totp_step(self, secret: bytes, code: str, *, last_step: int | None, now: datetime) -> int | None:
        """Return the time step of a right code that was not used before, or None."""
        try:
            return Totp(secret=Secret(secret)).verify(code, now=now, last_step=last_step)
        except OtpError:
            return None

    def recovery(self, stored: str, code: str) -> str | None:
        """Return the set without the code that was typed, or None if it is none of them."""
        if not stored:
            return None
        codes = RecoveryCodeSet.from_dict(json.loads(stored))
        try:
            return json.dumps(codes.without(codes.verify(code)).to_dict())
        except RecoveryCodeError:
            return None
