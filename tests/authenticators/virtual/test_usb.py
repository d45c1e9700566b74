"""A small USB host in memory talks usbredir to the composite device."""

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yubikit.yubiotp import SLOT, YubiOtpSession, YubiOtpSlotConfiguration

from authenticators.virtual.errors import TransportError, UnpluggedError
from authenticators.virtual.faults import FaultPlan, NobodyTouches, Unplug
from authenticators.virtual.otp.slots import TicketFlag
from authenticators.virtual.otp.typing import ENTER
from authenticators.virtual.usb import descriptors
from authenticators.virtual.usb.composite import CompositeDevice
from authenticators.virtual.usb.redirection import OURS, Kind, Redirection
from tests.support.virtual_keys import make_key
from tests.support.yubikit_connections import ReportConnection

SELECT_PIV = bytes.fromhex("00a4040005a000000308")
INIT = struct.pack(">IBH", 0xFFFFFFFF, 0x86, 8) + b"noncence"


class Host:
    """The guest's side of one port."""

    def __init__(self, key, capabilities=OURS):
        self.port = Redirection()
        self.wide = bool(capabilities >> 5 & 1)
        self.bulk_wide = bool(capabilities >> 6 & 1)
        self.ids = 0
        hello = b"host".ljust(64, b"\0") + struct.pack("<I", capabilities)
        self.unread = b""
        self.port.plug(CompositeDevice(key))
        self.port.receive(struct.pack("<III", Kind.HELLO, len(hello), 0) + hello)
        self.announced = self.packets(first=True)

    def packets(self, *, first=False):
        data, found = bytes(self.port.outgoing), []
        self.port.outgoing.clear()
        while data:
            form = "<III" if first or not self.wide else "<IIQ"
            first = False
            kind, length, _ = struct.unpack_from(form, data)
            size = struct.calcsize(form)
            found.append((kind, data[size : size + length]))
            data = data[size + length :]
        return found

    def send(self, kind, body):
        self.ids += 1
        form = "<IIQ" if self.wide else "<III"
        self.port.receive(struct.pack(form, kind, len(body), self.ids) + body)
        return self.packets()

    def control(self, request_type, request, value, index, *, length=255):
        head = struct.pack("<BBBBHHH", request_type & 0x80, request, request_type, 0, value, index, length)
        ((_, body),) = self.send(Kind.CONTROL_PACKET, head)
        return body[3], body[10:]

    def bulk(self, endpoint, data=b"", length=0):
        head = struct.pack("<BBHI", endpoint, 0, length or len(data), 0) + bytes(2 * self.bulk_wide)
        return self.send(Kind.BULK_PACKET, head + data)

    def exchange_ccid(self, kind, data=b"", sequence=0):
        self.bulk(descriptors.CCID_OUT, struct.pack("<BIBBBBB", kind, len(data), 0, sequence, 0, 0, 0) + data)
        ((_, body),) = self.bulk(descriptors.CCID_IN, length=4096)
        return body[8 + 2 * self.bulk_wide :]


@pytest.mark.parametrize("capabilities", [OURS, 0], ids=["all capabilities", "none"])
def test_the_device_announces_itself_and_describes_itself(capabilities):
    host = Host(make_key(), capabilities)
    kinds = [kind for kind, _ in host.announced]
    assert kinds == [Kind.HELLO, Kind.INTERFACE_INFO, Kind.EP_INFO, Kind.DEVICE_CONNECT]
    status, device = host.control(0x80, 6, 0x0100, 0, length=18)
    assert (status, len(device)) == (0, 18)
    assert struct.unpack_from("<HH", device, 8) == (0x1050, 0x0407)
    _, configuration = host.control(0x80, 6, 0x0200, 0, length=4096)
    assert struct.unpack_from("<H", configuration, 2)[0] == len(configuration)
    assert configuration[4] == 3
    assert host.control(0x80, 6, 0x0300, 0)[1] == bytes([4, 3, 9, 4])
    assert host.control(0x80, 6, 0x03FF, 0)[0] == 4


@pytest.mark.parametrize(("model", "product", "count"), [("modern", 0x0407, 3), ("fingerprint", 0x0402, 1)])
def test_the_product_id_tells_the_interfaces(model, product, count):
    host = Host(make_key(model))
    _, device = host.control(0x80, 6, 0x0100, 0, length=18)
    _, configuration = host.control(0x80, 6, 0x0200, 0, length=4096)
    assert (struct.unpack_from("<H", device, 10)[0], configuration[4]) == (product, count)


