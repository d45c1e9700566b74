"""Virtual keys where python-yubico looks for USB devices: one function is replaced, the rest runs as is."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp.reports import FeatureReports
from authenticators.virtual.profile import Interface

if TYPE_CHECKING:
    from collections.abc import Iterator


VENDOR: Final = 0x1050
GET_REPORT: Final = 0x01
SET_REPORT: Final = 0x09
_PRODUCTS: Final = {
    frozenset({Interface.OTP}): 0x0401,
    frozenset({Interface.FIDO}): 0x0402,
    frozenset({Interface.OTP, Interface.FIDO}): 0x0403,
    frozenset({Interface.CCID}): 0x0404,
    frozenset({Interface.OTP, Interface.CCID}): 0x0405,
    frozenset({Interface.FIDO, Interface.CCID}): 0x0406,
    frozenset(Interface): 0x0407,
}


def product_id(key: VirtualKey) -> int:
    """Return the USB product id of a key with these interfaces."""
    return _PRODUCTS[frozenset(key.profile.interfaces)]


@dataclass(slots=True)
class Handle:
    """An opened device, in the names of PyUSB's legacy interface."""

    reports: FeatureReports

    def controlMsg(  # noqa: N802 - PyUSB's name
        self, _request_type: int, request: int, buffer: int | bytes, **_where: int
    ) -> bytes | int:
        """Do GET_REPORT (returns 8 bytes) or SET_REPORT (returns 8)."""
        if request == SET_REPORT and isinstance(buffer, bytes):
            self.reports.write(buffer)
            return len(buffer)
        return self.reports.read()

    def detachKernelDriver(self, _interface: int) -> None:  # noqa: N802 - PyUSB's name
        """Find no kernel driver in the way."""

    def setConfiguration(self, _number: int) -> None:  # noqa: N802 - PyUSB's name
        """Accept the only configuration."""

    def claimInterface(self, _interface: object) -> None:  # noqa: N802 - PyUSB's name
        """Hand the interface over."""

    def releaseInterface(self) -> None:  # noqa: N802 - PyUSB's name
        """Take it back."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A USB configuration whose interface 0 is the keyboard."""

    interfaces: tuple[tuple[str, ...], ...] = (("keyboard",),)


@dataclass(slots=True)
class UsbDevice:
    """A key as PyUSB's legacy interface describes a device."""

    key: VirtualKey
    reports: FeatureReports = field(init=False)
    configurations: tuple[Configuration, ...] = (Configuration(),)

    def __post_init__(self) -> None:
        self.reports = FeatureReports(self.key)

    @property
    def idVendor(self) -> int:  # noqa: N802 - PyUSB's name
        """The vendor id that the OTP tools look for."""
        return VENDOR

    @property
    def idProduct(self) -> int:  # noqa: N802 - PyUSB's name
        """The product id that tells the interfaces."""
        return product_id(self.key)

    def open(self) -> Handle:
        """Open the device."""
        return Handle(self.reports)


@contextmanager
def plugged(*keys: VirtualKey) -> Iterator[None]:
    """Let `yubico.find_yubikey` find these keys, and no others, inside the block."""
    hid = _hid_device_class()
    devices = [UsbDevice(key) for key in keys if Interface.OTP in key.profile.interfaces]

    def find(_self: Any, skip: int = 0) -> UsbDevice | None:
        return devices[skip] if skip < len(devices) else None

    original = hid._get_usb_device  # noqa: SLF001 - the one seam python-yubico has
    hid._get_usb_device = find  # noqa: SLF001
    try:
        yield
    finally:
        hid._get_usb_device = original  # noqa: SLF001


def _hid_device_class() -> Any:
    with warnings.catch_warnings():
        # python-yubico 1.3.3 compares texts by identity, of which Python warns when it compiles the module.
        warnings.simplefilter("ignore", SyntaxWarning)
        from yubico.yubikey_usb_hid import YubiKeyHIDDevice  # noqa: PLC0415 - under the filter
    return YubiKeyHIDDevice
