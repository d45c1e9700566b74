"""PINs: right, wrong, blocked, changed; passkeys that need them; and the reset that forgets all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fido2.client import ClientError
from fido2.ctap import CtapError
from fido2.ctap2 import ClientPin, CredentialManagement, Ctap2

from rig.expect import expect, refused, status_of
from rig.people import RP_ID, Person

if TYPE_CHECKING:
    from fido2.ctap import CtapDevice

    from rig.bench import Bench

PIN = "248163"
NEW_PIN = "135790"
WRONG = "000000"


def passkey_log_in(bench: Bench) -> None:
    """A passkey logs in with a PIN and no name typed, and is listed on the key."""
    bench.make_key("joe")
    person = Person(bench=bench, pin=PIN)
    with bench.plugged("joe") as key:
        device = key.fido()
        _pin(device).set_pin(PIN)
        credential = person.enrol(device, verified=True, passkey=True).credential
        proof = person.log_in(device, [credential], verified=True, passkey=True)
        expect(proof.user_verified, "the PIN counts as verification")
        pin = _pin(device)
        token = pin.get_pin_token(PIN, ClientPin.PERMISSION.CREDENTIAL_MGMT)
        found = CredentialManagement(Ctap2(device), pin.protocol, token).enumerate_rps()
        expect(len(found) == 1, "the key lists one site")


def fingerprint_log_in(bench: Bench) -> None:
    """A key with a fingerprint reader verifies its person without a PIN; a foreign finger is refused."""
    bench.make_key("bio", model="fingerprint")
    person = Person(bench=bench)
    with bench.plugged("bio") as key:
        device = key.fido()
        credential = person.enrol(device, verified=True).credential
        expect(person.log_in(device, [credential], verified=True).user_verified, "the finger verifies")
        bench.misbehave("bio", "fingerprint-fails")
        with refused(ClientError, lambda _: True, "a foreign finger is refused"):
            person.log_in(device, [credential], verified=True)


def pin_wrong(bench: Bench) -> None:
    """A wrong PIN is refused, costs a try, and the right one gives the tries back."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        device = key.fido()
        pin = _pin(device)
        pin.set_pin(PIN)
        with refused(CtapError, _is("PIN_INVALID"), "a wrong PIN is refused"):
            _token(device, WRONG)
        expect(pin.get_pin_retries()[0] == 7, "seven tries are left")
        _token(device, PIN)
        expect(pin.get_pin_retries()[0] == 8, "the right PIN gives the tries back")


def pin_blocked(bench: Bench) -> None:
    """Eight wrong PINs, with the key pulled out after each three, block it for good."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        _pin(key.fido()).set_pin(PIN)
        for attempt in range(8):
            device = key.fido()
            with refused(CtapError, _wrong_pin, "a wrong PIN is refused"):
                _token(device, WRONG)
            if attempt % 3 == 2:
                with refused(CtapError, _is("PIN_AUTH_BLOCKED"), "after three even the right PIN must wait"):
                    _token(device, PIN)
                key.replug()
        key.replug()
        with refused(CtapError, _is("PIN_BLOCKED"), "after eight the right PIN is refused too"):
            _token(key.fido(), PIN)


def pin_changed(bench: Bench) -> None:
    """After a change the new PIN works and the old one does not."""
    bench.make_key("joe")
    person = Person(bench=bench, pin=NEW_PIN)
    with bench.plugged("joe") as key:
        device = key.fido()
        pin = _pin(device)
        pin.set_pin(PIN)
        pin.change_pin(PIN, NEW_PIN)
        expect(person.enrol(device, verified=True).credential.user_verified, "the new PIN verifies")
        with refused(CtapError, _is("PIN_INVALID"), "the old PIN is refused"):
            _token(device, PIN)


def reset(bench: Bench) -> None:
    """A reset forgets the PIN and every credential; the site's login with the old one fails."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        device = key.fido()
        _pin(device).set_pin(PIN)
        credential = Person(bench=bench, pin=PIN).enrol(device).credential
        key.replug()
        Ctap2(key.fido()).reset()
        device = key.fido()
        expect(Ctap2(device).info.options.get("clientPin") is False, "there is no PIN any more")
        with refused(ClientError, lambda _: True, "the credential is gone"):
            Person(bench=bench).log_in(device, [credential])


def _pin(device: CtapDevice) -> ClientPin:
    return ClientPin(Ctap2(device))


def _token(device: CtapDevice, pin: str) -> bytes:
    return _pin(device).get_pin_token(pin, ClientPin.PERMISSION.GET_ASSERTION, RP_ID)


def _wrong_pin(error: CtapError) -> bool:
    return status_of(error) in {"PIN_INVALID", "PIN_AUTH_BLOCKED", "PIN_BLOCKED"}


def _is(name: str):
    return lambda error: status_of(error) == name
