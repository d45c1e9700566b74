import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES384
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import AuthenticatorError, WebAuthnErrorCode
from authenticators.fido2.credential import Credential
from authenticators.fido2.relying_party import RelyingParty, User
from authenticators.fido2.wire import encode_base64url
from tests.support.refusals import outcome, refused
from tests.support.webauthn import (
    AT,
    BE,
    BS,
    ED,
    JOE,
    NOW,
    ORIGIN,
    RP,
    UP,
    UV,
    ForgedKey,
    auth_data,
    client_data,
    enrolled,
    envelope,
)

KEY = ForgedKey()
OPTIONS, STATE = RP.begin_registration(user=JOE, now=NOW, user_verification="required", scope="enrol")
CHALLENGE = STATE.challenge


def complete(response, *, state=STATE, now=NOW, scope="enrol", rp=RP):
    return rp.complete_registration(state, response, now=now, scope=scope)


def test_the_options_are_what_a_browser_reads():
    options = json.loads(json.dumps(OPTIONS))["publicKey"]
    assert options["rp"] == {"id": "box.example", "name": "Sallyport"}
    assert options["user"] == {"id": encode_base64url(JOE.handle), "name": "joe", "displayName": "Joe"}
    assert options["challenge"] == encode_base64url(CHALLENGE)
    assert [each["alg"] for each in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert options["timeout"] == 60_000
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"


def test_an_honest_registration_gives_a_credential_that_survives_storage():
    response = KEY.register(CHALLENGE)
    response["response"]["transports"] = ["usb", "teleport", 7, "nfc"]
    response["clientExtensionResults"] = {"credProps": {"rk": True}}
    credential = complete(response).credential
    assert credential.credential_id == KEY.credential_id
    assert credential.user_handle == JOE.handle
    assert credential.aaguid == UUID(bytes=KEY.aaguid)
    assert credential.transports == ("nfc", "usb")
    assert credential.discoverable is True
    assert credential.user_verified
    assert Credential.from_dict(json.loads(json.dumps(credential.to_dict()))) == credential


def test_credentials_already_held_are_excluded_and_refused_when_they_come_anyway():
    held = enrolled(KEY)
    options, state = RP.begin_registration(user=JOE, now=NOW, exclude=[held])
    assert options["publicKey"]["excludeCredentials"][0]["id"] == encode_base64url(KEY.credential_id)
    with refused(WebAuthnErrorCode.CREDENTIAL_EXCLUDED):
        complete(KEY.register(state.challenge), state=state, scope="")


def test_each_registration_has_a_challenge_of_its_own_of_32_bytes():
    challenges = {RP.begin_registration(user=JOE, now=NOW)[1].challenge for _ in range(20)}
    assert len(challenges) == 20
    assert {len(challenge) for challenge in challenges} == {32}


def test_a_challenge_of_the_caller_is_used_and_a_short_one_refused():
    assert RP.begin_registration(user=JOE, now=NOW, challenge=b"d" * 32)[1].challenge == b"d" * 32
    with refused(WebAuthnErrorCode.WEAK_CHALLENGE):
        RP.begin_registration(user=JOE, now=NOW, challenge=b"d" * 31)


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (NOW + timedelta(seconds=60), WebAuthnErrorCode.EXPIRED),
        (NOW - timedelta(seconds=1), WebAuthnErrorCode.NOT_YET_VALID),
    ],
)
def test_a_ceremony_is_good_only_between_its_two_times(now, code):
    with refused(code):
        complete(KEY.register(CHALLENGE), now=now)
    assert complete(KEY.register(CHALLENGE), now=NOW + timedelta(seconds=59))


def test_a_ceremony_for_something_else_is_refused():
    with refused(WebAuthnErrorCode.WRONG_SCOPE):
        complete(KEY.register(CHALLENGE), scope="login")


