"""The initramfs, written here (cpio `newc`) from the host's busybox and kernel modules."""

from __future__ import annotations

import gzip
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODULES = (
    "virtio_pci", "9p", "9pnet_virtio", "overlay", "xhci_pci", "usbhid", "hid_generic", "evdev",
)  # fmt: skip
BUSYBOX = Path("/bin/busybox")
DIRECTORIES = ("bin", "dev", "proc", "sys", "modules", "lower", "over", "root")

INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in /modules/*; do $b insmod $m || echo "rig: insmod $m failed"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose host /lower
$b mount -t tmpfs over /over
$b mkdir /over/up /over/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/over/up,workdir=/over/work overlay /root
for d in dev proc sys; do $b mount --bind /$d /root/$d; done
$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts pts /dev/pts
for d in tmp run; do $b mount -t tmpfs $d /root/$d; done
$b ip link set lo up
for w in $($b cat /proc/cmdline); do case $w in rig.*) export "rig_${w#rig.}";; esac; done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
$b chroot /root "$rig_python" "$rig_program" /dev/ttyS1
echo "rig: guest program ended with $?"
$b poweroff -f
"""


class MissingPartsError(Exception):
    """Packages that the guest needs are not installed; they are named."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel with its modules."""

    version: str
    image: Path


def find_kernel() -> Kernel:
    """Return the newest installed kernel that has USB (Debian's cloud flavour has none)."""
    images = sorted(Path("/boot").glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    for image in reversed(images):
        version = image.name.removeprefix("vmlinuz-")
        if "cloud" not in version and Path("/lib/modules", version).is_dir():
            return Kernel(version=version, image=image)
    raise MissingPartsError("linux-image-amd64")


def module_files(kernel: Kernel) -> list[Path]:
    """Return the module files in the order in which they can be loaded."""
    found: dict[Path, None] = {}
    for name in MODULES:
        command = ["modprobe", "--set-version", kernel.version, "--show-depends", name]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            kind, _, path = line.partition(" ")
            if kind == "insmod":
                found[Path(path.split()[0])] = None
    return list(found)


def build(kernel: Kernel, target: Path) -> Path:
    """Write the initramfs to `target` and return it."""
    archive = _Archive()
    for name in DIRECTORIES:
        archive.add(name, b"", 0o040755)
    archive.add("bin/busybox", BUSYBOX.read_bytes(), 0o100755)
    archive.add("init", INIT.encode(), 0o100755)
    for number, path in enumerate(module_files(kernel)):
        archive.add(f"modules/{number:02}-{path.name}", path.read_bytes(), 0o100644)
    target.write_bytes(gzip.compress(archive.finished(), compresslevel=1))
    return target


class _Archive:
    """A cpio archive in the `newc` form the kernel reads (Documentation/driver-api/early-userspace)."""

    def __init__(self) -> None:
        self._stream = io.BytesIO()
        self._inode = 0

    def add(self, name: str, data: bytes, mode: int) -> None:
        """Append a file or directory."""
        self._inode += 1
        encoded = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        self._put(b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded)
        self._put(data)

    def finished(self) -> bytes:
        """Return the archive with its end mark."""
        self.add("TRAILER!!!", b"", 0)
        return self._stream.getvalue()

    def _put(self, data: bytes) -> None:
        self._stream.write(data + bytes(-len(data) % 4))
