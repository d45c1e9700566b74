"""The host's half: QEMU, the USB ports, and the answers to what the guest asks for.

The control line is the guest's second serial port: a JSON object a line, each way.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from authenticators.virtual.transports.usbredir import UsbPort
from rig.desk import Desk
from rig.guest.initramfs import BUSYBOX, MissingPartsError, build, find_kernel
from rig.report import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[3]
QEMU = "qemu-system-x86_64"
UDEVD = Path("/lib/systemd/systemd-udevd")
PORTS = 2
BOOT_SECONDS = 300
SILENCE_SECONDS = 240


def missing_parts() -> list[str]:
    """Return the Debian packages the USB tier lacks here."""
    tools = {
        "qemu-system-x86": QEMU,
        "kmod": "modprobe",
        "fido2-tools": "fido2-token",
        "openssh-client": "ssh-keygen",
        "openssh-server": "sshd",
        "pcscd": "pcscd",
    }
    missing = [package for package, tool in tools.items() if not _which(tool)]
    missing += [] if UDEVD.exists() else ["udev"]
    missing += [] if BUSYBOX.exists() else ["busybox-static"]
    missing += [] if Path("/usr/lib/pcsc/drivers/ifd-ccid.bundle").exists() else ["libccid"]
    try:
        find_kernel()
    except MissingPartsError as error:
        missing.append(str(error))
    return missing


def _which(tool: str) -> str | None:
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")


@dataclass
class Machine:
    """A running guest with its ports, and the keys it may ask for."""

    folder: Path
    rehearse: bool = False
    desk: Desk = field(default_factory=Desk)
    ports: list[UsbPort] = field(default_factory=lambda: [UsbPort() for _ in range(PORTS)])

    def run(self, names: list[str]) -> Iterator[Result]:
        """Boot, let the guest run the scenarios of those names, yield each result as it comes."""
        kernel = find_kernel()
        initramfs = build(kernel, self.folder / "initramfs.gz")
        with ExitStack() as stack:
            listeners = [stack.enter_context(_listener(self.folder / f"usb{n}")) for n in range(PORTS)]
            control = stack.enter_context(_listener(self.folder / "control"))
            process = stack.enter_context(self._qemu(kernel.image, initramfs))
            for port, listener in zip(self.ports, listeners, strict=True):
                self._serve(stack, port, _accept(listener, process))
            line = stack.enter_context(_accept(control, process))
            yield from self._converse(line, names)

    @contextmanager
    def _qemu(self, kernel: Path, initramfs: Path) -> Iterator[subprocess.Popen]:
        command = [
            _which(QEMU) or QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
            "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot", "-nodefaults",
            "-kernel", str(kernel), "-initrd", str(initramfs), "-append", self._append(),
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            "-serial", f"file:{self.folder / 'console.log'}",
            "-chardev", f"socket,id=control,path={self.folder / 'control'}", "-serial", "chardev:control",
            "-device", "qemu-xhci,id=usb",
        ]  # fmt: skip
        for number in range(PORTS):
            command += ["-chardev", f"socket,id=usb{number},path={self.folder / f'usb{number}'}"]
            command += ["-device", f"usb-redir,chardev=usb{number},bus=usb.0"]
        with (self.folder / "qemu.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _append(self) -> str:
        inside = REPOSITORY / "hardware-tests" / "rig" / "guest" / "inside.py"
        return f"console=ttyS0 quiet random.trust_cpu=on rig.python={sys.executable} rig.program={inside}"

    @staticmethod
    def _serve(stack: ExitStack, port: UsbPort, connection: socket.socket) -> None:
        thread = threading.Thread(target=port.serve, args=(connection,), daemon=True)
        thread.start()
        stack.callback(connection.close)
        stack.callback(thread.join, 5)
        stack.callback(port.close)

    def _converse(self, line: socket.socket, names: list[str]) -> Iterator[Result]:
        line.settimeout(BOOT_SECONDS)
        stream = line.makefile("rwb")
        for raw in stream:
            # The serial port of a booting guest may carry a stray line before the program opens it.
            if not raw.startswith(b"{"):
                continue
            line.settimeout(SILENCE_SECONDS)
            message = json.loads(raw)
            match message.pop("do"):
                case "result":
                    yield Result(**message)
                    continue
                case "end":
                    return
                case "begin":
                    answer = {"names": names, "rehearse": self.rehearse}
                case verb:
                    answer = self._act(verb, message)
            stream.write(json.dumps(answer).encode() + b"\n")
            stream.flush()

    def _act(self, verb: str, message: dict) -> dict:
        match verb:
            case "make":
                self.desk.make(message["label"], message["model"], tuple(message["faults"]))
            case "clone":
                self.desk.clone(message["label"], message["copy"])
            case "misbehave":
                self.desk.misbehave(message["label"], tuple(message["faults"]))
            case "plug":
                self.ports[message["port"]].plug(self.desk.keys[message["label"]])
            case "unplug":
                self.ports[message["port"]].unplug()
            case "press":
                self.ports[message["port"]].press(message["slot"])
        label = message.get("label")
        return {"serial": self.desk.keys[label].state.serial if label else 0}


@contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        yield listener


def _accept(listener: socket.socket, process: subprocess.Popen) -> socket.socket:
    listener.settimeout(0.2)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            return listener.accept()[0]
        except TimeoutError:
            if process.poll() is not None:
                break
    raise RuntimeError(f"QEMU did not come up (exit {process.poll()}); see qemu.log")
