"""The guest's half: runs as the only program in the virtual machine.

Its bench asks the host over the serial line to plug keys, and reaches them as any program would: FIDO through
hidraw, the card through pcscd and libccid, the OTP slots through libusb, the keyboard through evdev.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
import threading
import time
import traceback
import tty
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "hardware-tests")]

from fido2.hid import CtapHidDevice  # noqa: E402 - after the path is set, as all below

from authenticators.virtual.otp.typing import ENTER, text  # noqa: E402
from rig.bench import Bench, Plugged, YubicoChallengeResponse  # noqa: E402
from rig.expect import expect  # noqa: E402
from rig.runner import run_scenario  # noqa: E402
from rig.ssh import log_in_by_provider, tool  # noqa: E402
from rig.table import REHEARSAL, USB_GUEST  # noqa: E402

FOLDER = Path("/tmp/rig")
READ_CONFIG = 0x42
SERIAL_TAG = 0x02
KEY_EVENT = struct.Struct("llHHi")
EVDEV_TO_USAGE = {
    **dict(zip((30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50), range(0x04, 0x11), strict=True)),
    **dict(zip((49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44), range(0x11, 0x1E), strict=True)),
    28: ENTER,
}


class Line:
    """The control line to the host."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(descriptor)
        self._in = os.fdopen(descriptor, "rb", buffering=0)
        self._out = os.dup(descriptor)

    def tell(self, do: str, **what) -> None:
        """Say something that needs no answer."""
        message = json.dumps({"do": do, **what}).encode() + b"\n"
        while message:
            message = message[os.write(self._out, message) :]

    def ask(self, do: str, **what) -> dict:
        """Say something and return the answer."""
        self.tell(do, **what)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self._in.read(1)
        return json.loads(answer)


@dataclass
class UsbKey(Plugged):
    """A key in a USB port of this machine."""

    line: Line
    label: str
    port: int
    number: int
    stack: ExitStack
    pcscd: subprocess.Popen | None = field(default=None)

    @property
    def serial(self):
        return self.number

    def fido(self):
        return wait_for(self._find_fido, f"a FIDO device with serial {self.number}")

    def _find_fido(self):
        for descriptor_device in CtapHidDevice.list_devices():
            if _serial_of(descriptor_device) == self.number:
                return descriptor_device
            descriptor_device.close()
        return None

    def card(self):
        from ykman.pcsc import list_devices  # noqa: PLC0415 - libpcsclite wants its daemon first
        from yubikit.core.smartcard import SmartCardConnection  # noqa: PLC0415 - as above

        self._start_pcscd()
        device = wait_for(lambda: next(iter(list_devices()), None), "a card reader")
        return self.stack.enter_context(device.open_connection(SmartCardConnection))

    def challenge_response(self):
        import warnings  # noqa: PLC0415 - one use

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            import yubico  # noqa: PLC0415 - under the filter

        def find():
            try:
                return yubico.find_yubikey()
            except yubico.yubikey.YubiKeyError:
                return None  # libusb hears of a new device when udevd has announced it

        return YubicoChallengeResponse(wait_for(find, "a USB key with an OTP interface"))

    def replug(self):
        self.leave()
        self.line.ask("unplug", port=self.port)
        wait_for(lambda: not _usb_devices(self.port), "the key to vanish")
        self.line.ask("plug", label=self.label, port=self.port)
        wait_for(lambda: _ready(self.port), "the key to come back")

    def type_otp(self):
        (path,) = wait_for(_event_devices, "a keyboard")
        with path.open("rb", buffering=0) as events:
            self.line.ask("press", label=self.label, port=self.port, slot=1)
            return _typed_line(events)

    def leave(self):
        """Close what was opened on the key."""
        self.stack.close()
        if self.pcscd is not None:
            self.pcscd.terminate()
            self.pcscd.wait()
            self.pcscd = None

    def _start_pcscd(self):
        self.stack.close()
        if self.pcscd is None:
            Path("/run/pcscd").mkdir(exist_ok=True)
            self.pcscd = subprocess.Popen(["/usr/sbin/pcscd", "--foreground"], stdout=subprocess.DEVNULL)
            wait_for(Path("/run/pcscd/pcscd.comm").exists, "pcscd's socket")


