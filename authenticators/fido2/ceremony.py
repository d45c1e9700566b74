"""What a relying party remembers between `begin` and `complete`: a typed value, expiring, to be taken once.

The caller keeps it: under `ceremony_id`, with expiry, and takes it out by a delete that must succeed before
`complete` is called. `MemoryCeremonies` does that for a single process.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from authenticators.errors import WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.wire import decode_base64url, encode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping

CHALLENGE_BYTES: Final = 32


def derive_challenge(*, digest: bytes, nonce: bytes) -> bytes:
    """Return the challenge (32 bytes) that makes a signature say yes to exactly one action, once.

    `digest` is a SHA-256 or longer hash of the canonical action, `nonce` at least 16 random bytes kept with
    the action. Whoever has both can check later that the person signed this action. Raises WEAK_CHALLENGE.
    """
    if len(digest) < CHALLENGE_BYTES or len(nonce) < CHALLENGE_BYTES // 2:
        raise WebAuthnError(WebAuthnErrorCode.WEAK_CHALLENGE)
    label = b"sallyport webauthn challenge v1\x00"
    return hashlib.sha256(label + len(digest).to_bytes(2, "big") + digest + nonce).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationState:
    """A registration that was begun. `scope` is what it is for, in the caller's words."""

    challenge: bytes
    issued: datetime
    expires: datetime
    scope: str
    user_handle: bytes
    user_verification: str
    algorithms: tuple[int, ...]
    exclude: tuple[bytes, ...]

    @property
    def ceremony_id(self) -> str:
        """The name to keep this state under: SHA-256 of the challenge, in hex."""
        return _ceremony_id(self.challenge)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return _common(self) | {
            "ceremony": "registration",
            "user_handle": encode_base64url(self.user_handle),
            "algorithms": list(self.algorithms),
            "exclude": [encode_base64url(each) for each in self.exclude],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the state that `to_dict` wrote; raises `WebAuthnError`: WRONG_CEREMONY or BAD_STATE."""
        _expect_ceremony(data, "registration")
        try:
            return cls(
                challenge=decode_base64url(data["challenge"]),
                issued=datetime.fromisoformat(data["issued"]),
                expires=datetime.fromisoformat(data["expires"]),
                scope=data["scope"],
                user_handle=decode_base64url(data["user_handle"]),
                user_verification=data["user_verification"],
                algorithms=tuple(data["algorithms"]),
                exclude=tuple(decode_base64url(each) for each in data["exclude"]),
            )
        except (KeyError, TypeError, ValueError, WebAuthnError) as error:
            raise WebAuthnError(WebAuthnErrorCode.BAD_STATE) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationState:
    """An authentication that was begun; `user_handle` is None in a discoverable login."""

    challenge: bytes
    issued: datetime
    expires: datetime
    scope: str
    user_handle: bytes | None
    user_verification: str
    allow: tuple[bytes, ...]
    app_id: str | None

    @property
    def ceremony_id(self) -> str:
        """The name to keep this state under: SHA-256 of the challenge, in hex."""
        return _ceremony_id(self.challenge)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON-compatible values."""
        return _common(self) | {
            "ceremony": "authentication",
            "user_handle": None if self.user_handle is None else encode_base64url(self.user_handle),
            "allow": [encode_base64url(each) for each in self.allow],
            "app_id": self.app_id,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the state that `to_dict` wrote; raises `WebAuthnError`: WRONG_CEREMONY or BAD_STATE."""
        _expect_ceremony(data, "authentication")
        try:
            handle = data["user_handle"]
            return cls(
                challenge=decode_base64url(data["challenge"]),
                issued=datetime.fromisoformat(data["issued"]),
                expires=datetime.fromisoformat(data["expires"]),
                scope=data["scope"],
                user_handle=None if handle is None else decode_base64url(handle),
                user_verification=data["user_verification"],
                allow=tuple(decode_base64url(each) for each in data["allow"]),
                app_id=data["app_id"],
            )
        except (KeyError, TypeError, ValueError, WebAuthnError) as error:
            raise WebAuthnError(WebAuthnErrorCode.BAD_STATE) from error


CeremonyState = RegistrationState | AuthenticationState


def check_state(state: CeremonyState, *, scope: str, now: datetime) -> None:
    """Refuse a state that is too old, from the future (a clock went back), or for something else.

    Raises `WebAuthnError`: EXPIRED, NOT_YET_VALID, WRONG_SCOPE.
    """
    if now >= state.expires:
        raise WebAuthnError(WebAuthnErrorCode.EXPIRED)
    if now < state.issued:
        raise WebAuthnError(WebAuthnErrorCode.NOT_YET_VALID)
    if scope != state.scope:
        raise WebAuthnError(WebAuthnErrorCode.WRONG_SCOPE)


class Ceremonies(Protocol):
    """A place for states, each of which is taken out once."""

    def keep(self, state: CeremonyState) -> None:
        """Keep the state under its `ceremony_id` until it expires."""

    def take(self, ceremony_id: str, *, now: datetime) -> CeremonyState:
        """Return the state and forget it; raises `WebAuthnError` with EXPIRED when it is not there."""


class MemoryCeremonies:
    """States of one process. Taking is atomic between its threads."""

    def __init__(self) -> None:
        self._states: dict[str, CeremonyState] = {}
        self._lock = Lock()

    def keep(self, state: CeremonyState) -> None:
        """Keep the state, and forget those that had expired when it was issued."""
        with self._lock:
            self._states = {name: old for name, old in self._states.items() if old.expires > state.issued}
            self._states[state.ceremony_id] = state

    def take(self, ceremony_id: str, *, now: datetime) -> CeremonyState:
        """Return the state and forget it; raises `WebAuthnError` with EXPIRED when there is none."""
        with self._lock:
            state = self._states.pop(ceremony_id, None)
        if state is None or now >= state.expires:
            raise WebAuthnError(WebAuthnErrorCode.EXPIRED)
        return state


def _ceremony_id(challenge: bytes) -> str:
    return hashlib.sha256(challenge).hexdigest()


def _common(state: CeremonyState) -> dict[str, Any]:
    return {
        "challenge": encode_base64url(state.challenge),
        "issued": state.issued.isoformat(),
        "expires": state.expires.isoformat(),
        "scope": state.scope,
        "user_verification": state.user_verification,
    }


def _expect_ceremony(data: Mapping[str, Any], ceremony: str) -> None:
    if data.get("ceremony") != ceremony:
        raise WebAuthnError(WebAuthnErrorCode.WRONG_CEREMONY)
