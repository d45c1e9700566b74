"""What an authenticator forgets when it loses power: tokens, their permissions, half-done enumerations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Final

from authenticators.virtual.fido.pin_uv import PinUvAuthProtocol, protocol_numbered
from authenticators.virtual.fido.status import Refusal, Status
from authenticators.virtual.key import VirtualKey

TOKEN_SECONDS: Final = 600.0
MISMATCHES_ALLOWED: Final = 3


class Permission(IntFlag):
    """pinUvAuthToken permissions (CTAP 2.1, section 6.5.5.7)."""

    MAKE_CREDENTIAL = 0x01
    GET_ASSERTION = 0x02
    CREDENTIAL_MANAGEMENT = 0x04


NOTHING: Final = Permission(0)


@dataclass(slots=True, kw_only=True)
class Session:
    """One power cycle of the CTAP2 application."""

    key: VirtualKey
    power_cycle: int
    protocols: dict[int, PinUvAuthProtocol]
    permissions: Permission = NOTHING
    rp_id: str | None = None
    user_verified: bool = False
    user_present: bool = False
    started_at: float | None = None
    mismatches_left: int = MISMATCHES_ALLOWED
    next_assertions: Iterator[dict[int, Any]] = field(default_factory=lambda: iter(()))
    next_rps: Iterator[dict[int, Any]] = field(default_factory=lambda: iter(()))
    next_credentials: Iterator[dict[int, Any]] = field(default_factory=lambda: iter(()))

    @classmethod
    def of(cls, key: VirtualKey) -> Session:
        """Return the session of a key that just got power."""
        numbers = key.profile.pin_protocols
        protocols = {number: protocol_numbered(number, key.entropy) for number in numbers}
        return cls(key=key, power_cycle=key.power_cycles, protocols=protocols)

    def protocol(self, number: int | None) -> PinUvAuthProtocol:
        """Return the protocol asked for; raises `Refusal`."""
        if number is None:
            raise Refusal(Status.MISSING_PARAMETER)
        if number not in self.protocols:
            raise Refusal(Status.INVALID_PARAMETER)
        return self.protocols[number]

    def reset_tokens(self) -> None:
        """Void every pinUvAuthToken."""
        for protocol in self.protocols.values():
            protocol.reset_token()
        self.started_at = None

    def begin_using_token(self, *, permissions: Permission, rp_id: str | None, user_present: bool) -> None:
        """Void older tokens and start the time of a new one."""
        self.reset_tokens()
        self.permissions = permissions
        self.rp_id = rp_id
        self.user_verified = True
        self.user_present = user_present
        self.started_at = self.key.clock()

    def verify_token(self, number: int | None, message: bytes, mac: bytes, permission: Permission) -> None:
        """Check a pinUvAuthParam and the token's permission; raises `Refusal`."""
        protocol = self.protocol(number)
        if not self._token_in_use() or not protocol.verify(protocol.token, message, mac):
            raise Refusal(Status.PIN_AUTH_INVALID)
        if permission not in self.permissions:
            raise Refusal(Status.PIN_AUTH_INVALID)

    def bind_token(self, rp_id: str) -> None:
        """Tie the token to its first relying party; raises `Refusal` for another one."""
        if self.rp_id is not None and self.rp_id != rp_id:
            raise Refusal(Status.PIN_AUTH_INVALID)
        if not self.user_verified:
            raise Refusal(Status.PIN_AUTH_INVALID)
        self.rp_id = rp_id

    def spend_token(self) -> None:
        """After a touch: what the token allowed, it allowed once (CTAP 2.1; older keys let it live on)."""
        if self.key.profile.ctap21:
            self.user_present = self.user_verified = False
            self.permissions = NOTHING

    def _token_in_use(self) -> bool:
        return self.started_at is not None and self.key.clock() - self.started_at < TOKEN_SECONDS
