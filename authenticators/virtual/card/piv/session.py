"""What the PIV application forgets when another is selected or the card is reset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authenticators.virtual.card.iso7816 import StatusError, StatusWord
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.state import PivState


@dataclass(slots=True)
class PivSession:
    """One selection. `pin_fresh`: the PIN was verified and no private key was used since."""

    key: VirtualKey
    pin_verified: bool = False
    pin_fresh: bool = False
    managed: bool = False
    expected_proof: bytes | None = None
    touched_at: float | None = None

    @property
    def state(self) -> PivState:
        """The stored part."""
        return self.key.state.piv

    def keep(self, state: PivState) -> None:
        """Store a new state of the application."""
        self.key.update(piv=state)

    def forget(self) -> None:
        """End the session."""
        self.pin_verified = self.pin_fresh = self.managed = False
        self.expected_proof = self.touched_at = None

    def require_management(self) -> None:
        """Raise `StatusError` unless the management key was proved."""
        if not self.managed:
            raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)

    def require_touch(self) -> Steps[None]:
        """Wait for a touch; raises `StatusError` without one."""
        if (yield from self.key.touch()) is not Touch.GIVEN:
            raise StatusError(StatusWord.SECURITY_NOT_SATISFIED)
        self.touched_at = self.key.clock()


def required(fields: dict[int, Any], tag: int) -> bytes:
    """Return a field; raises `StatusError` when it is missing."""
    if tag not in fields:
        raise StatusError(StatusWord.WRONG_DATA)
    value: bytes = fields[tag]
    return value
