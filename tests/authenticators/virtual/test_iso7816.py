from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yubikit.yubiotp import SLOT, YubiOtpSession, YubiOtpSlotConfiguration

from authenticators.otp.yubico_otp import YubicoOtpToken
from authenticators.secret import Secret
from authenticators.virtual.card.card import FIDO_AID, OATH_AID, OTP_AID, PIV_AID, Card
from authenticators.virtual.card.iso7816 import Apdu, StatusError, parse_tlvs, tlv
from authenticators.virtual.interaction import at_once
from tests.support.virtual_keys import make_key
from tests.support.yubikit_connections import CardConnection


@pytest.mark.parametrize(
    ("encoded", "data", "expected"),
    [
        ("00a40400", "", 256),
        ("00a4040010", "", 16),
        ("00a4040003010203", "010203", 256),
        ("00a404000301020300", "010203", 256),
        ("00a4040000000301020300", None, None),
        ("00a40400000003010203", "010203", 65536),
        ("00a404000000030102030100", "010203", 256),
        ("00a40400000100", "", 256),
    ],
)
def test_command_apdus_of_every_form_are_read(encoded, data, expected):
    if data is None:
        with pytest.raises(StatusError):
            Apdu.parse(bytes.fromhex(encoded)[:-3])
        return
    apdu = Apdu.parse(bytes.fromhex(encoded))
    assert (apdu.data.hex(), apdu.expected) == (data, expected)


@given(
    st.lists(
        st.tuples(st.sampled_from([0x53, 0x7C, 0x80, 0x5C, 0x7F49]), st.binary(max_size=300)), max_size=5
    )
)
def test_tlvs_are_read_back(entries):
    assert parse_tlvs(b"".join(tlv(tag, value) for tag, value in entries)) == entries


@given(st.binary(max_size=40))
def test_any_bytes_are_tlvs_or_refused(data):
    with suppress(StatusError):
        entries = parse_tlvs(data)
        assert sum(len(value) for _, value in entries) <= len(data)


def test_a_long_answer_comes_in_pieces():
    card = Card(make_key())
    at_once(card.transmit(bytes.fromhex("00a4040005a000000308")))
    first = at_once(card.transmit(bytes.fromhex("00cb3fff055c035fff0100")))
    assert first[-2:-1] == b"\x61"
    rest = at_once(card.transmit(bytes.fromhex("00c0000000")))
    whole = first[:-2] + rest[:-2]
    assert len(whole) > 256
    assert parse_tlvs(whole)[0][0] == 0x53


def test_an_unknown_application_is_not_found_and_nothing_works_without_one():
    card = Card(make_key())
    assert at_once(card.transmit(bytes.fromhex("00fd0000"))).hex() == "6d00"
    assert at_once(card.transmit(bytes.fromhex("00a4040003010203"))).hex() == "6a82"


def test_a_key_without_a_card_interface_has_no_piv():
    card = Card(make_key("fingerprint"))
    assert at_once(card.transmit(bytes.fromhex("00a4040005a000000308"))).hex() == "6a82"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([FIDO_AID, PIV_AID, OATH_AID, OTP_AID]),
    st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=60)), max_size=6),
)
def test_no_commands_break_an_application(aid, commands):
    card = Card(make_key(entropy=bytes))
    at_once(card.transmit(bytes([0, 0xA4, 4, 0, len(aid)]) + aid))
    for header, data in commands:
        response = at_once(card.transmit(header + bytes([len(data)]) + data))
        assert len(response) >= 2


def test_a_phone_reads_a_url_with_a_one_time_password_from_the_tag():
    key = make_key()
    session = YubiOtpSession(CardConnection(key))
    session.put_configuration(SLOT.ONE, YubiOtpSlotConfiguration(b"public", b"privat", bytes(16)))
    card = Card(key)
    codes = []
    for _ in range(2):
        at_once(card.transmit(bytes.fromhex("00a4040007d2760000850101")))
        assert at_once(card.transmit(bytes.fromhex("00a4000c02e103"))).hex() == "9000"
        assert at_once(card.transmit(bytes.fromhex("00b000000f")))[:2] == b"\x00\x0f"
        assert at_once(card.transmit(bytes.fromhex("00a4000c02e104"))).hex() == "9000"
        length = int.from_bytes(at_once(card.transmit(bytes.fromhex("00b0000002")))[:2], "big")
        record = at_once(card.transmit(bytes.fromhex("00b00002") + bytes([length])))[:-2]
        prefix, _, code = record[4:].decode().rpartition("#")
        assert prefix == "\x04my.yubico.com/yk/"
        codes.append(code)
    token = YubicoOtpToken(public_id=b"public", private_id=Secret(b"privat"), aes_key=Secret(bytes(16)))
    assert token.verify(codes[1], last=token.verify(codes[0], last=None))
