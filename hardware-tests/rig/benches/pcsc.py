"""Keys as cards in the two virtual readers of a private pcscd."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fido2.pcsc import CtapPcscDevice
from ykman.pcsc import list_devices
from yubikit.core.smartcard import SmartCardConnection, SmartCardProtocol
from yubikit.yubiotp import YubiOtpSession

from authenticators.virtual.key import VirtualKey
from authenticators.virtual.transports.vpcd import VpcdCard
from rig.bench import Bench, Plugged, SessionChallengeResponse
from rig.desk import Desk
from rig.expect import expect
from rig.ssh import log_in_by_agent, tool
from rig.table import PCSC
from tests.support.vpcd import PLAIN_READER, PrivatePcscd, missing_parts, private_pcscd, wait_for_card

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class CardKey(Plugged):
    """A key in a reader."""

    key: VirtualKey
    inserted: VpcdCard
    slot: int
    stack: ExitStack

    @property
    def serial(self):
        return self.key.state.serial

    @property
    def reader(self):
        return f"{PLAIN_READER} 00 0{self.slot}"

    def fido(self):
        (device,) = CtapPcscDevice.list_devices(self.reader)
        self.stack.callback(device.close)
        return device

    def card(self):
        # yubikit connects exclusively, so the one before has to end.
        self.stack.close()
        (device,) = list_devices(self.reader)
        return self.stack.enter_context(device.open_connection(SmartCardConnection))

    def challenge_response(self):
        return SessionChallengeResponse(YubiOtpSession(self.card()))

    def replug(self):
        self.inserted.unplug()
        wait_for_card(present=False, slot=self.slot)
        # Only now: pcscd 1.9 stops looking for cards when a client powers down one it has not missed yet.
        self.stack.close()
        self.inserted.plug()
        wait_for_card(present=True, slot=self.slot)

    def type_otp(self):
        return read_tag(self.card())


def read_tag(card: SmartCardConnection) -> str:
    """Read the one-time password from the key's NDEF tag, as a phone does."""
    protocol = SmartCardProtocol(card)
    protocol.select(bytes.fromhex("d2760000850101"))
    protocol.send_apdu(0, 0xA4, 0, 0x0C, bytes.fromhex("e104"))
    length = int.from_bytes(protocol.send_apdu(0, 0xB0, 0, 0, le=2), "big")
    record = protocol.send_apdu(0, 0xB0, 0, 2, le=length)
    return record.decode(errors="replace").rpartition("#")[2]


@dataclass
class PcscBench(Bench):
    """The tier with a real pcscd."""

    folder: Path
    pcscd: PrivatePcscd
    desk: Desk = field(default_factory=Desk)
    transport = PCSC

    @classmethod
    @contextmanager
    def opened(cls, folder) -> Iterator[PcscBench]:
        """Start the private pcscd."""
        with private_pcscd(folder / "pcscd") as daemon:
            yield cls(folder, daemon)

    @staticmethod
    def missing():
        """Return the Debian packages this tier lacks."""
        return missing_parts()

    def make_key(self, label, *, model="modern", faults=()):
        self.desk.make(label, model, faults)

    def clone(self, label, copy):
        self.desk.clone(label, copy)

    def misbehave(self, label, *faults):
        self.desk.misbehave(label, faults)

    @contextmanager
    def plugged(self, label, port=0) -> Iterator[Plugged]:
        key = self.desk.keys[label]
        with self.pcscd.insert(key, slot=port) as card, ExitStack() as stack:
            yield CardKey(key, card, port, stack)

    def ssh_login(self, key, folder):
        return log_in_by_agent(key.fido(), folder)

    def tools(self, key):
        said = ""
        for application in (["info"], ["piv", "info"], ["fido", "info"], ["oath", "info"]):
            command = [tool("ykman"), "--reader", key.reader, *application]
            done = subprocess.run(
                command, env=self.pcscd.environment, capture_output=True, text=True, timeout=60, check=False
            )
            expect(done.returncode == 0, f"{command} succeeds; it said {done.stdout}{done.stderr}")
            said += done.stdout
        return said
