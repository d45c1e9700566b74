"""Keys inside this process: no daemon, no root, milliseconds."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from authenticators.virtual.interaction import at_once
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.otp.commands import OtpApplication
from authenticators.virtual.otp.typing import press, text
from authenticators.virtual.transports import python_yubico
from authenticators.virtual.transports.in_process import InProcessDevice
from rig.bench import Bench, ChallengeResponse, Plugged, YubicoChallengeResponse
from rig.desk import Desk
from rig.ssh import list_by_ssh_add, log_in_by_agent
from rig.table import IN_PROCESS
from tests.support.yubikit_connections import CardConnection

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class InProcessKey(Plugged):
    """A key that is an object."""

    key: VirtualKey
    stack: ExitStack
    device: InProcessDevice = field(init=False)
    otp: OtpApplication = field(init=False)

    def __post_init__(self):
        self.device = InProcessDevice(self.key)
        self.otp = OtpApplication(self.key)

    @property
    def serial(self):
        return self.key.state.serial

    def fido(self):
        return self.device

    def card(self):
        return CardConnection(self.key)

    def challenge_response(self) -> ChallengeResponse:
        self.stack.enter_context(python_yubico.plugged(self.key))
        import yubico  # noqa: PLC0415 - its warnings are silenced by the line above

        return YubicoChallengeResponse(yubico.find_yubikey())

    def replug(self):
        self.device.replug()

    def type_otp(self):
        return text(at_once(press(self.otp, 1)))


@dataclass
class InProcessBench(Bench):
    """The fastest tier."""

    folder: Path
    desk: Desk = field(default_factory=Desk)
    transport = IN_PROCESS

    def make_key(self, label, *, model="modern", faults=()):
        self.desk.make(label, model, faults)

    def clone(self, label, copy):
        self.desk.clone(label, copy)

    def misbehave(self, label, *faults):
        self.desk.misbehave(label, faults)

    @contextmanager
    def plugged(self, label, port=0) -> Iterator[Plugged]:
        key = self.desk.keys[label]
        key.power_cycle()
        with ExitStack() as stack:
            yield InProcessKey(key, stack)

    def ssh_login(self, key, folder):
        return log_in_by_agent(key.fido(), folder)

    def tools(self, key):
        return list_by_ssh_add(key.key, self.folder)
