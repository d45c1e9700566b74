"""Which factors a person must prove to sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.authn.attempt import Requirement
from appliance.domain.decision import Factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.domain.records import Credentials

SETTINGS = {"otp": Factor.TOTP, "webauthn": Factor.WEBAUTHN}
"""The names of second factors in the configuration, and what they are."""


def enrolled(credentials: Credentials) -> frozenset[Factor]:
    """Return the second factors this person has."""
    has = {
        Factor.TOTP: bool(credentials.totp),
        Factor.WEBAUTHN: bool(credentials.webauthn),
        Factor.RECOVERY_CODE: bool(credentials.recovery),
    }
    return frozenset(factor for factor, there in has.items() if there)


def sign_in(credentials: Credentials, allowed: Iterable[str], *, required: bool) -> Requirement:
    """Return what it takes: the password, and a second factor that is allowed and enrolled.

    Where a factor is required and the person has none that is allowed, the requirement names the allowed ones
    all the same: it can't be met, which is a refusal, never a way around (threat M11).
    """
    permitted = frozenset(SETTINGS[name] for name in allowed)
    usable = enrolled(credentials) & permitted
    password = frozenset({Factor.PASSWORD})
    if not usable and not required:
        return Requirement((password,))
    return Requirement((password, (usable or permitted) | {Factor.RECOVERY_CODE}))
