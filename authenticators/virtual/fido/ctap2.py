"""The CTAP2 application: bytes of a request in, bytes of a response out (CTAP 2.1, sections 6 and 8)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from fido2 import cbor

from authenticators.virtual.fido.client_pin import client_pin
from authenticators.virtual.fido.credential_management import credential_management
from authenticators.virtual.fido.get_assertion import get_assertion, get_next_assertion
from authenticators.virtual.fido.info import get_info
from authenticators.virtual.fido.make_credential import make_credential
from authenticators.virtual.fido.request import Members
from authenticators.virtual.fido.session import Session
from authenticators.virtual.fido.status import Refusal, Status
from authenticators.virtual.fido.verification import require_touch
from authenticators.virtual.key import VirtualKey
from authenticators.virtual.state import FidoState

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps


class Command(IntEnum):
    """The first byte of a request."""

    MAKE_CREDENTIAL = 0x01
    GET_ASSERTION = 0x02
    GET_INFO = 0x04
    CLIENT_PIN = 0x06
    RESET = 0x07
    GET_NEXT_ASSERTION = 0x08
    CREDENTIAL_MANAGEMENT = 0x0A
    SELECTION = 0x0B
    CREDENTIAL_MANAGEMENT_PREVIEW = 0x41


_STATEFUL: Final = {
    Command.GET_NEXT_ASSERTION,
    Command.CREDENTIAL_MANAGEMENT,
    Command.CREDENTIAL_MANAGEMENT_PREVIEW,
}


@dataclass(slots=True)
class Ctap2:
    """One key's CTAP2 application."""

    key: VirtualKey
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = Session.of(self.key)

    def process(self, request: bytes) -> Steps[bytes]:
        """Answer one request: a status byte, and canonical CBOR where there is something to say."""
        if self.session.power_cycle != self.key.power_cycles:
            self.session = Session.of(self.key)
        try:
            answer = yield from self._dispatch(_command(self.key, request), Members.parse(request[1:]))
        except Refusal as refusal:
            return bytes([refusal.status])
        return bytes([Status.OK]) + (b"" if answer is None else cbor.encode(answer))

    def _dispatch(self, command: Command, request: Members) -> Steps[dict[int, Any] | None]:
        if command not in _STATEFUL:
            self._forget_enumerations()
        self.key.anticipate_operation()
        match command:
            case Command.MAKE_CREDENTIAL:
                return (yield from make_credential(self.session, request))
            case Command.GET_ASSERTION:
                return (yield from get_assertion(self.session, request))
            case Command.CLIENT_PIN:
                return (yield from client_pin(self.session, request))
            case Command.RESET:
                yield from self._reset()
            case Command.SELECTION:
                yield from require_touch(self.key)
            case _:
                return self._query(command, request)
        return None

    def _query(self, command: Command, request: Members) -> dict[int, Any] | None:
        if command is Command.GET_INFO:
            return get_info(self.key)
        if command is Command.GET_NEXT_ASSERTION:
            return get_next_assertion(self.session)
        return credential_management(self.session, request)

    def _forget_enumerations(self) -> None:
        self.session.next_assertions = iter(())
        self.session.next_rps = iter(())
        self.session.next_credentials = iter(())

    def _reset(self) -> Steps[None]:
        """Forget everything (section 6.6); the signature counter goes on, so no old value comes back."""
        window = self.key.profile.reset_window
        if window is not None and self.key.seconds_plugged > window:
            raise Refusal(Status.NOT_ALLOWED)
        yield from self.key.begin_operation()
        yield from require_touch(self.key)
        empty = FidoState(master_key=self.key.entropy(32))
        counter = self.key.state.fido.signature_counter
        self.key.update(fido=replace(empty, signature_counter=counter))
        self.session = Session.of(self.key)


def _command(key: VirtualKey, request: bytes) -> Command:
    if not request or request[0] not in set(Command):
        raise Refusal(Status.INVALID_COMMAND)
    command = Command(request[0])
    if command not in _supported(key):
        raise Refusal(Status.INVALID_COMMAND)
    return command


def _supported(key: VirtualKey) -> set[Command]:
    profile = key.profile
    supported = {Command.MAKE_CREDENTIAL, Command.GET_ASSERTION, Command.GET_INFO, Command.RESET}
    supported |= {Command.GET_NEXT_ASSERTION} if profile.resident_slots else set()
    supported |= {Command.CLIENT_PIN} if profile.client_pin or profile.built_in_uv else set()
    if profile.ctap21:
        supported |= {Command.SELECTION}
    if profile.ctap21 and profile.resident_slots:
        supported |= {Command.CREDENTIAL_MANAGEMENT}
    if "FIDO_2_1_PRE" in profile.ctap_versions and profile.resident_slots:
        supported |= {Command.CREDENTIAL_MANAGEMENT_PREVIEW}
    return supported
