"""TOTP (RFC 6238): a code from the time of day, good once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyotp

from authenticators.errors import OtpError, OtpErrorCode
from authenticators.otp.secrets import OtpHash, base32, check_digits, check_secret, read_code
from authenticators.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime


_PERIODS: Final = range(15, 121)
_WINDOWS: Final = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totp:
    """One enrolled secret, and the form of its codes.

    `period` is in seconds. `window` is how many steps either way a clock may be off: 1 by default, as
    RFC 6238 §5.2 recommends, because people type for up to 30 s and telephones drift by seconds.
    """

    secret: Secret
    digits: int = 6
    period: int = 30
    algorithm: OtpHash = OtpHash.SHA1
    window: int = 1

    def __post_init__(self) -> None:
        check_secret(self.secret)
        check_digits(self.digits)
        if self.period not in _PERIODS or self.window not in _WINDOWS:
            raise OtpError(OtpErrorCode.BAD_PARAMETER, "a period is 15 to 120 s, a window 0 to 2 steps")

    def step_at(self, moment: datetime) -> int:
        """Return the time step (RFC 6238 §4.2, T) of a moment, which carries its time zone."""
        if moment.tzinfo is None:
            raise OtpError(OtpErrorCode.BAD_PARAMETER, "a moment carries its time zone")
        step: int = self._generator().timecode(moment)
        return step

    def code_at(self, moment: datetime) -> str:
        """Return the code of a moment: what an app shows, for enrolment checks and software tokens."""
        return self._code(self.step_at(moment))

    def verify(self, typed: str, *, now: datetime, last_step: int | None) -> int:
        """Return the time step that the code belongs to, to be stored by compare-and-swap.

        `last_step` is the step accepted last, or None before the first. Raises `OtpError`: MALFORMED,
        WRONG_CODE, or ALREADY_USED for a right code of that step or an earlier one (RFC 6238 §5.2).
        """
        code = read_code(typed, self.digits)
        middle = self.step_at(now)
        steps = range(max(0, middle - self.window), middle + self.window + 1)
        # No early exit: the time taken must not tell which step matched. Of two steps with one code the
        # later is taken, so that the code is burnt for both.
        matched = [step for step in steps if hmac.compare_digest(self._code(step), code)]
        if not matched:
            raise OtpError(OtpErrorCode.WRONG_CODE)
        if last_step is not None and matched[-1] <= last_step:
            raise OtpError(OtpErrorCode.ALREADY_USED)
        return matched[-1]

    def provisioning_uri(self, *, account: str, issuer: str) -> str:
        """Return the `otpauth://totp/` URI for a QR code. It holds the secret: show it once, log it never."""
        uri: str = self._generator().provisioning_uri(name=account, issuer_name=issuer)
        return uri

    def _code(self, step: int) -> str:
        code: str = self._generator().generate_otp(step)
        return code

    def _generator(self) -> pyotp.TOTP:
        return pyotp.TOTP(
            base32(self.secret),
            digits=self.digits,
            digest=self.algorithm.constructor,
            interval=self.period,
        )
