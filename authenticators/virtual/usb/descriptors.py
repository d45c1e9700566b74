"""What the composite device says of itself (USB 2.0 chapter 9, HID 1.11, CCID 1.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from authenticators.virtual.profile import Interface
from authenticators.virtual.usb.ccid import LARGEST

DEVICE, CONFIGURATION, STRING, INTERFACE, ENDPOINT, HID, REPORT = 1, 2, 3, 4, 5, 0x21, 0x22
BULK, INTERRUPT = 2, 3
IN: Final = 0x80
KEYBOARD_IN: Final = 0x81
FIDO_IN: Final = 0x82
FIDO_OUT: Final = 0x02
CCID_IN: Final = 0x83
CCID_OUT: Final = 0x03
CCID_INTERRUPT: Final = 0x84
VENDOR: Final = 0x1050
STRINGS: Final = ("", "Yubico", "Virtual key (test only) OTP+FIDO+CCID")

KEYBOARD_REPORT: Final = bytes.fromhex(
    "05010906a1010507 19e029e7 15002501 75019508 8102 9501 7508 8101 9505 7501 0508 1901 2905 9102"
    "9501 7503 9101 9506 7508 1500 2565 0507 1900 2965 8100 0903 7508 9508 b102 c0".replace(" ", "")
)
FIDO_REPORT: Final = bytes.fromhex("06d0f10901a1010920150026ff007508954081020921150026ff00750895409102c0")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointInfo:
    """An endpoint: address, transfer type, largest packet, polling interval in ms."""

    address: int
    kind: int
    packet: int
    interval: int = 0

    def __bytes__(self) -> bytes:
        return struct.pack("<BBBBHB", 7, ENDPOINT, self.address, self.kind, self.packet, self.interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceInfo:
    """An interface: which one, its class triple, its class descriptor, its endpoints."""

    which: Interface
    triple: tuple[int, int, int]
    extra: bytes
    endpoints: tuple[EndpointInfo, ...]
    report: bytes = b""


def _hid(report: bytes) -> bytes:
    return struct.pack("<BBHBBBH", 9, HID, 0x0111, 0, 1, REPORT, len(report))


def _ccid() -> bytes:
    features = 0x000400FE  # all automatic, short and extended APDUs
    return struct.pack(
        "<BBHBBIIIBIIBIIIIIBBHBB",
        54, 0x21, 0x0110, 0, 7, 2, 4000, 4000, 0, 307200, 307200, 0,
        LARGEST - 10, 0, 0, features, LARGEST, 0xFF, 0xFF, 0, 0, 1,
    )  # fmt: skip


_KEYBOARD: Final = InterfaceInfo(
    which=Interface.OTP,
    triple=(3, 1, 1),
    extra=_hid(KEYBOARD_REPORT),
    endpoints=(EndpointInfo(address=KEYBOARD_IN, kind=INTERRUPT, packet=8, interval=10),),
    report=KEYBOARD_REPORT,
)
_FIDO: Final = InterfaceInfo(
    which=Interface.FIDO,
    triple=(3, 0, 0),
    extra=_hid(FIDO_REPORT),
    endpoints=(
        EndpointInfo(address=FIDO_IN, kind=INTERRUPT, packet=64, interval=2),
        EndpointInfo(address=FIDO_OUT, kind=INTERRUPT, packet=64, interval=2),
    ),
    report=FIDO_REPORT,
)
_CCID: Final = InterfaceInfo(
    which=Interface.CCID,
    triple=(0x0B, 0, 0),
    extra=_ccid(),
    endpoints=(
        EndpointInfo(address=CCID_IN, kind=BULK, packet=64),
        EndpointInfo(address=CCID_OUT, kind=BULK, packet=64),
        EndpointInfo(address=CCID_INTERRUPT, kind=INTERRUPT, packet=8, interval=32),
    ),
)
_ALL: Final = (_KEYBOARD, _FIDO, _CCID)


def interfaces(wanted: tuple[Interface, ...]) -> tuple[InterfaceInfo, ...]:
    """Return the interfaces of a key, in the order tools expect."""
    return tuple(info for info in _ALL if info.which in wanted)


def device(product: int, firmware: tuple[int, int, int]) -> bytes:
    """Return the device descriptor, 18 bytes."""
    version = bcd(firmware)
    return struct.pack(
        "<BBHBBBBHHHBBBB", 18, DEVICE, 0x0200, 0, 0, 0, 64, VENDOR, product, version, 1, 2, 0, 1
    )


def bcd(firmware: tuple[int, int, int]) -> int:
    """Return the firmware as the device release number."""
    major, minor, build = firmware
    return major << 8 | minor << 4 | build


def configuration(wanted: tuple[Interface, ...]) -> bytes:
    """Return the configuration descriptor and all that follows it."""
    body = b"".join(_interface(number, info) for number, info in enumerate(interfaces(wanted)))
    head = struct.pack("<BBHBBBBB", 9, CONFIGURATION, 9 + len(body), len(interfaces(wanted)), 1, 0, 0x80, 15)
    return head + body


def _interface(number: int, info: InterfaceInfo) -> bytes:
    head = struct.pack("<BBBBBBBBB", 9, INTERFACE, number, 0, len(info.endpoints), *info.triple, 0)
    return head + info.extra + b"".join(bytes(endpoint) for endpoint in info.endpoints)


def string(index: int) -> bytes | None:
    """Return a string descriptor; index 0 is the list of languages."""
    if index == 0:
        return bytes([4, STRING]) + struct.pack("<H", 0x0409)
    if index >= len(STRINGS):
        return None
    text = STRINGS[index].encode("utf-16-le")
    return bytes([2 + len(text), STRING]) + text
