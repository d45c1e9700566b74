"""Keys in this machine, chosen by serial number. What is on them is ERASED: one loud question comes first.

A person does what faults do on virtual keys: they are told when not to touch and when to pull the key out.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from fido2.ctap2 import Ctap2
from ykman.device import list_all_devices
from yubikit.core.fido import FidoConnection
from yubikit.core.smartcard import SmartCardConnection
from yubikit.oath import OathSession
from yubikit.piv import PivSession

from rig.bench import Bench, NotPossibleError, Plugged, YubicoChallengeResponse
from rig.expect import expect
from rig.ssh import log_in_by_provider, tool
from rig.table import REAL

if TYPE_CHECKING:
    from collections.abc import Iterator

WARNING = """
************************************************************************
  The key with serial number {serial} is about to be ERASED.
  Every passkey, FIDO credential, PIV key and certificate, OATH account
  and the secret in OTP slot 2 on it will be GONE, and can't be restored.
************************************************************************
Type the serial number to go on: """


class Request(StrEnum):
    """What the person is asked to do."""

    REPLUG = "Pull the key out, and plug it in again."
    REPLUG_TO_ERASE = "Pull the key out, plug it in again, and touch it when it blinks: it is being erased."
    NO_TOUCH = "Do NOT touch the key until it stops blinking."
    PULL_OUT = "PULL THE KEY OUT as soon as it blinks."
    TOUCH = "From now on touch the key whenever it blinks."


_INSTEAD_OF = {
    "refuse-touch": Request.NO_TOUCH,
    "nobody-touches": Request.NO_TOUCH,
    "unplug@0x1": Request.PULL_OUT,
}


@dataclass
class RealKey(Plugged):
    """A key somebody bought."""

    bench: RealBench
    stack: ExitStack

    @property
    def serial(self):
        return self.bench.number

    def fido(self):
        self.stack.close()
        return self.stack.enter_context(self.bench.find().open_connection(FidoConnection))

    def card(self):
        self.stack.close()
        return self.stack.enter_context(self.bench.find().open_connection(SmartCardConnection))

    def challenge_response(self):
        import yubico  # noqa: PLC0415 - the rig silences its warnings

        self.stack.close()
        return YubicoChallengeResponse(yubico.find_yubikey())

    def replug(self):
        self.stack.close()
        self.bench.ask(Request.REPLUG)
        self.bench.wait_for_replug()

    def type_otp(self):
        raise NotPossibleError("would type into whatever window has the focus")


@dataclass
class RealBench(Bench):
    """The desk with one real key on it."""

    folder: Path
    number: int
    ask: Callable[[Request], None]
    transport = REAL
    maker_is_virtual = False

    @classmethod
    @contextmanager
    def opened(cls, folder, serial) -> Iterator[RealBench]:
        """Find the key and ask whether it may be erased."""
        # ykman tells of each reader that is not there.
        logging.getLogger("ykman").setLevel(logging.CRITICAL)
        bench = cls(folder, serial, say)
        if bench.find() is None:
            sys.exit(f"no key with serial number {serial} is plugged in")
        if input(WARNING.format(serial=serial)).strip() != str(serial):
            sys.exit("nothing was done")
        yield bench

    def find(self):
        """Return the key's device, or None."""
        found = [device for device, info in list_all_devices() if info.serial == self.number]
        return found[0] if found else None

    def wait(self, *, present: bool) -> None:
        """Wait up to a minute for the person."""
        end = time.monotonic() + 60
        while (self.find() is not None) != present:
            if time.monotonic() > end:
                raise NotPossibleError("the person did not do as asked within a minute")
            time.sleep(0.2)

    def wait_for_replug(self) -> None:
        """Wait until the key was out and is in again."""
        self.wait(present=False)
        self.wait(present=True)

    def make_key(self, label, *, model="modern", faults=()):
        if model != "modern" or faults:
            raise NotPossibleError(f"needs a key of model {model}")
        self.ask(Request.REPLUG_TO_ERASE)
        self.wait_for_replug()
        with self.find().open_connection(FidoConnection) as device:
            Ctap2(device).reset()
        with self.find().open_connection(SmartCardConnection) as card:
            PivSession(card).reset()
        with self.find().open_connection(SmartCardConnection) as card:
            OathSession(card).reset()

    def clone(self, label, copy):
        raise NotPossibleError("a real key can't be copied")

    def misbehave(self, label, *faults):
        for fault in faults:
            if fault not in _INSTEAD_OF:
                raise NotPossibleError(f"nobody can make a real key do {fault}")
            self.ask(_INSTEAD_OF[fault])
        if not faults:
            self.ask(Request.TOUCH)

    @contextmanager
    def plugged(self, label, port=0):
        self.wait(present=True)
        with ExitStack() as stack:
            yield RealKey(self, stack)

    def ssh_login(self, key, folder):
        key.stack.close()
        return log_in_by_provider(folder)

    def tools(self, key):
        key.stack.close()
        command = [tool("ykman"), "--device", str(self.number), "info"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        expect(done.returncode == 0, f"{command} succeeds; it said {done.stderr}")
        return done.stdout


def say(request: Request) -> None:
    """Tell the person at the terminal what to do."""
    print(f">>> {request}", file=sys.stderr, flush=True)
