"""The OATH application (the YKOATH protocol): accounts that compute TOTP and HOTP codes on the key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from authenticators.virtual.card.iso7816 import Apdu, StatusError, StatusWord, parse_tlv_map, parse_tlvs, tlv
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.state import OathAccount, OathState
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from collections.abc import Callable

    from authenticators.virtual.interaction import Steps

NAME, NAME_LIST, KEY, CHALLENGE, RESPONSE, TRUNCATED, HOTP, PROPERTY, VERSION, COUNTER, ALGORITHM, TOUCH = (
    *range(0x71, 0x7D),
)
LIST, CALCULATE, VALIDATE, CALCULATE_ALL = 0xA1, 0xA2, 0xA3, 0xA4
PUT, DELETE, SET_CODE, RESET, RENAME = 0x01, 0x02, 0x03, 0x04, 0x05
SLOTS: Final = 64
LONGEST_NAME: Final = 64
REQUIRE_TOUCH: Final = 0x02
HOTP_KIND: Final = 0x10
CHALLENGE_LENGTH: Final = 8
ACCESS_KEY: Final = 16
_HASHES: Final = {1: "sha1", 2: "sha256", 3: "sha512"}
_TRUNCATE: Final = 1


@dataclass(slots=True)
class OathApplet:
    """One key's OATH application."""

    key: VirtualKey
    challenge: bytes = field(init=False, default=b"")
    unlocked: bool = field(init=False, default=False)

    @property
    def state(self) -> OathState:
        """The accounts and the access key."""
        return self.key.state.oath

    def select(self) -> bytes:
        """Return version and salt, and a challenge when there is an access key."""
        answer = tlv(VERSION, bytes(self.key.profile.firmware)) + tlv(NAME, self.state.salt)
        if self.state.access_key is None:
            return answer
        self.challenge = self.key.entropy(CHALLENGE_LENGTH)
        return answer + tlv(CHALLENGE, self.challenge) + tlv(ALGORITHM, b"\1")

    def deselect(self) -> None:
        """Lock again."""
        self.unlocked = False

    def process(self, apdu: Apdu) -> Steps[bytes]:
        """Return response data; raises `StatusError`."""
        if apdu.ins == RESET and (apdu.p1, apdu.p2) == (0xDE, 0xAD):
            self.key.update(oath=OathState(salt=self.key.entropy(8)))
            return b""
        if apdu.ins == VALIDATE:
            return self._validate(apdu.data)
        if self.state.access_key is not None and not self.unlocked:
            raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)
        if apdu.ins == CALCULATE:
            return (yield from self._calculate(apdu))
        return self._administer(apdu)

    def _administer(self, apdu: Apdu) -> bytes:
        commands: dict[int, Callable[[Apdu], bytes]] = {
            PUT: self._put,
            DELETE: self._delete,
            SET_CODE: self._set_code,
            RENAME: self._rename,
            LIST: self._list,
            CALCULATE_ALL: self._calculate_all,
        }
        if apdu.ins not in commands:
            raise StatusError(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        return commands[apdu.ins](apdu)

    def _put(self, apdu: Apdu) -> bytes:
        account = _parse_account(apdu.data)
        others = tuple(kept for kept in self.state.accounts if kept.name != account.name)
        if len(others) >= SLOTS:
            raise StatusError(StatusWord.NO_SPACE)
        self._keep(accounts=(*others, account))
        return b""

    def _delete(self, apdu: Apdu) -> bytes:
        account = self._find(parse_tlv_map(apdu.data))
        self._keep(accounts=tuple(kept for kept in self.state.accounts if kept != account))
        return b""

    def _rename(self, apdu: Apdu) -> bytes:
        old, new = (value for tag, value in parse_tlvs(apdu.data) if tag == NAME)
        account = self._find({NAME: old})
        if any(kept.name == new for kept in self.state.accounts) or not 0 < len(new) <= LONGEST_NAME:
            raise StatusError(StatusWord.DATA_INVALID)
        self._replace(account, replace(account, name=new))
        return b""

    def _list(self, _apdu: Apdu) -> bytes:
        return b"".join(tlv(NAME_LIST, bytes([kept.kind]) + kept.name) for kept in self.state.accounts)

    def _set_code(self, apdu: Apdu) -> bytes:
        fields = parse_tlv_map(apdu.data)
        key = _required(fields, KEY)
        if not key:
            self._keep(access_key=None)
            return b""
        expected = hmac.digest(key[1:], _required(fields, CHALLENGE), "sha1")
        if len(key) != 1 + ACCESS_KEY or not hmac.compare_digest(expected, _required(fields, RESPONSE)):
            raise StatusError(StatusWord.DATA_INVALID)
        self._keep(access_key=key[1:])
        self.unlocked = True
        return b""

    def _validate(self, data: bytes) -> bytes:
        access_key = self.state.access_key
        fields = parse_tlv_map(data)
        if access_key is None or not self.challenge:
            raise StatusError(StatusWord.DATA_INVALID)
        expected, self.challenge = hmac.digest(access_key, self.challenge, "sha1"), b""
        if not hmac.compare_digest(expected, _required(fields, RESPONSE)):
            raise StatusError(StatusWord.WRONG_DATA)
        self.unlocked = True
        return tlv(RESPONSE, hmac.digest(access_key, _required(fields, CHALLENGE), "sha1"))

    def _calculate(self, apdu: Apdu) -> Steps[bytes]:
        fields = parse_tlv_map(apdu.data)
        account = self._find(fields)
        yield from self.key.begin_operation()
        if account.touch and (yield from self.key.touch()) is not Touch.GIVEN:
            raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)
        moment = fields.get(CHALLENGE, b"")
        if account.kind & 0xF0 == HOTP_KIND:
            moment = account.counter.to_bytes(8, "big")
            self._replace(account, replace(account, counter=account.counter + 1))
        return _code(account, moment, truncate=apdu.p2 == _TRUNCATE)

    def _calculate_all(self, apdu: Apdu) -> bytes:
        moment = _required(parse_tlv_map(apdu.data), CHALLENGE)
        return b"".join(
            tlv(NAME, kept.name) + _entry(kept, moment, truncate=apdu.p2 == _TRUNCATE)
            for kept in self.state.accounts
        )

    def _find(self, fields: dict[int, bytes]) -> OathAccount:
        name = _required(fields, NAME)
        for account in self.state.accounts:
            if account.name == name:
                return account
        raise StatusError(StatusWord.DATA_INVALID)

    def _replace(self, old: OathAccount, new: OathAccount) -> None:
        self._keep(accounts=tuple(new if kept == old else kept for kept in self.state.accounts))

    def _keep(self, **changes: Any) -> None:
        self.key.update(oath=replace(self.state, **changes))


