"""The whole USB device, without IO: control requests and packets in, packets out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from authenticators.virtual.fido.ctaphid import CtapHid
from authenticators.virtual.interaction import at_once
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp.reports import FeatureReports
from authenticators.virtual.otp.typing import SHIFT, press
from authenticators.virtual.profile import Interface
from authenticators.virtual.transports.python_yubico import product_id
from authenticators.virtual.usb import descriptors
from authenticators.virtual.usb.ccid import SLOT_CHANGED, CcidReader

CLASS: Final = 0x20
FEATURE: Final = 3
LEFT_SHIFT: Final = 0x02
KEYBOARD_IDLE: Final = bytes(8)


class Standard(IntEnum):
    """Standard requests (USB 2.0, table 9-4)."""

    GET_STATUS = 0
    CLEAR_FEATURE = 1
    SET_FEATURE = 3
    SET_ADDRESS = 5
    GET_DESCRIPTOR = 6
    GET_CONFIGURATION = 8
    SET_CONFIGURATION = 9
    GET_INTERFACE = 10
    SET_INTERFACE = 11


class HidRequest(IntEnum):
    """Class requests (HID 1.11, section 7.2)."""

    GET_REPORT = 1
    GET_IDLE = 2
    GET_PROTOCOL = 3
    SET_REPORT = 9
    SET_IDLE = 10
    SET_PROTOCOL = 11


_ANSWERS: Final[dict[int, bytes]] = {
    Standard.GET_STATUS: b"\0\0",
    Standard.GET_CONFIGURATION: b"\1",
    Standard.GET_INTERFACE: b"\0",
    Standard.CLEAR_FEATURE: b"",
    Standard.SET_FEATURE: b"",
    Standard.SET_ADDRESS: b"",
    Standard.SET_CONFIGURATION: b"",
    Standard.SET_INTERFACE: b"",
}
_HID_ANSWERS: Final[dict[int, bytes]] = {
    HidRequest.GET_IDLE: b"\0",
    HidRequest.GET_PROTOCOL: b"\0",
    HidRequest.SET_IDLE: b"",
    HidRequest.SET_PROTOCOL: b"",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A control request's setup packet."""

    request_type: int
    request: int
    value: int
    index: int
    length: int


@dataclass(slots=True)
class CompositeDevice:
    """One plugged-in key."""

    key: VirtualKey
    hid: CtapHid = field(init=False)
    reports: FeatureReports = field(init=False)
    reader: CcidReader = field(init=False)
    typed: list[bytes] = field(init=False, default_factory=list)
    notices: list[bytes] = field(init=False, default_factory=lambda: [SLOT_CHANGED])

    def __post_init__(self) -> None:
        self.hid = CtapHid(self.key)
        self.reports = FeatureReports(self.key)
        self.reader = CcidReader(self.key)

    @property
    def interfaces(self) -> tuple[descriptors.InterfaceInfo, ...]:
        """The interfaces by number."""
        return descriptors.interfaces(self.key.profile.interfaces)

    @property
    def product(self) -> int:
        """The USB product id."""
        return product_id(self.key)

    @property
    def due(self) -> float | None:
        """In how many seconds `poll` has something to do, None: not before the next packet."""
        waits = [wait for wait in (self.hid.due, self.reader.due) if wait is not None]
        return min(waits, default=None)

    def poll(self) -> None:
        """Go on with what waits."""
        self.hid.poll()
        self.reader.poll()

    def control(self, setup: Setup, data: bytes) -> bytes | None:
        """Answer a control request; None is a stall."""
        if setup.request_type & CLASS:
            return self._class_request(setup, data)
        if setup.request == Standard.GET_DESCRIPTOR:
            descriptor = self._descriptor(setup)
            return None if descriptor is None else descriptor[: setup.length]
        return _ANSWERS.get(setup.request)

    def write(self, endpoint: int, data: bytes) -> None:
        """Take one packet to an OUT endpoint."""
        if endpoint == descriptors.FIDO_OUT:
            self.hid.receive(data)
        elif endpoint == descriptors.CCID_OUT:
            self.reader.receive(data)

    def queue(self, endpoint: int) -> list[bytes]:
        """Return what waits to be read from an IN endpoint, oldest first; the caller takes from it."""
        queues = {
            descriptors.KEYBOARD_IN: self.typed,
            descriptors.FIDO_IN: self.hid.outgoing,
            descriptors.CCID_IN: self.reader.outgoing,
            descriptors.CCID_INTERRUPT: self.notices,
        }
        return queues.get(endpoint, [])

    def press(self, slot: int) -> None:
        """Touch the key while nothing waits for it: it types what OTP slot 1 or 2 holds."""
        for usage in at_once(press(self.reports.application, slot)):
            shift = LEFT_SHIFT if usage & SHIFT else 0
            self.typed += [bytes([shift, 0, usage & ~SHIFT, 0, 0, 0, 0, 0]), KEYBOARD_IDLE]

    def _descriptor(self, setup: Setup) -> bytes | None:
        kind, number = setup.value >> 8, setup.value & 0xFF
        match kind:
            case descriptors.DEVICE:
                return descriptors.device(self.product, self.key.profile.firmware)
            case descriptors.CONFIGURATION:
                return descriptors.configuration(self.key.profile.interfaces)
            case descriptors.STRING:
                return descriptors.string(number)
            case descriptors.HID | descriptors.REPORT if setup.index < len(self.interfaces):
                info = self.interfaces[setup.index]
                return info.report if kind == descriptors.REPORT else info.extra
        return None

    def _class_request(self, setup: Setup, data: bytes) -> bytes | None:
        number = setup.index & 0xFF
        keyboard = number < len(self.interfaces) and self.interfaces[number].which is Interface.OTP
        feature = setup.value >> 8 == FEATURE
        if keyboard and setup.request == HidRequest.GET_REPORT:
            return self.reports.read() if feature else KEYBOARD_IDLE
        if keyboard and setup.request == HidRequest.SET_REPORT:
            # The other kind of report sets the keyboard's lights.
            if feature:
                self.reports.write(data)
            return b""
        return _HID_ANSWERS.get(setup.request)
