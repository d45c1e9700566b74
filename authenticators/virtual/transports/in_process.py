"""A virtual FIDO key inside the process that uses it: python-fido2's own client drives it as any device."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from fido2.ctap import STATUS, CtapDevice, CtapError
from fido2.hid import CAPABILITY, CTAPHID

from authenticators.virtual.errors import UnpluggedError
from authenticators.virtual.fido import ctap1
from authenticators.virtual.fido.ctap2 import Ctap2
from authenticators.virtual.interaction import AwaitTouch, Pause, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey


class InProcessDevice(CtapDevice):
    """A `fido2.ctap.CtapDevice` around a virtual key. Pulled out, it raises `OSError` like a lost hidraw."""

    def __init__(self, key: VirtualKey) -> None:
        self.key = key
        self._ctap2 = Ctap2(key)
        self._unplugged = False

    @property
    def capabilities(self) -> int:
        """CTAPHID capabilities: CBOR unless the key is U2F only."""
        return CAPABILITY.CBOR if self.key.profile.ctap2 else CAPABILITY(0)

    def call(
        self,
        cmd: int,
        data: bytes = b"",
        event: Event | None = None,
        on_keepalive: Callable[[STATUS], None] | None = None,
    ) -> bytes:
        """Answer CTAPHID_CBOR and CTAPHID_MSG; raises `CtapError` for others and `OSError` when unplugged."""
        if self._unplugged:
            raise OSError("the virtual key is unplugged")
        try:
            return run(self._steps(cmd, data), _waiter(event or Event(), on_keepalive))
        except UnpluggedError as error:
            self._unplugged = True
            raise OSError(str(error)) from error

    def replug(self) -> None:
        """Pull the key out and plug it in again."""
        self.key.power_cycle()
        self._unplugged = False

    def _steps(self, cmd: int, data: bytes) -> Steps[bytes]:
        if cmd == CTAPHID.CBOR and self.key.profile.ctap2:
            return self._ctap2.process(data)
        if cmd == CTAPHID.MSG:
            return ctap1.process(self.key, data)
        raise CtapError(CtapError.ERR.INVALID_COMMAND)

    @classmethod
    def list_devices(cls) -> Iterator[CtapDevice]:
        """Find none: a virtual key is handed over, not found."""
        return iter(())


def _waiter(event: Event, on_keepalive: Callable[[STATUS], None] | None) -> Callable[[Pause], bool]:
    def wait(pause: Pause) -> bool:
        status = STATUS.UPNEEDED if isinstance(pause, AwaitTouch) else STATUS.PROCESSING
        if on_keepalive is not None:
            on_keepalive(status)
        return not event.wait(pause.seconds)

    return wait