FORGED_CLIENT_DATA = {
    "get instead of create": ({"type": "webauthn.get"}, WebAuthnErrorCode.WRONG_TYPE),
    "another challenge": ({"challenge": encode_base64url(bytes(32))}, WebAuthnErrorCode.WRONG_CHALLENGE),
    "padded challenge": ({"challenge": encode_base64url(CHALLENGE) + "="}, WebAuthnErrorCode.PADDED_BASE64),
    "standard base64": ({"challenge": "+" * 43}, WebAuthnErrorCode.BAD_BASE64),
    "plain http": ({"origin": ORIGIN.replace("https", "http")}, WebAuthnErrorCode.WRONG_ORIGIN),
    "other port": ({"origin": "https://box.example:3081"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "no port": ({"origin": "https://box.example"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "sub-domain": ({"origin": "https://evil.box.example:3080"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "trailing slash": ({"origin": ORIGIN + "/"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "upper case": ({"origin": ORIGIN.upper()}, WebAuthnErrorCode.WRONG_ORIGIN),
    "cross origin": ({"crossOrigin": True}, WebAuthnErrorCode.CROSS_ORIGIN),
    "cross origin and top": (
        {"crossOrigin": True, "topOrigin": "https://evil.example"},
        WebAuthnErrorCode.CROSS_ORIGIN,
    ),
    "top origin only": ({"topOrigin": "https://evil.example"}, WebAuthnErrorCode.WRONG_TOP_ORIGIN),
    "cross origin as text": ({"crossOrigin": "false"}, WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
    "token binding": ({"tokenBinding": {"status": "present", "id": "x"}}, WebAuthnErrorCode.TOKEN_BINDING),
    "no origin": ({"origin": None}, WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
    "no challenge": ({"challenge": None}, WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
}


@pytest.mark.parametrize("forged", FORGED_CLIENT_DATA)
def test_client_data_that_says_otherwise_is_refused(forged):
    members, code = FORGED_CLIENT_DATA[forged]
    with refused(code):
        complete(KEY.register(CHALLENGE, raw=client_data("create", CHALLENGE, **members)))


GOOD = client_data("create", CHALLENGE)
FORGED_JSON = {
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, WebAuthnErrorCode.BYTE_ORDER_MARK),
    "two origins": (GOOD[:-1] + b',"origin":"https://box.example:3080"}', WebAuthnErrorCode.DUPLICATE_KEY),
    "nested duplicate": (GOOD[:-1] + b',"x":{"a":1,"a":2}}', WebAuthnErrorCode.DUPLICATE_KEY),
    "not JSON": (GOOD[:-1], WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
    "a list": (b"[" + GOOD + b"]", WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
    "not UTF-8": (GOOD.replace(b"https", b"\xff"), WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
    "NaN": (GOOD[:-1] + b',"x":NaN}', WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
    "a deep well": (b"[" * 20000, WebAuthnErrorCode.MALFORMED_CLIENT_DATA),
}


@pytest.mark.parametrize("forged", FORGED_JSON)
def test_client_data_with_more_than_one_reading_is_refused(forged):
    raw, code = FORGED_JSON[forged]
    with refused(code):
        complete(KEY.register(CHALLENGE, raw=raw))


def test_a_named_top_origin_may_frame_us_and_another_may_not():
    framed = replace(RP, top_origins=frozenset({"https://portal.example"}))
    good = {"crossOrigin": True, "topOrigin": "https://portal.example"}
    assert complete(KEY.register(CHALLENGE, **good), rp=framed)
    with refused(WebAuthnErrorCode.WRONG_TOP_ORIGIN):
        complete(KEY.register(CHALLENGE, **good | {"topOrigin": "https://evil.example"}), rp=framed)
    with refused(WebAuthnErrorCode.CROSS_ORIGIN):
        complete(KEY.register(CHALLENGE, crossOrigin=True), rp=framed)


def with_data(**parts):
    return auth_data(flags=UP | UV | AT, counter=0, tail=KEY.attested) if not parts else auth_data(**parts)


FORGED_AUTH_DATA = {
    "another RP ID": (
        with_data(rp_id="evil.example", flags=UP | UV | AT, tail=KEY.attested),
        WebAuthnErrorCode.WRONG_RP_ID_HASH,
    ),
    "nobody there": (with_data(flags=UV | AT, tail=KEY.attested), WebAuthnErrorCode.USER_NOT_PRESENT),
    "not verified": (with_data(flags=UP | AT, tail=KEY.attested), WebAuthnErrorCode.USER_NOT_VERIFIED),
    "backed up, not eligible": (
        with_data(flags=UP | UV | AT | BS, tail=KEY.attested),
        WebAuthnErrorCode.BACKED_UP_BUT_NOT_ELIGIBLE,
    ),
    "no credential": (with_data(flags=UP | UV), WebAuthnErrorCode.NO_CREDENTIAL_DATA),
    "too short": (with_data()[:36], WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA),
    "cut credential": (with_data()[:50], WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA),
    "cut id": (with_data()[:60], WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA),
    "cut key": (with_data()[:-1], WebAuthnErrorCode.MALFORMED_CBOR),
    "trailing byte": (with_data() + b"\0", WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA),
    "promised extensions": (
        with_data(flags=UP | UV | AT | ED, tail=KEY.attested),
        WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA,
    ),
    "extensions no map": (
        with_data(flags=UP | UV | AT | ED, tail=KEY.attested + b"\x01"),
        WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA,
    ),
    "equal extension keys": (
        with_data(flags=UP | UV | AT | ED, tail=KEY.attested + b"\xa2\x61a\x01\x61a\x02"),
        WebAuthnErrorCode.MALFORMED_CBOR,
    ),
    "endless id": (
        with_data(flags=UP | UV | AT, tail=bytes(16) + b"\x04\x00" + bytes(1024) + KEY.public_cose),
        WebAuthnErrorCode.CREDENTIAL_ID_TOO_LONG,
    ),
    "empty id": (
        with_data(flags=UP | UV | AT, tail=bytes(18) + KEY.public_cose),
        WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA,
    ),
}


@pytest.mark.parametrize("forged", FORGED_AUTH_DATA)
def test_authenticator_data_that_breaks_a_rule_is_refused(forged):
    data, code = FORGED_AUTH_DATA[forged]
    with refused(code):
        complete(KEY.register(CHALLENGE, data=data))


def test_a_credential_that_is_backed_up_and_eligible_is_taken_as_such():
    credential = complete(KEY.register(CHALLENGE, flags=UP | UV | AT | BE | BS)).credential
    assert credential.backup_eligible
    assert credential.backed_up


def test_an_algorithm_that_was_not_offered_is_refused():
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    key = replace(KEY, cose=cbor.encode(ES384.from_cryptography_key(other)))
    with refused(WebAuthnErrorCode.ALGORITHM_NOT_OFFERED):
        complete(key.register(CHALLENGE))


def test_the_offer_is_the_one_of_the_ceremony_not_of_today():
    with refused(WebAuthnErrorCode.ALGORITHM_NOT_OFFERED):
        complete(KEY.register(CHALLENGE), state=replace(STATE, algorithms=(-8,)))


@pytest.mark.parametrize("wrong", [{"fmt": 1}, {"attStmt": b""}, {"authData": "x"}, {"more": 1}])
def test_an_attestation_object_of_another_form_is_refused(wrong):
    members = {"fmt": "none", "attStmt": {}, "authData": with_data()} | wrong
    response = envelope(KEY.credential_id, clientDataJSON=GOOD, attestationObject=cbor.encode(members))
    with refused(WebAuthnErrorCode.MALFORMED_ATTESTATION_OBJECT):
        complete(response)


def test_the_credential_id_outside_is_the_one_inside():
    response = KEY.register(CHALLENGE)
    response["id"] = response["rawId"] = encode_base64url(b"someone else's")
    with refused(WebAuthnErrorCode.ID_MISMATCH):
        complete(response)
    with refused(WebAuthnErrorCode.ID_MISMATCH):
        complete(KEY.register(CHALLENGE) | {"id": "AAAA"})


FORGED_ENVELOPES = {
    "another type": ({"type": "password"}, WebAuthnErrorCode.WRONG_CREDENTIAL_TYPE),
    "no response": ({"response": None}, WebAuthnErrorCode.MALFORMED_RESPONSE),
    "empty response": ({"response": {}}, WebAuthnErrorCode.MALFORMED_RESPONSE),
    "no raw id": ({"rawId": None}, WebAuthnErrorCode.BAD_BASE64),
    "empty raw id": ({"id": "", "rawId": ""}, WebAuthnErrorCode.MALFORMED_RESPONSE),
    "extensions a list": ({"clientExtensionResults": [1]}, WebAuthnErrorCode.MALFORMED_RESPONSE),
    "padded raw id": ({"rawId": "AAAA===="}, WebAuthnErrorCode.PADDED_BASE64),
}


@pytest.mark.parametrize("forged", FORGED_ENVELOPES)
def test_a_response_of_another_form_is_refused(forged):
    members, code = FORGED_ENVELOPES[forged]
    with refused(code):
        complete(KEY.register(CHALLENGE) | members)


def test_a_response_as_text_is_read_strictly_and_has_a_limit():
    text = json.dumps(KEY.register(CHALLENGE))
    assert complete(text)
    assert complete(text.encode())
    with refused(WebAuthnErrorCode.DUPLICATE_KEY):
        complete(text[:-1] + ', "type": "public-key"}')
    with refused(WebAuthnErrorCode.RESPONSE_TOO_LARGE):
        complete(text + " " * 65536)
    with refused(WebAuthnErrorCode.RESPONSE_TOO_LARGE):
        complete(KEY.register(CHALLENGE, raw=GOOD + b" " * 30000))
    with refused(WebAuthnErrorCode.MALFORMED_RESPONSE):
        complete("{")


@given(st.binary(max_size=300))
def test_any_attestation_object_is_refused_with_a_code(junk):
    response = envelope(KEY.credential_id, clientDataJSON=GOOD, attestationObject=junk)
    assert isinstance(outcome(complete, response), WebAuthnErrorCode)


@given(st.integers(0, 250), st.integers(0, 255))
def test_a_changed_byte_of_authenticator_data_never_crashes(position, value):
    data = bytearray(with_data())
    data[position % len(data)] = value
    result = outcome(complete, KEY.register(CHALLENGE, data=bytes(data)))
    assert isinstance(result, WebAuthnErrorCode) or result.credential.user_handle == JOE.handle


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["id", "rawId", "type", "response", "x"]), inner, max_size=4)
        ),
    )
)
def test_any_json_is_refused_with_a_code(value):
    assert isinstance(outcome(complete, json.dumps(value)), WebAuthnErrorCode)


@pytest.mark.parametrize(
    "wrong",
    [
        {"origins": frozenset()},
        {"origins": frozenset({"http://box.example"})},
        {"origins": frozenset({"https://other.example"})},
        {"origins": frozenset({"https://box.example/"})},
        {"origins": frozenset({"https://box.example:443"})},
        {"origins": frozenset({"https://box.example:bad"})},
        {"origins": frozenset({"https://Box.example"})},
        {"top_origins": frozenset({"portal.example"})},
        {"algorithms": ()},
        {"algorithms": (-65535,)},
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(hours=1)},
    ],
)
def test_a_relying_party_that_would_take_anything_is_not_made(wrong):
    good = {"rp_id": "box.example", "name": "x", "origins": frozenset({ORIGIN})}
    with refused(WebAuthnErrorCode.BAD_PARAMETER):
        RelyingParty(**good | wrong)


@pytest.mark.parametrize("handle", [b"", bytes(65)])
def test_a_user_handle_has_1_to_64_bytes(handle):
    with refused(WebAuthnErrorCode.BAD_PARAMETER):
        RP.begin_registration(user=User(handle=handle, name="x", display_name="x"), now=NOW)


def test_localhost_is_a_relying_party_for_development():
    assert RelyingParty(rp_id="localhost", name="x", origins=frozenset({"http://localhost:8080"}))


def test_errors_print_their_code_only():
    error = AuthenticatorError(WebAuthnErrorCode.EXPIRED)
    assert repr(error) == "AuthenticatorError(expired)"
