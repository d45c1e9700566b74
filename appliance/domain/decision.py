"""The three answers a policy can give. Exactly one of them is truthy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Factor(StrEnum):
    """A kind of proof a person can offer."""

    PASSWORD = "password"  # noqa: S105 - the name of a factor
    TOTP = "totp"
    HOTP = "hotp"
    YUBICO_OTP = "yubico_otp"
    WEBAUTHN = "webauthn"
    RECOVERY_CODE = "recovery_code"
    SSH_CERTIFICATE = "ssh_certificate"
    SSH_SECURITY_KEY = "ssh_security_key"

    @property
    def is_second(self) -> bool:
        """Whether it proves possession beyond a password or a certificate on disk."""
        return self not in {Factor.PASSWORD, Factor.SSH_CERTIFICATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an allowed session may be, and for how long."""

    principals: tuple[str, ...]
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Permit:
    """Allowed, within the grant."""

    grant: Grant

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Need:
    """Not yet: one of these further proofs is missing."""

    factors: frozenset[Factor]

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Deny:
    """No. The reason is for the audit trail, never for the peer."""

    reason: str

    def __bool__(self) -> bool:
        return False


Decision = Permit | Need | Deny
