"""OATH accounts on a key (TOTP and HOTP whose secrets never leave it), over PC/SC.

Source: Yubico's YKOATH protocol. Used here: SELECT, VALIDATE, CALCULATE ALL, CALCULATE.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from authenticators.devices.smart_card import SUCCESS, Applet, CardConnection
from authenticators.errors import DeviceError, DeviceErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from authenticators.devices.prompter import Prompter
    from authenticators.secret import Secret

_AID: Final = bytes.fromhex("a0000005272101")
_CALCULATE, _VALIDATE, _CALCULATE_ALL, _SEND_REMAINING = 0xA2, 0xA3, 0xA4, 0xA5
_NAME, _CHALLENGE, _RESPONSE, _TRUNCATED, _HOTP, _NEEDS_TOUCH = 0x71, 0x74, 0x75, 0x76, 0x77, 0x7C
_TRUNCATE: Final = 0x01
_PASSWORD_ROUNDS: Final = 1000
_PASSWORD_KEY_BYTES: Final = 16
_CHALLENGE_BYTES: Final = 8
_LONG_LENGTHS: Final = {0x81: 1, 0x82: 2}
_SHORT_LENGTH: Final = 0x80
_DEFAULT_PERIOD: Final = 30

_AUTHENTICATION_REQUIRED, _NO_SUCH_OBJECT, _NOT_TOUCHED = 0x6982, 0x6984, 0x6985
_WRONG_DATA = 0x6A80
_CODES: Final = {
    _AUTHENTICATION_REQUIRED: DeviceErrorCode.PASSWORD_REQUIRED,
    _NO_SUCH_OBJECT: DeviceErrorCode.NO_ACCOUNT,
    _NOT_TOUCHED: DeviceErrorCode.TIMED_OUT,
    _WRONG_DATA: DeviceErrorCode.NO_ACCOUNT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OathAccount:
    """One account. `name` is what the key keeps: `issuer:account`, after `period/` unless that is 30.

    `touch` tells of a TOTP account whose codes need a touch; one of HOTP does not tell.
    """

    name: str
    totp: bool
    touch: bool

    @property
    def period(self) -> int:
        """The seconds a TOTP code lives."""
        prefix, slash, _ = self.name.partition("/")
        return (
            int(prefix)
            if slash and prefix.isascii() and prefix.isdecimal() and int(prefix)
            else _DEFAULT_PERIOD
        )

    @property
    def label(self) -> str:
        """The name as people know it."""
        return self.name if self.period == _DEFAULT_PERIOD else self.name.partition("/")[2]


class OathKey:
    """The OATH application of one key, selected. `entropy` is a function like `secrets.token_bytes`."""

    def __init__(self, card: CardConnection, prompter: Prompter, entropy: Callable[[int], bytes]) -> None:
        self._applet = Applet(card, _AID, send_remaining=_SEND_REMAINING)
        self._prompter, self._entropy = prompter, entropy
        facts = dict(_read_tlv(self._applet.selected))
        self._salt, self._challenge = facts.get(_NAME, b""), facts.get(_CHALLENGE)

    @property
    def is_locked(self) -> bool:
        """Whether a password has to be given first."""
        return self._challenge is not None

    def unlock(self, password: Secret) -> None:
        """Give the password; the key proves that it knows it, too. Raises `DeviceError`: WRONG_PASSWORD."""
        if self._challenge is None:
            return
        key = hashlib.pbkdf2_hmac(
            "sha1", password.reveal(), self._salt, _PASSWORD_ROUNDS, _PASSWORD_KEY_BYTES
        )
        ours = self._entropy(_CHALLENGE_BYTES)
        proof = hmac.digest(key, self._challenge, hashlib.sha1)
        data, status = self._applet.command(_VALIDATE, _tlv(_RESPONSE, proof) + _tlv(_CHALLENGE, ours))
        theirs = dict(_read_tlv(data)).get(_RESPONSE, b"") if status == SUCCESS else b""
        if not hmac.compare_digest(theirs, hmac.digest(key, ours, hashlib.sha1)):
            raise DeviceError(DeviceErrorCode.WRONG_PASSWORD)
        self._challenge = None

    def accounts(self) -> list[OathAccount]:
        """Return the accounts; raises `DeviceError` with PASSWORD_REQUIRED."""
        data = self._send(_CALCULATE_ALL, _tlv(_CHALLENGE, bytes(_CHALLENGE_BYTES)), p2=_TRUNCATE)
        values = list(_read_tlv(data))
        return [
            OathAccount(name=name.decode(errors="replace"), totp=kind != _HOTP, touch=kind == _NEEDS_TOUCH)
            for (tag, name), (kind, _) in zip(values[::2], values[1::2], strict=False)
            if tag == _NAME
        ]

    def code(self, account: OathAccount, *, now: datetime) -> str:
        """Return the account's code for the moment, or its next one (HOTP); waits for a touch if needed.

        Raises `DeviceError`: NO_ACCOUNT, PASSWORD_REQUIRED, TIMED_OUT (nobody touched), REMOVED.
        """
        step = int(now.timestamp()) // account.period if account.totp else 0
        moving = step.to_bytes(_CHALLENGE_BYTES, "big") if account.totp else b""
        if account.touch:
            self._prompter.touch(account.label)
        data = self._send(
            _CALCULATE, _tlv(_NAME, account.name.encode()) + _tlv(_CHALLENGE, moving), p2=_TRUNCATE
        )
        answer = dict(_read_tlv(data)).get(_TRUNCATED, b"")
        if len(answer) != 1 + 4:
            raise DeviceError(DeviceErrorCode.BROKEN)
        digits, number = answer[0], int.from_bytes(answer[1:], "big") & 0x7FFFFFFF
        return str(number % 10**digits).zfill(digits)

    def _send(self, instruction: int, data: bytes, *, p2: int = 0) -> bytes:
        answer, status = self._applet.command(instruction, data, p2=p2)
        if status != SUCCESS:
            raise DeviceError(_CODES.get(status, DeviceErrorCode.BROKEN), f"status {status:04x}")
        return answer


def _tlv(tag: int, value: bytes) -> bytes:
    return bytes([tag, len(value)]) + value


def _read_tlv(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tags and values; raises `DeviceError` with BROKEN where a value is cut off."""
    offset = 0
    while offset < len(data):
        tag = data[offset]
        length, start = _read_length(data, offset + 1)
        if start + length > len(data):
            raise DeviceError(DeviceErrorCode.BROKEN, "a value is cut off")
        yield tag, data[start : start + length]
        offset = start + length


def _read_length(data: bytes, offset: int) -> tuple[int, int]:
    first = data[offset] if offset < len(data) else 0xFF
    if first < _SHORT_LENGTH:
        return first, offset + 1
    end = offset + 1 + _LONG_LENGTHS.get(first, len(data))
    if end > len(data):
        raise DeviceError(DeviceErrorCode.BROKEN, "a length is cut off")
    return int.from_bytes(data[offset + 1 : end], "big"), end
