"""One virtual key: its state, its model, its misfortunes. The applets around it all share this object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from authenticators.virtual.errors import UnpluggedError
from authenticators.virtual.faults import (
    BadSignature,
    CounterBack,
    CounterStuck,
    Fault,
    FaultPlan,
    FingerprintFails,
    NobodyTouches,
    RefuseTouch,
    Slow,
    Unplug,
)
from authenticators.virtual.interaction import AwaitTouch, Delay, Steps
from authenticators.virtual.state import KeyState
from authenticators.virtual.store import StateStore
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from authenticators.virtual.profile import Profile


@dataclass(slots=True, kw_only=True)
class VirtualKey:
    """A key that can be plugged somewhere.

    `entropy(n)` returns n random bytes, `clock()` seconds that never go back; `person_takes` and
    `gives_up_after` override the model's seconds until a touch, and until the key no longer waits for one.
    RSA keys and ECDSA nonces come from the cryptography library's own generator; all else is a function of
    `entropy`.
    """

    store: StateStore
    entropy: Callable[[int], bytes]
    clock: Callable[[], float]
    faults: FaultPlan = field(default_factory=FaultPlan)
    person_takes: float | None = None
    gives_up_after: float | None = None
    state: KeyState = field(init=False)
    plugged_at: float = field(init=False)
    power_cycles: int = field(init=False, default=0)
    operation: int = field(init=False, default=-1)
    active: tuple[Fault, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        self.state = self.store.load()
        self.plugged_at = self.clock()

    @property
    def profile(self) -> Profile:
        """The model of this key."""
        return self.state.profile

    def update(self, **changes: Any) -> None:
        """Replace parts of the state (`fido=`, `otp=`, `oath=`, `piv=`) and keep them."""
        self.state = replace(self.state, **changes)
        self.store.save(self.state)

    def power_cycle(self) -> None:
        """Pull the key out and plug it in again: what is not in the state is forgotten."""
        self.plugged_at = self.clock()
        self.power_cycles += 1
        self.operation = -1
        self.active = ()

    @property
    def seconds_plugged(self) -> float:
        """How long the key has had power."""
        return self.clock() - self.plugged_at

    def begin_operation(self) -> Steps[None]:
        """Count one use of the key; raises `UnpluggedError` when the plan has it pulled out now."""
        self.operation += 1
        self.active = self.faults.at(self.operation)
        if any(isinstance(fault, Unplug) for fault in self.active):
            raise UnpluggedError(f"pulled out during operation {self.operation}")
        for fault in self.active:
            if isinstance(fault, Slow):
                yield Delay(seconds=fault.seconds)

    def anticipate_operation(self) -> None:
        """Let the faults of the next use strike already, in a step before it that a person takes part in."""
        self.active = self.faults.at(self.operation + 1)

    def touch(self) -> Steps[Touch]:
        """Wait for the person."""
        if self._strikes(RefuseTouch):
            return Touch.REFUSED
        nobody = self._strikes(NobodyTouches)
        takes = self.profile.touch_seconds if self.person_takes is None else self.person_takes
        patience = self.profile.touch_timeout if self.gives_up_after is None else self.gives_up_after
        seconds = patience if nobody else takes
        went_on = (yield AwaitTouch(seconds=seconds)) if seconds else True
        if not went_on:
            return Touch.CANCELLED
        return Touch.TIMED_OUT if nobody else Touch.GIVEN

    @property
    def fingerprint_matches(self) -> bool:
        """Whether the finger is the owner's."""
        return not self._strikes(FingerprintFails)

    def spoil(self, signature: bytes) -> bytes:
        """Return the signature, or one with its last bit wrong when the plan says so."""
        if not self._strikes(BadSignature):
            return signature
        return signature[:-1] + bytes([signature[-1] ^ 1])

    def next_signature_counter(self) -> int:
        """Advance the FIDO signature counter and return what the key reports, u32."""
        fido = self.state.fido
        if not self._strikes(CounterStuck):
            fido = replace(fido, signature_counter=fido.signature_counter + 1)
            self.update(fido=fido)
        back = sum(fault.by for fault in self.active if isinstance(fault, CounterBack))
        return max(0, fido.signature_counter - back)

    def _strikes(self, kind: type[Fault]) -> bool:
        return any(isinstance(fault, kind) for fault in self.active)
