"""python-yubico on a virtual key; one USB function is replaced, all else is real."""

import hashlib
import hmac
import time

import pytest
from usb.core import NoBackendError, USBError

from authenticators.devices import yubikey as module
from authenticators.devices.yubikey import YubiKeySlot, list_yubikeys
from authenticators.errors import DeviceErrorCode, OtpErrorCode
from authenticators.otp.challenge_response import verify_response
from authenticators.secret import Secret
from authenticators.virtual.faults import FaultPlan, NobodyTouches
from authenticators.virtual.transports.python_yubico import plugged
from tests.support.prompts import ScriptedPrompter
from tests.support.refusals import refused
from tests.support.virtual_keys import make_key

SECRET = Secret(b"12345678901234567890")
Code = DeviceErrorCode


def slot(number=2, *, prompter=None, serial=None):
    return YubiKeySlot(prompter=prompter or ScriptedPrompter(), slot=number, serial=serial)


def test_keys_are_listed_with_serial_version_and_slots():
    first, second = make_key(), make_key("classic")
    with plugged(first, second):
        slot(2, serial=second.state.serial).program(SECRET, touch=False)
        listed = list_yubikeys()
    assert [each.serial for each in listed] == [first.state.serial, second.state.serial]
    assert [each.slots for each in listed] == [(), (2,)]
    assert listed[0].version == "5.7.1"


@pytest.mark.parametrize("size", [1, 32, 63])
def test_a_slot_answers_as_the_verifier_expects(size):
    challenge = bytes(range(size))
    with plugged(make_key()):
        slot().program(SECRET, touch=False)
        prompter = ScriptedPrompter()
        answer = slot(prompter=prompter).respond(challenge)
    assert answer.reveal() == hmac.digest(SECRET.reveal(), challenge, hashlib.sha1)
    verify_response(SECRET, challenge, answer)
    assert prompter.said == []


def test_a_slot_that_needs_a_touch_says_so_and_waits():
    prompter = ScriptedPrompter()
    with plugged(make_key(clock=time.monotonic, touch_seconds=0.2)):
        slot(1).program(SECRET, touch=True)
        assert slot(1, prompter=prompter).respond(b"x")
    assert prompter.said == [("touch", "YubiKey 5.7.1, slot 1")]


def test_a_touch_that_never_comes_times_out():
    key = make_key(clock=time.monotonic, faults=FaultPlan.always(NobodyTouches()), touch_timeout=1)
    with plugged(key):
        slot().program(SECRET, touch=True)
        with refused(Code.TIMED_OUT):
            slot().respond(b"x")


def test_an_empty_slot_is_told_before_anything_is_sent():
    with plugged(make_key()), refused(Code.SLOT_EMPTY):
        slot().respond(b"x")


def test_no_key_and_another_serial_are_told_apart():
    with plugged(), refused(Code.NO_DEVICE):
        slot().respond(b"x")
    with plugged(make_key()), refused(Code.NO_SUCH_SERIAL):
        slot(serial=1).respond(b"x")
    with plugged():
        assert list_yubikeys() == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (USBError("denied", errno=13), Code.ACCESS_DENIED),
        (USBError("gone", errno=19), Code.REMOVED),
        (NoBackendError(), Code.BROKEN),
        (module.yubico.yubikey_base.YubiKeyError("strange"), Code.BROKEN),
        (module.YubiKeyVersionError("old"), Code.NOT_SUPPORTED),
    ],
)
def test_what_goes_wrong_on_the_bus_is_told_by_a_code(monkeypatch, error, code):
    def fail(**_):
        raise error

    monkeypatch.setattr(module.yubico, "find_yubikey", fail)
    with refused(code):
        list_yubikeys()


def test_a_key_that_hides_its_serial_is_listed_without_it(monkeypatch):
    def hidden(_, *, may_block):
        raise module.YubiKeyTimeout

    with plugged(make_key()):
        monkeypatch.setattr(module.yubico.yubikey_4_usb_hid.YubiKey4_USBHID, "serial", hidden)
        assert [each.serial for each in list_yubikeys()] == [None]


def test_a_challenge_or_secret_of_another_size_never_reaches_the_key():
    with refused(OtpErrorCode.CHALLENGE_TOO_LONG):
        slot().respond(bytes(64))
    with refused(Code.NOT_SUPPORTED):
        slot().program(Secret(bytes(16)), touch=False)
