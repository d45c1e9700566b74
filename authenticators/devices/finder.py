"""FIDO keys on this machine, and the choice among several."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from fido2.client import ClientError, DefaultClientDataCollector, Fido2Client
from fido2.ctap import CtapDevice, CtapError
from fido2.hid import CtapHidDevice, list_descriptors, open_connection
from fido2.pcsc import CtapPcscDevice

from authenticators.errors import DeviceError, DeviceErrorCode

if TYPE_CHECKING:
    from authenticators.devices.prompter import Prompter
from authenticators.devices.smart_card import CARD_ERRORS

logger = logging.getLogger(__name__)

_HIDRAW: Final = Path("/sys/class/hidraw")
_FIDO_USAGE_PAGE: Final = bytes.fromhex("06d0f1")
_POLL_SECONDS: Final = 0.3
_JOIN_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FidoKey:
    """A FIDO key that is open. `serial` is what the key or the operating system tells, often nothing."""

    device: CtapDevice
    name: str
    serial: str | None = None
    transport: str = "usb"


Finder = Callable[[], Sequence[FidoKey]]


def find_fido_keys() -> list[FidoKey]:
    """Return the FIDO keys that can be used now, USB first; each is open and is to be closed.

    Raises `DeviceError` with ACCESS_DENIED when there is one that this user may not open, and none else.
    """
    keys = _usb_keys() + _card_keys()
    if not keys and _is_one_forbidden(_HIDRAW):
        raise DeviceError(
            DeviceErrorCode.ACCESS_DENIED,
            "a key is plugged in, but udev gives it to nobody: see 70-sallyport.rules",
        )
    return keys


def choose_key(
    keys: Sequence[FidoKey], prompter: Prompter, *, serial: str | None = None, cancel: Event
) -> FidoKey:
    """Return the key of that serial, the only one, or the one that is touched.

    Raises `DeviceError`: NO_DEVICE, NO_SUCH_SERIAL, CANCELLED, REMOVED.
    """
    if serial is not None:
        keys = [key for key in keys if key.serial == serial]
        if not keys:
            raise DeviceError(DeviceErrorCode.NO_SUCH_SERIAL, serial)
    if not keys:
        raise DeviceError(DeviceErrorCode.NO_DEVICE)
    return keys[0] if len(keys) == 1 else _choose_by_touch(keys, prompter, cancel)


def close_keys(keys: Sequence[FidoKey]) -> None:
    """Close the devices; one that is gone is closed already."""
    for key in keys:
        try:
            key.device.close()
        except (OSError, *CARD_ERRORS):
            logger.debug("the key %s was gone before it was closed", key.name)


def _usb_keys() -> list[FidoKey]:
    keys = list[FidoKey]()
    for descriptor in list_descriptors():  # type: ignore[no-untyped-call]
        try:
            connection = open_connection(descriptor)  # type: ignore[no-untyped-call]
            device = CtapHidDevice(descriptor, connection)
        except (OSError, CtapError) as error:
            logger.info("a FIDO key cannot be opened: %r", error)
            continue
        name = descriptor.product_name or f"{descriptor.vid:04x}:{descriptor.pid:04x}"
        keys.append(FidoKey(device=device, name=name, serial=descriptor.serial_number or None))
    return keys


def _card_keys() -> list[FidoKey]:
    try:
        devices = list(CtapPcscDevice.list_devices())
    except CARD_ERRORS as error:
        logger.info("there is no PC/SC service: %r", error)
        return []
    # The reader's name has no other door than this.
    names = [str(each._name) for each in devices]  # noqa: SLF001 -- see above
    return [
        FidoKey(device=each, name=name, transport="smart-card")
        for each, name in zip(devices, names, strict=True)
    ]


def _is_one_forbidden(hidraw: Path) -> bool:
    """Tell whether a node that we may not open is a FIDO key, by its descriptor, which all may read."""
    for entry in hidraw.glob("hidraw*"):
        try:
            descriptor = (entry / "device" / "report_descriptor").read_bytes()
        except OSError:
            continue
        node = Path("/dev") / entry.name
        if _FIDO_USAGE_PAGE in descriptor and not os.access(node, os.R_OK | os.W_OK):
            return True
    return False


def _choose_by_touch(keys: Sequence[FidoKey], prompter: Prompter, cancel: Event) -> FidoKey:
    """Let all keys blink; the first that is touched is the one, and the others are told to stop."""
    answers = SimpleQueue[FidoKey | None]()
    stops = [Event() for _ in keys]
    threads = [
        Thread(target=_await_touch, args=(key, stop, answers), daemon=True)
        for key, stop in zip(keys, stops, strict=True)
    ]
    prompter.choose([key.name for key in keys])
    for thread in threads:
        thread.start()
    try:
        return _first_touched(answers, len(keys), cancel)
    finally:
        for stop in stops:
            stop.set()
        for thread in threads:
            thread.join(_JOIN_SECONDS)


def _await_touch(key: FidoKey, stop: Event, answers: SimpleQueue[FidoKey | None]) -> None:
    try:
        Fido2Client(key.device, DefaultClientDataCollector("https://localhost")).selection(stop)
    except (ClientError, CtapError, OSError, *CARD_ERRORS) as error:
        logger.debug("the key %s was not chosen: %r", key.name, error)
        answers.put(None)
    else:
        answers.put(key)


def _first_touched(answers: SimpleQueue[FidoKey | None], waiting: int, cancel: Event) -> FidoKey:
    while waiting:
        if cancel.is_set():
            raise DeviceError(DeviceErrorCode.CANCELLED)
        try:
            chosen = answers.get(timeout=_POLL_SECONDS)
        except Empty:
            continue
        if chosen is not None:
            return chosen
        waiting -= 1
    raise DeviceError(DeviceErrorCode.TIMED_OUT, "no key was touched")
