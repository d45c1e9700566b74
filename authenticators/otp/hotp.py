"""HOTP (RFC 4226): a code from a counter that both sides keep, good once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

import pyotp

from authenticators.errors import OtpError, OtpErrorCode
from authenticators.otp.secrets import OtpHash, base32, check_digits, check_secret, read_code
from authenticators.secret import Secret

_LOOK_AHEADS: Final = range(51)
_LONGEST_RESYNCHRONISATION: Final = 1000
_LARGEST_COUNTER: Final = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hotp:
    """One enrolled secret, and the form of its codes.

    `look_ahead` is how many codes a person may have made without using them (RFC 4226 §7.4, s). Each one
    more makes guessing as much easier, so it is small; a token that ran further ahead is resynchronised.
    """

    secret: Secret
    digits: int = 6
    look_ahead: int = 5
    algorithm: OtpHash = OtpHash.SHA1

    def __post_init__(self) -> None:
        check_secret(self.secret)
        check_digits(self.digits)
        if self.look_ahead not in _LOOK_AHEADS:
            raise OtpError(OtpErrorCode.BAD_PARAMETER, "the look-ahead window is 0 to 50 codes")

    def code_at(self, counter: int) -> str:
        """Return the code of a counter value (0 to 2^64-1): what a token shows."""
        if not 0 <= counter <= _LARGEST_COUNTER:
            raise OtpError(OtpErrorCode.BAD_PARAMETER, "a counter has 64 bits")
        code: str = self._generator().generate_otp(counter)
        return code

    def verify(self, typed: str, *, last_counter: int | None) -> int:
        """Return the counter that the code belongs to, to be stored by compare-and-swap.

        `last_counter` is the counter accepted last, or None before the first. Raises `OtpError`: MALFORMED,
        WRONG_CODE, or ALREADY_USED when the code is the one accepted last, sent again.
        """
        code = read_code(typed, self.digits)
        # Of two counters with one code the later is taken, so that the code is burnt for both.
        ahead = self._matches(code, self._after(last_counter, self.look_ahead + 1))
        if ahead:
            return ahead[-1]
        if last_counter is not None and hmac.compare_digest(self.code_at(last_counter), code):
            raise OtpError(OtpErrorCode.ALREADY_USED)
        raise OtpError(OtpErrorCode.WRONG_CODE)

    def resynchronise(self, first: str, second: str, *, last_counter: int | None, window: int = 100) -> int:
        """Return the counter of `second`, where both codes stand next to each other in the window ahead.

        RFC 4226 §7.4 and E.4: two codes in a row make a search this wide as hard to guess as one code of
        twice the digits. The counter never goes back. Raises `OtpError`: MALFORMED, NOT_CONSECUTIVE,
        BAD_PARAMETER.
        """
        if not 0 < window <= _LONGEST_RESYNCHRONISATION:
            raise OtpError(OtpErrorCode.BAD_PARAMETER, "a resynchronisation window is 1 to 1000 codes")
        one, two = read_code(first, self.digits), read_code(second, self.digits)
        counters = self._after(last_counter, window)
        firsts, seconds = set(self._matches(one, counters)), self._matches(two, counters)
        for counter in seconds:
            if counter - 1 in firsts:
                return counter
        raise OtpError(OtpErrorCode.NOT_CONSECUTIVE)

    def provisioning_uri(self, *, account: str, issuer: str, counter: int = 0) -> str:
        """Return the `otpauth://hotp/` URI for a QR code. It holds the secret: show it once, log it never."""
        uri: str = self._generator().provisioning_uri(name=account, issuer_name=issuer, initial_count=counter)
        return uri

    def _after(self, last_counter: int | None, count: int) -> range:
        first = 0 if last_counter is None else last_counter + 1
        return range(first, min(first + count, _LARGEST_COUNTER + 1))

    def _matches(self, code: str, counters: range) -> list[int]:
        # All are computed: the time taken must not tell how far ahead a token stands.
        return [counter for counter in counters if hmac.compare_digest(self.code_at(counter), code)]

    def _generator(self) -> pyotp.HOTP:
        return pyotp.HOTP(base32(self.secret), digits=self.digits, digest=self.algorithm.constructor)
