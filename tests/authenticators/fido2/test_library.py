"""python-fido2's own judgement, asked without our rules before it."""

from dataclasses import replace

import pytest

from authenticators.errors import WebAuthnErrorCode
from authenticators.fido2.relying_party import RelyingParty
from authenticators.fido2.response import parse_authentication_response, parse_registration_response
from tests.support.refusals import refused
from tests.support.webauthn import JOE, NOW, RP, ForgedKey, enrolled

KEY = ForgedKey()
STORED = enrolled(KEY)


@pytest.mark.parametrize(
    "wrong", [{"origin": "https://evil.example"}, {"rp_id": "evil.example"}, {"flags": 0x40}]
)
def test_it_refuses_registrations_by_itself(wrong):
    _, state = RP.begin_registration(user=JOE, now=NOW)
    parsed = parse_registration_response(KEY.register(state.challenge, **wrong))
    with refused(WebAuthnErrorCode.MALFORMED_RESPONSE):
        RP._library.registers(state, parsed)


@pytest.mark.parametrize(
    "wrong", [{"origin": "https://evil.example"}, {"rp_id": "evil.example"}, {"flags": 0}]
)
def test_it_refuses_authentications_by_itself(wrong):
    _, state = RP.begin_authentication(now=NOW, credentials=[STORED], user_handle=JOE.handle)
    parsed = parse_authentication_response(KEY.authenticate(state.challenge, **wrong))
    with refused(WebAuthnErrorCode.BAD_SIGNATURE):
        RP._library.authenticates(state, parsed, STORED, signed_for=RP.rp_id)


def test_the_options_name_only_transports_that_browsers_know_from_it():
    held = replace(STORED, transports=("nfc", "smart-card", "usb"))
    options, _ = RP.begin_authentication(now=NOW, credentials=[held], user_handle=JOE.handle)
    assert options["publicKey"]["allowCredentials"][0]["transports"] == ["nfc", "usb"]


def test_the_attestation_that_is_asked_for_stands_in_the_options():
    rp = RelyingParty(rp_id="box.example", name="x", origins=RP.origins, attestation="enterprise")
    options, _ = rp.begin_registration(
        user=JOE, now=NOW, attachment="cross-platform", resident_key="required"
    )
    assert options["publicKey"]["attestation"] == "enterprise"
    selection = options["publicKey"]["authenticatorSelection"]
    assert selection["authenticatorAttachment"] == "cross-platform"
    assert selection["residentKey"] == "required"