def test_fido_packets_go_in_and_come_out():
    host = Host(make_key())
    host.send(Kind.START_INTERRUPT_RECEIVING, bytes([descriptors.FIDO_IN]))
    packets = host.send(
        Kind.INTERRUPT_PACKET, struct.pack("<BBH", descriptors.FIDO_OUT, 0, 64) + INIT.ljust(64, b"\0")
    )
    answers = [body[4:] for kind, body in packets if kind == Kind.INTERRUPT_PACKET and len(body) > 4]
    assert answers[0][7:15] == b"noncence"


def test_the_card_answers_through_ccid():
    host = Host(make_key())
    assert host.exchange_ccid(0x62)[10:12] == b"\x3b\xfd"
    selected = host.exchange_ccid(0x6F, SELECT_PIV, 7)
    assert (selected[0], selected[6], selected[-2:]) == (0x80, 7, b"\x90\x00")
    assert host.exchange_ccid(0x65)[0] == 0x81
    assert host.exchange_ccid(0x6C)[0] == 0x82
    assert host.exchange_ccid(0x99)[7] & 0x40


def test_a_bulk_read_waits_for_data_and_can_be_cancelled():
    host = Host(make_key())
    assert host.bulk(descriptors.CCID_IN, length=64) == []
    id_ = host.ids
    host.port.receive(struct.pack("<IIQ", Kind.CANCEL_DATA_PACKET, 0, id_))
    ((kind, body),) = host.packets()
    assert (kind, body[1]) == (Kind.BULK_PACKET, 1)


def test_a_waiting_card_asks_for_more_time():
    key = make_key(clock=time.monotonic, touch_timeout=0.8, faults=FaultPlan.always(NobodyTouches()))
    host = Host(key)
    host.exchange_ccid(0x62)
    host.exchange_ccid(0x6F, bytes.fromhex("00a4040008a0000006472f0001"))
    register = bytes.fromhex("00010000000040") + bytes(64)
    host.bulk(descriptors.CCID_OUT, struct.pack("<BIBBBBB", 0x6F, len(register), 0, 9, 0, 0, 0) + register)
    statuses = []
    while not statuses or statuses[-1] & 0x80:
        packets = host.bulk(descriptors.CCID_IN, length=4096)
        while not packets:
            time.sleep(0.05)
            host.port.flush()
            packets = host.packets()
        statuses.append(packets[0][1][10 + 7])
    assert statuses == [0x80, 0x00]


def test_feature_reports_reach_the_otp_slots_and_a_touch_types():
    key = make_key()
    host = Host(key)
    status, report = host.control(0xA1, 1, 0x0300, 0, length=8)
    assert (status, report[1:4]) == (0, bytes((5, 7, 1)))
    slot = YubiOtpSlotConfiguration(b"public", b"privat", bytes(16)).append_cr(True)
    YubiOtpSession(ReportConnection(key)).put_configuration(SLOT.ONE, slot)
    assert key.state.otp.slot1.ticket_flags & TicketFlag.APPEND_CR
    host.send(Kind.START_INTERRUPT_RECEIVING, bytes([descriptors.KEYBOARD_IN]))
    host.port.device.press(1)
    host.port.flush()
    reports = [body[4:] for _, body in host.packets()]
    assert len(reports) == 2 * (12 + 32 + 1)
    assert reports[-2][2] == ENTER
    assert not any(reports[-1])


def test_a_pulled_key_is_reported_to_the_guest():
    host = Host(make_key(faults=FaultPlan.always(Unplug())))
    host.exchange_ccid(0x62)
    host.exchange_ccid(0x6F, bytes.fromhex("00a4040008a0000006472f0001"))
    register = bytes.fromhex("00010000000040") + bytes(64)
    with pytest.raises(UnpluggedError):
        host.exchange_ccid(0x6F, register)
    host.port.unplug()
    assert Kind.DEVICE_DISCONNECT in [kind for kind, _ in host.packets()]


def test_a_peer_that_makes_no_sense_is_refused():
    host = Host(make_key())
    with pytest.raises(TransportError):
        host.port.receive(struct.pack("<IIQ", Kind.CONTROL_PACKET, 3, 1) + b"abc")
    with pytest.raises(TransportError):
        Redirection().receive(struct.pack("<III", Kind.HELLO, 1 << 30, 0))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=90)), max_size=6))
def test_no_packets_break_the_port(packets):
    host = Host(make_key())
    for kind, body in packets:
        try:
            host.send(kind, body)
        except TransportError:
            return
