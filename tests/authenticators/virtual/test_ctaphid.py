"""python-fido2's CTAPHID client talks to the framing of the virtual key, packet by packet."""

import time
from threading import Event

import pytest
from fido2.ctap import CtapError
from fido2.ctap1 import Ctap1
from fido2.ctap2 import Ctap2
from fido2.hid import CAPABILITY, CTAPHID, CtapHidDevice
from fido2.hid.base import CtapHidConnection, HidDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from authenticators.virtual.faults import FaultPlan, NobodyTouches
from authenticators.virtual.fido.ctaphid import CtapHid
from tests.support.virtual_keys import RP_ID, make_key

USER = {"id": b"joe", "name": "joe"}
PARAMETERS = [{"alg": -7, "type": "public-key"}]


class Wire(CtapHidConnection):
    """Packets straight into the framing; waits as a USB host would."""

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
        pass


def device(key):
    return CtapHidDevice(HidDescriptor("virtual", 0x1050, 0x0407, 64, 64, "Virtual", None), Wire(key))


def test_init_tells_version_and_capabilities():
    opened = device(make_key())
    assert opened.device_version == (5, 7, 1)
    assert opened.capabilities == CAPABILITY.WINK | CAPABILITY.CBOR
    assert opened.call(CTAPHID.PING, b"x" * 1000) == b"x" * 1000


def test_long_messages_go_both_ways():
    made = Ctap2(device(make_key())).make_credential(bytes(32), {"id": RP_ID, "name": "b"}, USER, PARAMETERS)
    assert len(made.att_stmt["x5c"][0]) > 300


def test_u2f_messages_are_carried():
    assert Ctap1(device(make_key("u2f"))).get_version() == "U2F_V2"


def test_a_u2f_key_refuses_cbor():
    with pytest.raises(CtapError, match="INVALID_COMMAND"):
        device(make_key("u2f")).call(CTAPHID.CBOR, b"\4")


def test_a_waiting_key_keeps_the_platform_informed_and_can_be_cancelled():
    key = make_key(clock=time.monotonic, touch_timeout=5.0, faults=FaultPlan.always(NobodyTouches()))
    seen = []
    cancel = Event()

    def on_keepalive(status):
        seen.append(status.name)
        cancel.set()

    with pytest.raises(CtapError, match="KEEPALIVE_CANCEL"):
        Ctap2(device(key)).selection(event=cancel, on_keepalive=on_keepalive)
    assert seen == ["UPNEEDED"]


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=64), max_size=8))
def test_no_packets_break_the_framing(packets):
    hid = CtapHid(make_key())
    for packet in packets:
        hid.receive(packet)
        hid.poll()
    assert all(len(packet) == 64 for packet in hid.outgoing)