def _entry(account: OathAccount, moment: bytes, *, truncate: bool) -> bytes:
    if account.kind & 0xF0 == HOTP_KIND:
        return tlv(HOTP, bytes([account.digits]))
    if account.touch:
        return tlv(TOUCH, bytes([account.digits]))
    return _code(account, moment, truncate=truncate)


def _code(account: OathAccount, moment: bytes, *, truncate: bool) -> bytes:
    digest = hmac.digest(account.secret, moment, _hash(account.kind))
    if not truncate:
        return tlv(RESPONSE, bytes([account.digits]) + digest)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return tlv(TRUNCATED, bytes([account.digits]) + number.to_bytes(4, "big"))


def _hash(kind: int) -> str:
    name = _HASHES.get(kind & 0x0F)
    if name is None or kind & 0xF0 not in {0x10, 0x20}:
        raise StatusError(StatusWord.WRONG_DATA)
    return name


def _parse_account(data: bytes) -> OathAccount:
    name, rest = _take(data, NAME)
    key, rest = _take(rest, KEY)
    if not 0 < len(name) <= LONGEST_NAME or len(key) < 3:  # noqa: PLR2004 - kind, digits, a secret
        raise StatusError(StatusWord.WRONG_DATA)
    _hash(key[0])
    touch = False
    if rest[:1] == bytes([PROPERTY]):
        # This one field has no length byte.
        touch, rest = bool(rest[1:2] and rest[1] & REQUIRE_TOUCH), rest[2:]
    counter = int.from_bytes(_take(rest, COUNTER)[0], "big") if rest else 0
    return OathAccount(name=name, kind=key[0], digits=key[1], secret=key[2:], touch=touch, counter=counter)


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    if len(data) < 2 or data[0] != tag or len(data) < 2 + data[1]:  # noqa: PLR2004 - tag and length
        raise StatusError(StatusWord.WRONG_DATA)
    return data[2 : 2 + data[1]], data[2 + data[1] :]


def _required(fields: dict[int, bytes], tag: int) -> bytes:
    if tag not in fields:
        raise StatusError(StatusWord.WRONG_DATA)
    return fields[tag]
