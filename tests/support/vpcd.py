"""A private pcscd with a virtual reader: nobody else's pcscd, readers or network are touched.

The daemon runs in a mount namespace of its own, where a temporary folder lies over /run/pcscd and the USB
drivers are hidden (so it never grabs a real key), and in a network namespace of its own, because vpcd listens
on every address. Its socket is visible outside through the temporary folder; clients find it by
`PCSCLITE_CSOCK_NAME`, which `PrivatePcscd` sets in this process and hands to children in `environment`.

    with private_pcscd(tmp_path) as reader, reader.insert(key):
        ...  # pyscard, ykman, opensc, ykcs11 see the key

Needs root, pcscd, vsmartcard-vpcd, iproute2 and util-linux (`missing_parts`).
"""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smartcard import scard

from authenticators.virtual.transports.vpcd import NFC_ATR, VpcdCard, dial_here

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from authenticators.virtual.key import VirtualKey

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
PCSCD = Path("/usr/sbin/pcscd")
PORT = 35963
SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
YUBIKEY_READER = "Yubico YubiKey OTP+FIDO+CCID"
PLAIN_READER = "Virtual PCD"
# libpcsclite keeps the first name a process used, so this process always uses one, which leads to the daemon.
_STABLE = Path(tempfile.gettempdir()) / f"sallyport-pcscd-{os.getpid()}.comm"
_SETUP = """
set -e
mount --make-rprivate /
mount --bind "$1/run" /run/pcscd
mount -t tmpfs none /usr/lib/pcsc/drivers
ip link set lo up
exec "$2" --foreground --config "$1/conf"
"""


def missing_parts() -> list[str]:
    """Return the Debian packages that a private pcscd lacks here."""
    needed = {
        "pcscd": PCSCD,
        "vsmartcard-vpcd": DRIVER,
        "iproute2": Path("/bin/ip"),
        "util-linux": Path("/usr/bin/unshare"),
    }
    return [package for package, path in needed.items() if not path.exists()]


@dataclass(frozen=True, kw_only=True)
class PrivatePcscd:
    """A running daemon with an empty reader."""

    socket_path: Path
    reader_name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which a child process finds this daemon."""
        return {**os.environ, SOCKET_VARIABLE: str(self.socket_path)}

    @contextmanager
    def insert(self, key: VirtualKey, *, atr: bytes = NFC_ATR, slot: int = 0) -> Iterator[VpcdCard]:
        """Put a key into reader 0 or 1 for a while; it is there when the block begins."""
        with VpcdCard(key, port=PORT + slot, atr=atr, dial=self._dial) as card:
            wait_for_card(present=True, slot=slot)
            try:
                yield card
            finally:
                card.unplug()
                wait_for_card(present=False, slot=slot)

    def _dial(self, host: str, port: int) -> socket.socket:
        """Connect from inside the daemon's network: a socket stays in the namespace it was made in."""
        results: list[socket.socket | OSError] = []

        def connect() -> None:
            try:
                _enter_network_of(self.process.pid)
                results.append(dial_here(host, port))
            except OSError as error:
                results.append(error)

        # A thread of its own, so that only it changes its network.
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        if isinstance(results[0], OSError):
            raise results[0]
        return results[0]


@contextmanager
def private_pcscd(folder: Path, *, reader_name: str = PLAIN_READER) -> Iterator[PrivatePcscd]:
    """Run a private pcscd with its files in `folder`.

    Named like a YubiKey reader (`YUBIKEY_READER`), ykcs11 and `ykman` without `--reader` find the card by it;
    then plug the card with `USB_ATR`.
    """
    run, conf = folder / "run", folder / "conf"
    run.mkdir(parents=True)
    conf.mkdir()
    driver = Path(shutil.copy(DRIVER, folder))
    (conf / "vpcd").write_text(
        f'FRIENDLYNAME "{reader_name}"\nDEVICENAME /dev/null:0x{PORT:X}\n'
        f"LIBPATH {driver}\nCHANNELID 0x{PORT:X}\n"
    )
    Path("/run/pcscd").mkdir(exist_ok=True)
    log = folder / "pcscd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-c", _SETUP, "sh", str(folder), str(PCSCD)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    daemon = PrivatePcscd(
        socket_path=run / "pcscd.comm", reader_name=f"{reader_name} 00 00", process=process, log=log
    )
    try:
        with _found_by_this_process(daemon.socket_path):
            _wait_until(lambda: _listening(daemon), f"pcscd did not start: {log}")
            yield daemon
    finally:
        # pyscard's forgotten connections say goodbye to the daemon, which had better be there.
        gc.collect()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


@contextmanager
def _found_by_this_process(path: Path) -> Iterator[None]:
    before = _STABLE.readlink() if _STABLE.is_symlink() else None
    os.environ[SOCKET_VARIABLE] = str(_STABLE)
    _point_to(path)
    try:
        yield
    finally:
        if before is None:
            _STABLE.unlink()
            del os.environ[SOCKET_VARIABLE]
        else:
            _point_to(before)


def _point_to(path: Path) -> None:
    _STABLE.unlink(missing_ok=True)
    _STABLE.symlink_to(path)


def wait_for_card(*, present: bool, slot: int = 0, seconds: float = 10.0) -> None:
    """Wait until pcscd sees a card in that reader, or none; raises `TimeoutError`."""
    _wait_until(lambda: _card_present(slot) == present, f"card {'not ' * present}in the reader", seconds)


def _card_present(slot: int) -> bool:
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    if result != scard.SCARD_S_SUCCESS:
        return False
    try:
        _, readers = scard.SCardListReaders(context, [])
        states = [(name, scard.SCARD_STATE_UNAWARE) for name in readers if name.endswith(f"0{slot}")]
        _, found = scard.SCardGetStatusChange(context, 0, states)
        return any(state & scard.SCARD_STATE_PRESENT for _, state, _ in found)
    finally:
        scard.SCardReleaseContext(context)


def _listening(daemon: PrivatePcscd) -> bool:
    if daemon.process.poll() is not None:
        raise RuntimeError(f"pcscd ended: {daemon.log.read_text()}")
    if not daemon.socket_path.exists():
        return False
    try:
        daemon._dial("127.0.0.1", PORT).close()
    except OSError:
        return False
    return True


def _wait_until(condition, what: str, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def _enter_network_of(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        if libc.setns(namespace.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
