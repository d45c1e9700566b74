"""Requests that make no sense get the status the specification names."""

import pytest
from fido2 import cbor
from hypothesis import given, settings
from hypothesis import strategies as st

from authenticators.virtual.fido.ctap2 import Ctap2
from authenticators.virtual.interaction import at_once
from tests.support.virtual_keys import make_key

RP = {"id": "a.example", "name": "a"}
USER = {"id": b"u", "name": "u"}
ES256 = [{"alg": -7, "type": "public-key"}]


def status(model, command, parameters=None):
    body = b"" if parameters is None else cbor.encode(parameters)
    return at_once(Ctap2(make_key(model)).process(bytes([command]) + body))[0]


def make_credential(**changes):
    request = {1: bytes(32), 2: RP, 3: USER, 4: ES256}
    return request | {int(name[1:]): value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("model", "command", "parameters", "expected"),
    [
        ("modern", 0x55, None, 0x01),
        ("old", 0x0A, {}, 0x01),
        ("presence-only", 0x06, {2: 1}, 0x01),
        ("modern", 0x01, {}, 0x14),
        ("modern", 0x01, make_credential(_1="text"), 0x11),
        ("modern", 0x01, make_credential(_4=[{"alg": -257, "type": "public-key"}]), 0x26),
        ("old", 0x01, make_credential(_4=[{"alg": -8, "type": "public-key"}]), 0x26),
        ("modern", 0x01, make_credential(_7={"up": False}), 0x2C),
        ("modern", 0x01, make_credential(_7={"uv": True}), 0x2C),
        ("presence-only", 0x01, make_credential(_7={"rk": True}), 0x2B),
        ("modern", 0x01, make_credential(_7={"rk": 1}), 0x11),
        ("modern", 0x01, make_credential(_8=bytes(16)), 0x14),
        ("modern", 0x01, make_credential(_8=bytes(16), _9=7), 0x02),
        ("modern", 0x01, make_credential(_8=bytes(16), _9=1), 0x33),
        ("modern", 0x01, make_credential(_8=b""), 0x35),
        ("fingerprint", 0x01, make_credential(_7={"rk": True}), 0x36),
        ("modern", 0x02, {1: "a.example", 2: bytes(32)}, 0x2E),
        ("modern", 0x02, {1: "a.example", 2: bytes(32), 5: {"rk": True}}, 0x2B),
        ("modern", 0x08, None, 0x30),
        ("modern", 0x06, {2: 8}, 0x3E),
        ("modern", 0x06, {1: 2, 2: 5}, 0x35),
        ("modern", 0x06, {1: 3, 2: 2}, 0x02),
        ("modern", 0x06, {1: 2, 2: 6}, 0x3E),
        ("modern", 0x06, {1: 2, 2: 9, 9: 0}, 0x02),
        ("modern", 0x06, {1: 2, 2: 9, 9: 2}, 0x14),
        ("modern", 0x06, {1: 2, 2: 9, 9: 0x10}, 0x40),
        ("old", 0x06, {1: 1, 2: 9, 9: 4}, 0x3E),
        ("modern", 0x0A, {1: 99}, 0x3E),
        ("modern", 0x0A, {1: 1, 3: 2, 4: bytes(32)}, 0x33),
        ("modern", 0x0A, {1: 3}, 0x30),
    ],
)
def test_the_status_is_the_specifications(model, command, parameters, expected):
    assert status(model, command, parameters) == expected


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_any_request_is_answered_with_a_status(request_):
    assert at_once(Ctap2(make_key(entropy=bytes.fromhex("07").__mul__)).process(request_))


def test_a_message_that_is_no_cbor_is_refused():
    assert at_once(Ctap2(make_key()).process(b"\x01\xff"))[0] == 0x12
    assert at_once(Ctap2(make_key()).process(b"\x01\x80"))[0] == 0x11
