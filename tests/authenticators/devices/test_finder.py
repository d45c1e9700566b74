import time
from threading import Event, Timer

import pytest
from fido2.hid.base import CtapHidConnection, HidDescriptor
from smartcard.pcsc.PCSCExceptions import EstablishContextException

from authenticators.devices import finder, smart_card
from authenticators.devices.finder import FidoKey, choose_key, close_keys, find_fido_keys
from authenticators.errors import DeviceErrorCode
from authenticators.virtual.faults import FaultPlan, NobodyTouches
from authenticators.virtual.fido.ctaphid import CtapHid
from authenticators.virtual.transports.in_process import InProcessDevice
from tests.support.prompts import ScriptedPrompter
from tests.support.refusals import refused
from tests.support.virtual_keys import make_key

Code = DeviceErrorCode


def plug(name, *faults, serial=None, model="modern"):
    key = make_key(model, faults=FaultPlan.always(*faults), touch_timeout=30)
    return FidoKey(device=InProcessDevice(key), name=name, serial=serial)


class Gone(InProcessDevice):
    """A key that was pulled out after it was found."""

    def call(self, *_, **__):
        raise OSError

    def close(self):
        raise OSError


def gone():
    return FidoKey(device=Gone(make_key()), name="gone")


def test_the_only_key_is_chosen_without_a_question():
    key, prompter = plug("one"), ScriptedPrompter()
    assert choose_key([key], prompter, cancel=Event()) is key
    assert prompter.said == []


def test_a_key_is_chosen_by_its_serial():
    keys = [plug("a", serial="1"), plug("b", serial="2")]
    assert choose_key(keys, ScriptedPrompter(), serial="2", cancel=Event()) is keys[1]
    with refused(Code.NO_SUCH_SERIAL):
        choose_key(keys, ScriptedPrompter(), serial="3", cancel=Event())


def test_no_key_is_no_device():
    with refused(Code.NO_DEVICE):
        choose_key([], ScriptedPrompter(), cancel=Event())


@pytest.mark.parametrize("model", ["modern", "old", "u2f"])
def test_of_several_keys_the_one_that_is_touched_is_chosen(model):
    keys = [plug("untouched", NobodyTouches()), plug("touched", model=model), gone()]
    prompter = ScriptedPrompter()
    assert choose_key(keys, prompter, cancel=Event()) is keys[1]
    assert prompter.said == [("choose", "untouched", "touched", "gone")]


def test_a_choice_can_be_cancelled():
    cancel = Event()
    Timer(0.2, cancel.set).start()
    with refused(Code.CANCELLED):
        choose_key(
            [plug("a", NobodyTouches()), plug("b", NobodyTouches())], ScriptedPrompter(), cancel=cancel
        )


def test_a_choice_among_keys_that_are_gone_ends():
    with refused(Code.TIMED_OUT):
        choose_key([gone(), gone()], ScriptedPrompter(), cancel=Event())


def hidraw(folder, name, descriptor):
    device = folder / name / "device"
    device.mkdir(parents=True)
    (device / "report_descriptor").write_bytes(descriptor)


def test_a_fido_key_that_udev_gives_to_nobody_is_told(tmp_path, monkeypatch):
    hidraw(tmp_path, "hidraw987", bytes.fromhex("06d0f10901a101"))
    monkeypatch.setattr(finder, "_HIDRAW", tmp_path)
    monkeypatch.setattr(finder, "_usb_keys", list)
    monkeypatch.setattr(finder, "_card_keys", list)
    with refused(Code.ACCESS_DENIED):
        find_fido_keys()


def test_a_keyboard_that_may_not_be_opened_is_no_key(tmp_path, monkeypatch):
    hidraw(tmp_path, "hidraw987", bytes.fromhex("05010906a101"))
    (tmp_path / "hidraw988").mkdir()
    monkeypatch.setattr(finder, "_HIDRAW", tmp_path)
    monkeypatch.setattr(finder, "_usb_keys", list)
    monkeypatch.setattr(finder, "_card_keys", list)
    assert find_fido_keys() == []


class Wire(CtapHidConnection):
    """Packets straight into the framing of a virtual key."""

    def __init__(self, key):
        self.hid = CtapHid(key)

    def read_packet(self):
        while not self.hid.outgoing:
            time.sleep(self.hid.due or 0)
            self.hid.poll()
        return self.hid.outgoing.pop(0)

    def write_packet(self, data):
        self.hid.receive(bytes(data))

    def close(self):
        """Leave it."""


def test_usb_keys_are_named_and_those_that_cannot_be_opened_passed_over(monkeypatch):
    descriptors = [
        HidDescriptor(f"/dev/hidraw{number}", 0x1050, 0x0407, 64, 64, product, serial)
        for number, product, serial in ((0, "Virtual", "77"), (1, None, None), (2, "Locked", None))
    ]

    def open_connection(descriptor):
        if descriptor.product_name == "Locked":
            raise PermissionError
        return Wire(make_key())

    monkeypatch.setattr(finder, "list_descriptors", lambda: descriptors)
    monkeypatch.setattr(finder, "open_connection", open_connection)
    monkeypatch.setattr(finder, "_card_keys", list)
    keys = find_fido_keys()
    assert [(key.name, key.serial) for key in keys] == [("Virtual", "77"), ("1050:0407", None)]


def test_without_a_pcsc_service_there_are_no_cards(monkeypatch):
    def refuse(*_):
        raise EstablishContextException(0x8010001D - 2**32)

    monkeypatch.setattr(finder.CtapPcscDevice, "list_devices", refuse)
    monkeypatch.setattr(finder, "_usb_keys", list)
    assert find_fido_keys() == []
    monkeypatch.setattr(smart_card, "readers", refuse)
    with smart_card.open_cards() as cards:
        assert cards == []


def test_closing_a_key_that_is_gone_is_no_error():
    close_keys([gone()])
