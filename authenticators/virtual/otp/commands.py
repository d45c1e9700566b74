"""The OTP application: numbered commands on two slots (the YubiKey's CCID and HID command numbers)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from authenticators.virtual.device_info import device_info
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp import slots
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.state import OtpSlot, OtpState

CONFIGURE: Final = {0x01: 1, 0x03: 2}
UPDATE: Final = {0x04: 1, 0x05: 2}
SWAP: Final = 0x06
SERIAL: Final = 0x10
DEVICE_INFO: Final = 0x13
CHALLENGE_OTP: Final = {0x20: 1, 0x28: 2}
CHALLENGE_HMAC: Final = {0x30: 1, 0x38: 2}
CHALLENGE_OTP_LENGTH: Final = 6
_LAST_SEQUENCE: Final = 255
_TICKS_A_SECOND: Final = 8
_LAST_USE: Final = 255


@dataclass(slots=True)
class OtpApplication:
    """One key's OTP slots, with the use counts of this power cycle."""

    key: VirtualKey
    power_cycle: int = field(init=False, default=-1)
    session_uses: dict[int, int] = field(init=False, default_factory=dict)

    def status(self) -> bytes:
        """Return firmware (3 bytes), programming sequence, which slots are set and want a touch (u16)."""
        state = self.key.state.otp
        bits = 0
        for number, slot in ((1, state.slot1), (2, state.slot2)):
            if slot is not None:
                bits |= number | (number << 2 if slots.needs_touch(slot) else 0)
        return bytes([*self.key.profile.firmware, state.programming_sequence]) + bits.to_bytes(2, "little")

    def execute(self, command: int, payload: bytes) -> Steps[bytes]:
        """Run a command; returns its data, or nothing for configuration and for what was refused."""
        if command in CONFIGURE:
            self._configure(CONFIGURE[command], payload)
        elif command in UPDATE:
            self._update(UPDATE[command], payload)
        elif command == SWAP:
            self._swap()
        elif command == SERIAL:
            return self.key.state.serial.to_bytes(4, "big")
        elif command == DEVICE_INFO:
            return device_info(self.key)
        elif command in CHALLENGE_OTP:
            return (yield from self._challenge_otp(CHALLENGE_OTP[command], payload))
        elif command in CHALLENGE_HMAC:
            return (yield from self._challenge_hmac(CHALLENGE_HMAC[command], payload))
        return b""

    def slot(self, number: int) -> OtpSlot | None:
        """Return slot 1 or 2."""
        return self.key.state.otp.slot1 if number == 1 else self.key.state.otp.slot2

    def one_time_password(self, number: int, slot: OtpSlot, uid: bytes) -> bytes:
        """Count one use and return the token (16 bytes); the use counter moves once a power cycle."""
        if self.power_cycle != self.key.power_cycles:
            self.power_cycle, self.session_uses = self.key.power_cycles, {}
        use = self.session_uses.get(number, -1) + 1
        if use in {0, _LAST_USE + 1}:
            slot = replace(slot, use_counter=min(slot.use_counter + 1, 0x7FFF))
            use = 0
            self.keep(number, slot)
        self.session_uses[number] = use
        # The counter runs at about 8 Hz and nobody types two codes in one tick; a program may ask that fast.
        ticks = int(self.key.seconds_plugged * _TICKS_A_SECOND) + use
        return slots.token(slot, uid=uid, timestamp=ticks, session_use=use, noise=self.key.entropy(2))

    def keep(self, number: int, slot: OtpSlot | None) -> None:
        """Store a slot without counting it as programming."""
        self.key.update(otp=_with_slot(self.key.state.otp, number, slot))

    def _configure(self, number: int, payload: bytes) -> None:
        record = payload[: slots.RECORD]
        if not self._unlocked(number, payload):
            return
        parsed = slots.parse_record(record)
        if parsed is not None or not any(record):
            self._program(_with_slot(self.key.state.otp, number, parsed))

    def _update(self, number: int, payload: bytes) -> None:
        present, flags = self.slot(number), slots.parse_record(payload[: slots.RECORD])
        allowed = present is not None and present.extended_flags & slots.ExtendedFlag.ALLOW_UPDATE
        if present is None or flags is None or not allowed or not self._unlocked(number, payload):
            return
        updated = replace(
            present,
            access_code=flags.access_code,
            extended_flags=flags.extended_flags & slots.UPDATABLE_EXTENDED,
            ticket_flags=_merge(present.ticket_flags, flags.ticket_flags, slots.UPDATABLE_TICKET),
            config_flags=_merge(present.config_flags, flags.config_flags, slots.UPDATABLE_CONFIG),
        )
        self._program(_with_slot(self.key.state.otp, number, updated))

    def _swap(self) -> None:
        state = self.key.state.otp
        self._program(replace(state, slot1=state.slot2, slot2=state.slot1))

    def _unlocked(self, number: int, payload: bytes) -> bool:
        """Whether the slot has no access code, or the one given after the record is right."""
        present = self.slot(number)
        given = payload[slots.RECORD : slots.RECORD + slots.ACCESS_CODE].ljust(slots.ACCESS_CODE, b"\0")
        return present is None or not any(present.access_code) or present.access_code == given

    def _program(self, state: OtpState) -> None:
        empty = state.slot1 is None and state.slot2 is None
        sequence = 0 if empty else min(state.programming_sequence + 1, _LAST_SEQUENCE)
        self.key.update(otp=replace(state, programming_sequence=sequence))

    def _challenge_hmac(self, number: int, payload: bytes) -> Steps[bytes]:
        slot = self.slot(number)
        if slot is None or not slots.is_hmac(slot) or not (yield from self._may_answer(slot)):
            return b""
        return self.key.spoil(slots.hmac_response(slot, payload))

    def _challenge_otp(self, number: int, payload: bytes) -> Steps[bytes]:
        slot = self.slot(number)
        if slot is None or not slots.is_challenge_response(slot) or slots.is_hmac(slot):
            return b""
        if not (yield from self._may_answer(slot)):
            return b""
        challenge = payload[:CHALLENGE_OTP_LENGTH].ljust(CHALLENGE_OTP_LENGTH, b"\0")
        mixed = bytes(a ^ b for a, b in zip(slot.uid, challenge, strict=True))
        return self.one_time_password(number, slot, mixed)

    def _may_answer(self, slot: OtpSlot) -> Steps[bool]:
        yield from self.key.begin_operation()
        if not slots.needs_touch(slot):
            return True
        return (yield from self.key.touch()) is Touch.GIVEN


def _with_slot(state: OtpState, number: int, slot: OtpSlot | None) -> OtpState:
    return replace(state, slot1=slot) if number == 1 else replace(state, slot2=slot)


def _merge(present: int, new: int, mask: int) -> int:
    return (present & ~mask) | (new & mask)
