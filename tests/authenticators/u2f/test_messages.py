import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import U2fErrorCode
from authenticators.u2f.messages import (
    parse_registration,
    parse_signature,
    read_response,
    verify_registration,
    verify_signature,
)
from tests.support.refusals import outcome, refused

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/u2f/raw_messages.json").read_text())
REGISTRATION, AUTHENTICATION = VECTORS["registration"], VECTORS["authentication"]
GOOD = bytes.fromhex(REGISTRATION["message"])
SIGNED = bytes.fromhex(AUTHENTICATION["message"])


def test_the_registration_of_the_specification_is_read_and_verified():
    message = parse_registration(GOOD)
    assert message.public_key.hex() == REGISTRATION["expect"]["public_key"]
    assert message.key_handle.hex() == REGISTRATION["expect"]["key_handle"]
    client_data = REGISTRATION["client_data"].encode()
    verify_registration(message, app_id=REGISTRATION["app_id"], client_data=client_data)
    with refused(U2fErrorCode.BAD_SIGNATURE):
        verify_registration(message, app_id="https://evil.example", client_data=client_data)


def test_the_authentication_of_the_specification_is_read_and_verified():
    message = parse_signature(SIGNED)
    assert (message.user_present, message.counter) == (True, 1)
    known = {
        "public_key": bytes.fromhex(AUTHENTICATION["public_key"]),
        "app_id": AUTHENTICATION["app_id"],
        "client_data": AUTHENTICATION["client_data"].encode(),
    }
    verify_signature(message, **known)
    with refused(U2fErrorCode.BAD_SIGNATURE):
        verify_signature(message, **known | {"client_data": b"{}"})


HANDLE_LENGTH = 66
BAD = {
    "nothing": (b"", U2fErrorCode.MALFORMED),
    "another first byte": (b"\x04" + GOOD[1:], U2fErrorCode.MALFORMED),
    "no handle": (GOOD[:HANDLE_LENGTH] + b"\0" + GOOD[HANDLE_LENGTH + 65 :], U2fErrorCode.MALFORMED),
    "no certificate": (GOOD[: HANDLE_LENGTH + 65], U2fErrorCode.MALFORMED),
    "cut certificate": (GOOD[: HANDLE_LENGTH + 100], U2fErrorCode.MALFORMED),
    "no signature": (GOOD[:-71], U2fErrorCode.MALFORMED),
    "point off the curve": (GOOD[:40] + bytes(10) + GOOD[50:], U2fErrorCode.BAD_PUBLIC_KEY),
    "broken certificate": (
        GOOD.replace(bytes.fromhex("3081e4"), bytes.fromhex("3181e4")),
        U2fErrorCode.BAD_CERTIFICATE,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_registration_of_another_form_is_refused(name):
    data, code = BAD[name]
    with refused(code):
        parse_registration(data)


@pytest.mark.parametrize("data", [b"", SIGNED[:5]])
def test_an_authentication_that_is_too_short_is_refused(data):
    with refused(U2fErrorCode.MALFORMED):
        parse_signature(data)


def test_an_error_of_the_client_is_told_as_one():
    with refused(U2fErrorCode.DEVICE_ERROR):
        read_response({"errorCode": 4}, "registrationData")
    with refused(U2fErrorCode.MALFORMED):
        read_response("[1]", "registrationData")
    with refused(U2fErrorCode.MALFORMED):
        read_response({"registrationData": "AA"}, "registrationData", "clientData")
    with refused(U2fErrorCode.MALFORMED):
        read_response('{"clientData": "AA", "clientData": "AB"}', "clientData")


@given(st.binary(max_size=200))
def test_any_registration_is_refused_with_a_code(data):
    assert isinstance(outcome(parse_registration, data), U2fErrorCode)
    assert isinstance(outcome(parse_registration, b"\x05" + data), U2fErrorCode)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_registration_with_any_signed_byte_changed_is_refused(position, change):
    data = bytearray(GOOD)
    data[position] ^= change
    message = outcome(parse_registration, bytes(data))
    if isinstance(message, U2fErrorCode):
        return
    client_data = REGISTRATION["client_data"].encode()
    result = outcome(verify_registration, message, app_id=REGISTRATION["app_id"], client_data=client_data)
    in_certificate = (
        message.key_handle == parse_registration(GOOD).key_handle
        and message.signature == parse_registration(GOOD).signature
    )
    assert result is U2fErrorCode.BAD_SIGNATURE or in_certificate
