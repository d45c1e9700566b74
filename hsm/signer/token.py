"""The token as the signer has it: sealed, open, or open but gone for the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsm.errors import (
    HsmError,
    KeyExists,
    Malformed,
    NoSuchKey,
    NotOurs,
    PinLocked,
    PinRefused,
    TokenGone,
    Unsupported,
)
from hsm.signer.protocol import Code, SealState, SignerError

if TYPE_CHECKING:
    from hsm.provider import KeyProvider
    from hsm.registry import Opener
    from hsm.secret import Secret


class Token:
    """Holds the provider between `unseal` and `seal`, and the PIN only until the provider is open.

    A token that is away when it is to be opened is tried again with each request. A refused PIN is
    forgotten at once and leaves it sealed. Used by one thread at a time.
    """

    def __init__(self, opener: Opener, pin: Secret | None = None) -> None:
        self._open = opener
        self._pin = pin
        self._provider: KeyProvider | None = None
        self._lost = False
        self.reason = "" if pin else "no PIN was given yet"

    @property
    def state(self) -> SealState:
        """Whether it is sealed, opening, open, or to be opened as soon as the token is there."""
        if self._provider is not None:
            return SealState.TOKEN_GONE if self._lost else SealState.OPEN
        if self._pin is None:
            return SealState.SEALED
        return SealState.TOKEN_GONE if self.reason else SealState.OPENING

    def provider(self) -> KeyProvider:
        """Return the open provider; raises `SignerError` SEALED, `TokenGone`, `PinRefused`, `PinLocked`."""
        if self._provider is None:
            if self._pin is None:
                raise SignerError(Code.SEALED, f"the signer is sealed: {self.reason}")
            self._provider = self._try(self._pin)
            self._pin = None
        return self._provider

    def _try(self, pin: Secret) -> KeyProvider:
        try:
            provider = self._open(pin)
        except TokenGone as error:
            self.reason = str(error)
            raise
        except HsmError as error:
            self._pin = None
            self.reason = str(error)
            raise
        self.reason = ""
        return provider

    def heard(self, error: HsmError | None) -> None:
        """Take notice of how a use of the provider ended, so that the state tells of a pulled token."""
        self._lost = isinstance(error, TokenGone)
        if self._provider is not None:
            self.reason = str(error) if self._lost else ""

    def unseal(self, pin: Secret) -> None:
        """Open the token with the PIN; an open one stays as it is. Raises as `provider` does."""
        if self._provider is None:
            self._pin = pin
            self.provider()

    def seal(self, reason: str) -> None:
        """Log out and forget the PIN."""
        provider, self._provider, self._pin = self._provider, None, None
        self._lost, self.reason = False, reason
        if provider is not None:
            provider.close()


def refusal_of(error: HsmError) -> SignerError:
    """Return what a caller is told of an error of the token."""
    if isinstance(error, SignerError):
        return error
    tries = getattr(error, "tries_left", None)
    left = "" if tries is None else f" ({tries} tries left)"
    return SignerError(_code(error), f"{error}{left}")


def _code(error: HsmError) -> Code:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), Code.TOKEN_FAULT)


_CODES: dict[type[HsmError], Code] = {
    PinRefused: Code.PIN_REFUSED,
    PinLocked: Code.PIN_LOCKED,
    TokenGone: Code.TOKEN_GONE,
    NoSuchKey: Code.NO_KEY,
    KeyExists: Code.KEY_EXISTS,
    NotOurs: Code.LIMIT,
    Malformed: Code.MALFORMED,
    Unsupported: Code.UNSUPPORTED,
}
