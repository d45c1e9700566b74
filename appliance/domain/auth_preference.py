"""The resource `cluster_auth_preference`: how people prove who they are, cluster-wide (mission row M2).

Read as strictly as a role: fields of other products that this one would not enforce are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from appliance.domain.document import DocumentError, Reader, duration_text
from appliance.domain.role import MAX_SESSION_TTL, MIN_SESSION_TTL, LockingMode, SessionMfa
from appliance.domain.role_document import MFA_NAMES, Document, read_session_mfa

KIND = "cluster_auth_preference"
NAME = "cluster-auth-preference"
VERSION = "v2"
FACTORS = ("webauthn", "otp")
"""The second factors that exist."""
MAX_MESSAGE = 2048


class AdminMfa(StrEnum):
    """When administrative actions need a fresh check (mission row M1)."""

    AUTO = "auto"
    """Where WebAuthn is the only second factor."""
    ON = "on"
    """Always, by any second factor that the cluster allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthPreference:
    """The cluster's settings on proving oneself; times are whole seconds in certificates."""

    second_factors: tuple[str, ...] = FACTORS
    required: bool = True
    """Whether everybody must have a second factor."""
    rp_id: str = ""
    """The WebAuthn relying party's id. It never changes: all registered keys would be lost."""
    session_mfa: SessionMfa = SessionMfa.OFF
    admin_mfa: AdminMfa = AdminMfa.AUTO
    default_session_ttl: timedelta
    disconnect_expired_cert: bool = False
    locking: LockingMode = LockingMode.BEST_EFFORT
    message_of_the_day: str = ""

    @property
    def checks_admin_actions(self) -> bool:
        """Whether an administrative action needs a fresh check."""
        return self.admin_mfa is AdminMfa.ON or self.second_factors == ("webauthn",)


def parse_preference(document: Mapping[str, object], base: AuthPreference) -> AuthPreference:
    """Return what the document says, and `base` where it says nothing; raises `DocumentError`."""
    reader = Reader(document)
    _expect(reader, "kind", KIND)
    _expect(reader, "version", VERSION)
    metadata, spec = reader.section("metadata"), reader.section("spec")
    reader.done()
    if metadata.text("name", NAME) != NAME:
        raise metadata.error("name", f"expected {NAME}: there is one of this kind")
    for name in ("revision", "description", "namespace"):
        metadata.text(name)
    metadata.section("labels")
    metadata.done()
    preference = _spec(spec, base)
    spec.done()
    return preference


def _expect(reader: Reader, name: str, value: str) -> None:
    if (given := reader.required(name)) != value:
        raise reader.error(name, f"expected {value}, not {given[:64]!r}")


def _spec(spec: Reader, base: AuthPreference) -> AuthPreference:
    _refuse_unenforced(spec)
    factors, required = _factors(spec, base)
    webauthn = spec.section("webauthn")
    rp_id = webauthn.text("rp_id", base.rp_id)
    if rp_id != base.rp_id:
        raise webauthn.error("rp_id", f"is {base.rp_id} and can't change: every registered key would be lost")
    webauthn.done()
    session_mfa, disconnect = read_session_mfa(spec), spec.flag("disconnect_expired_cert")
    ttl = spec.duration("default_session_ttl", least=MIN_SESSION_TTL, most=MAX_SESSION_TTL)
    return AuthPreference(
        second_factors=factors,
        required=required,
        rp_id=rp_id,
        session_mfa=base.session_mfa if session_mfa is None else session_mfa,
        admin_mfa=spec.choice("admin_action_mfa", AdminMfa) or base.admin_mfa,
        default_session_ttl=ttl or base.default_session_ttl,
        disconnect_expired_cert=base.disconnect_expired_cert if disconnect is None else disconnect,
        locking=spec.choice("locking_mode", LockingMode) or base.locking,
        message_of_the_day=spec.text("message_of_the_day", base.message_of_the_day, limit=MAX_MESSAGE),
    )


def _refuse_unenforced(spec: Reader) -> None:
    """Refuse what would be believed and not done; accept the values that change nothing."""
    if spec.text("type", "local") != "local" or spec.text("connector_name"):
        raise spec.error("type", "only local accounts exist here")
    for name, usual in (("allow_local_auth", True), ("allow_passwordless", True)):
        if spec.flag(name) not in (None, usual):
            raise spec.error(name, "can't be switched off here, so the document is not accepted with it")


def _factors(spec: Reader, base: AuthPreference) -> tuple[tuple[str, ...], bool]:
    if spec.has("second_factors"):
        if spec.has("second_factor"):
            raise spec.error("second_factor", "stands beside second_factors: give one of the two")
        return _list(spec), base.required
    match spec.text("second_factor"):
        case "":
            return base.second_factors, base.required
        case "off":
            return (), False
        case "on":
            return FACTORS, True
        case "optional":
            return FACTORS, False
        case one if one in FACTORS:
            return (one,), True
        case other:
            expected = f"expected off, on, optional, {' or '.join(FACTORS)}"
            raise spec.error("second_factor", f"{expected}, not {other[:64]!r}")


def _list(spec: Reader) -> tuple[str, ...]:
    chosen = spec.texts("second_factors")
    for place, one in enumerate(chosen):
        if one not in FACTORS:
            problem = f"expected {' or '.join(FACTORS)}, not {one[:64]!r}"
            raise DocumentError((*spec.path, "second_factors", place), problem)
    if not chosen:
        raise spec.error("second_factors", "is empty: `second_factor: off` says that there are none")
    return tuple(one for one in FACTORS if one in chosen)


def preference_to_document(preference: AuthPreference) -> Document:
    """Return the document that `parse_preference` reads as these settings."""
    mfa = preference.session_mfa
    spec: Document = {
        "type": "local",
        **_factors_out(preference),
        "webauthn": {"rp_id": preference.rp_id},
        "require_session_mfa": str(mfa) if mfa in MFA_NAMES.values() else bool(mfa),
        "admin_action_mfa": str(preference.admin_mfa),
        "default_session_ttl": duration_text(preference.default_session_ttl),
        "disconnect_expired_cert": preference.disconnect_expired_cert,
        "locking_mode": str(preference.locking),
    }
    if preference.message_of_the_day:
        spec["message_of_the_day"] = preference.message_of_the_day
    return {"kind": KIND, "version": VERSION, "metadata": {"name": NAME}, "spec": spec}


def _factors_out(preference: AuthPreference) -> Document:
    if not preference.second_factors:
        return {"second_factor": "off"}
    if not preference.required:
        return {"second_factor": "optional"}
    return {"second_factors": list(preference.second_factors)}