@dataclass
class GuestBench(Bench):
    """A machine with two USB ports, and a host that plugs keys when asked."""

    line: Line
    folder: Path
    transport = USB_GUEST

    def make_key(self, label, *, model="modern", faults=()):
        self.line.ask("make", label=label, model=model, faults=list(faults))

    def clone(self, label, copy):
        self.line.ask("clone", label=label, copy=copy)

    def misbehave(self, label, *faults):
        self.line.ask("misbehave", label=label, faults=list(faults))

    @contextmanager
    def plugged(self, label, port=0):
        number = self.line.ask("plug", label=label, port=port)["serial"]
        wait_for(lambda: _ready(port), "the new USB device")
        with ExitStack() as stack:
            key = UsbKey(line=self.line, label=label, port=port, number=number, stack=stack)
            try:
                yield key
            finally:
                key.leave()
                self.line.ask("unplug", port=port)
                wait_for(lambda: not _usb_devices(port), "the USB device to vanish")

    def ssh_login(self, key, folder):
        return log_in_by_provider(folder)

    def tools(self, key):
        key._start_pcscd()
        said = ""
        device = _run(["fido2-token", "-L"]).split(":")[0]
        for command in (
            [tool("ykman"), "list"],
            ["fido2-token", "-I", device],
            [tool("ykman"), "piv", "info"],
        ):
            said += _run(command)
        return said


def rehearsal(line: Line) -> Bench:
    """Return the bench for real keys, with a virtual key it can't tell from one and a host for its person."""
    from rig.benches.real import RealBench, Request  # noqa: PLC0415 - a tier of its own

    Path("/run/pcscd").mkdir()
    subprocess.Popen(["/usr/sbin/pcscd", "--foreground"], stdout=subprocess.DEVNULL)
    serial = line.ask("make", label="real", model="modern", faults=[])["serial"]
    faults = {Request.NO_TOUCH: ["nobody-touches"], Request.PULL_OUT: ["unplug@0x1"], Request.TOUCH: []}

    def person(request: Request) -> None:
        if request in faults:
            line.ask("misbehave", label="real", faults=faults[request])
            return
        line.ask("unplug", port=0)
        # A person needs a moment between out and in; the bench has to see both.
        threading.Timer(3.0, line.ask, ["plug"], {"label": "real", "port": 0}).start()

    line.ask("plug", label="real", port=0)
    bench = RealBench(FOLDER, serial, person)
    bench.transport = REHEARSAL
    return bench


def wait_for(find, what: str, seconds: float = 30.0):
    """Ask until there is an answer; raises `TimeoutError`."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = find()
        except (OSError, FileNotFoundError):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited for {what}")
        time.sleep(0.1)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    expect(done.returncode == 0, f"{command} succeeds; it said {done.stdout}{done.stderr}")
    return done.stdout


def _usb_devices(port: int) -> list[Path]:
    """Return the USB device at one of the two ports; usb-redir number 0 is at root hub port 1."""
    found = Path("/sys/bus/usb/devices").glob(f"*-{port + 1}")
    return [path for path in found if (path / "idVendor").exists()]


def _ready(port: int) -> bool:
    """Whether the kernel has bound every interface of the device that it has a driver for."""
    for device in _usb_devices(port):
        kinds = [(path / "bInterfaceClass").read_text().strip() for path in device.glob("*:1.*")]
        nodes = [path for path in device.glob("*:1.*/*/hidraw/hidraw*") if Path("/dev", path.name).exists()]
        return bool(kinds) and len(nodes) == kinds.count("03")
    return False


def _event_devices() -> list[Path]:
    found = Path("/sys/class/input").glob("event*")
    return [Path("/dev/input", path.name) for path in found if "Yubico" in (path / "device/name").read_text()]


def _serial_of(device) -> int | None:
    info = device.call(READ_CONFIG, b"\0")[1:]
    while len(info) > 1:
        tag, length = info[0], info[1]
        if tag == SERIAL_TAG:
            return int.from_bytes(info[2 : 2 + length], "big")
        info = info[2 + length :]
    return None


def _typed_line(events) -> str:
    usages = b""
    while not usages.endswith(bytes([ENTER])):
        _, _, kind, code, value = KEY_EVENT.unpack(events.read(KEY_EVENT.size))
        if kind == 1 and value == 1 and code in EVDEV_TO_USAGE:
            usages += bytes([EVDEV_TO_USAGE[code]])
    return text(usages)


def main() -> None:
    """Run the scenarios the host names, and report each."""
    logging.basicConfig()
    logging.getLogger("rig").setLevel(logging.DEBUG)
    # Without its announcements libusb and pcscd hear of no key that is plugged in later.
    subprocess.Popen(["/lib/systemd/systemd-udevd"])
    line = Line(sys.argv[1])
    order = line.ask("begin")
    names = order["names"]
    FOLDER.mkdir()
    bench = rehearsal(line) if order["rehearse"] else GuestBench(line, FOLDER)
    for name in names:
        result = run_scenario(bench, name)
        line.tell("result", **asdict(result))
    line.tell("end")


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        raise
