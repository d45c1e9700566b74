import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import WebAuthnErrorCode
from authenticators.fido2.relying_party import Authenticated, CloneAlarm
from authenticators.fido2.wire import encode_base64url
from tests.support.refusals import outcome, refused
from tests.support.webauthn import (
    ANN,
    AT,
    BE,
    BS,
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
)

KEY = ForgedKey()
STORED = enrolled(KEY)
OPTIONS, STATE = RP.begin_authentication(
    credentials=[STORED], user_handle=JOE.handle, now=NOW, user_verification="required", scope="login"
)
CHALLENGE = STATE.challenge


def complete(response, *, stored=STORED, state=STATE, now=NOW, scope="login"):
    return RP.complete_authentication(
        state, response, lookup={stored.credential_id: stored}.get, now=now, scope=scope
    )


def test_the_options_name_the_credentials_and_the_relying_party():
    options = json.loads(json.dumps(OPTIONS))["publicKey"]
    assert options["rpId"] == "box.example"
    assert options["challenge"] == encode_base64url(CHALLENGE)
    assert options["allowCredentials"] == [{"type": "public-key", "id": encode_base64url(KEY.credential_id)}]
    assert options["userVerification"] == "required"
    assert options["timeout"] == 60_000


def test_an_honest_login_returns_the_credential_with_its_new_counter():
    proof = complete(KEY.authenticate(CHALLENGE, counter=7))
    assert isinstance(proof, Authenticated)
    assert proof.user_verified
    assert proof.credential == replace(STORED, sign_count=7)
    assert not proof.app_id_used


@pytest.mark.parametrize(("stored", "received"), [(5, 5), (5, 4), (5, 0), (1, 1)])
def test_a_counter_that_does_not_grow_is_a_clone_alarm(stored, received):
    held = replace(STORED, sign_count=stored)
    alarm = complete(KEY.authenticate(CHALLENGE, counter=received), stored=held)
    assert alarm == CloneAlarm(suspect=held, stored_count=stored, received_count=received)
    assert not alarm


@pytest.mark.parametrize(("stored", "received"), [(0, 0), (0, 1), (5, 6), (5, 2**32 - 1)])
def test_a_counter_that_grows_or_was_never_used_is_no_alarm(stored, received):
    held = replace(STORED, sign_count=stored)
    assert (
        complete(KEY.authenticate(CHALLENGE, counter=received), stored=held).credential.sign_count == received
    )


def test_a_wrong_signature_raises_no_clone_alarm_so_that_a_stranger_cannot_lock_a_key():
    held = replace(STORED, sign_count=5)
    with refused(WebAuthnErrorCode.BAD_SIGNATURE):
        complete(ForgedKey().authenticate(CHALLENGE, counter=1), stored=held)


FORGED = {
    "create instead of get": ({"type": "webauthn.create"}, WebAuthnErrorCode.WRONG_TYPE),
    "another challenge": ({"challenge": encode_base64url(bytes(32))}, WebAuthnErrorCode.WRONG_CHALLENGE),
    "padded challenge": ({"challenge": encode_base64url(CHALLENGE) + "="}, WebAuthnErrorCode.PADDED_BASE64),
    "plain http": ({"origin": ORIGIN.replace("https", "http")}, WebAuthnErrorCode.WRONG_ORIGIN),
    "sub-domain": ({"origin": "https://a.box.example:3080"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "other port": ({"origin": "https://box.example:1"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "trailing slash": ({"origin": ORIGIN + "/"}, WebAuthnErrorCode.WRONG_ORIGIN),
    "cross origin": ({"crossOrigin": True}, WebAuthnErrorCode.CROSS_ORIGIN),
    "evil top origin": ({"topOrigin": "https://evil.example"}, WebAuthnErrorCode.WRONG_TOP_ORIGIN),
    "token binding": ({"tokenBinding": {"status": "present"}}, WebAuthnErrorCode.TOKEN_BINDING),
    "another RP ID": ({"rp_id": "evil.example"}, WebAuthnErrorCode.WRONG_RP_ID_HASH),
    "nobody there": ({"flags": UV}, WebAuthnErrorCode.USER_NOT_PRESENT),
    "not verified": ({"flags": UP}, WebAuthnErrorCode.USER_NOT_VERIFIED),
    "backed up, not eligible": ({"flags": UP | UV | BS}, WebAuthnErrorCode.BACKED_UP_BUT_NOT_ELIGIBLE),
    "suddenly eligible": ({"flags": UP | UV | BE}, WebAuthnErrorCode.BACKUP_ELIGIBILITY_CHANGED),
    "trailing byte": ({"data": auth_data() + b"\0"}, WebAuthnErrorCode.MALFORMED_AUTHENTICATOR_DATA),
    "another user's handle": ({"user_handle": ANN.handle}, WebAuthnErrorCode.USER_HANDLE_MISMATCH),
    "empty signature": ({"signature": b""}, WebAuthnErrorCode.BAD_SIGNATURE),
    "cut signature": ({"signature": b"0E"}, WebAuthnErrorCode.BAD_SIGNATURE),
    "byte order mark": (
        {"raw": b"\xef\xbb\xbf" + client_data("get", CHALLENGE)},
        WebAuthnErrorCode.BYTE_ORDER_MARK,
    ),
    "two challenges": (
        {
            "raw": client_data("get", bytes(32))[:-1]
            + b',"challenge":"%s"}' % encode_base64url(CHALLENGE).encode()
        },
        WebAuthnErrorCode.DUPLICATE_KEY,
    ),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_rightly_signed_assertion_that_breaks_a_rule_is_refused(forged):
    members, code = FORGED[forged]
    with refused(code):
        complete(KEY.authenticate(CHALLENGE, **members))


def test_a_credential_that_was_eligible_for_backup_stays_so():
    held = enrolled(KEY, flags=UP | UV | AT | BE)
    assert complete(KEY.authenticate(CHALLENGE, flags=UP | UV | BE | BS), stored=held).credential.backed_up
    with refused(WebAuthnErrorCode.BACKUP_ELIGIBILITY_CHANGED):
        complete(KEY.authenticate(CHALLENGE), stored=held)


def test_a_credential_that_was_not_asked_for_is_refused():
    other = ForgedKey(credential_id=b"another")
    with refused(WebAuthnErrorCode.CREDENTIAL_NOT_ALLOWED):
        complete(other.authenticate(CHALLENGE), stored=enrolled(other))


def test_a_credential_that_nobody_has_is_refused():
    with refused(WebAuthnErrorCode.UNKNOWN_CREDENTIAL):
        RP.complete_authentication(
            STATE, KEY.authenticate(CHALLENGE), lookup=lambda _: None, now=NOW, scope="login"
        )


def test_a_lookup_that_finds_the_wrong_credential_is_not_trusted():
    other = enrolled(ForgedKey(credential_id=b"another"))
    with refused(WebAuthnErrorCode.UNKNOWN_CREDENTIAL):
        RP.complete_authentication(
            STATE, KEY.authenticate(CHALLENGE), lookup=lambda _: other, now=NOW, scope="login"
        )


def test_a_credential_that_has_changed_hands_in_the_store_is_refused():
    with refused(WebAuthnErrorCode.CREDENTIAL_OF_ANOTHER_USER):
        complete(KEY.authenticate(CHALLENGE), stored=replace(STORED, user_handle=ANN.handle))


def test_an_assertion_signed_by_another_key_is_refused():
    with refused(WebAuthnErrorCode.BAD_SIGNATURE):
        complete(ForgedKey().authenticate(CHALLENGE))


@pytest.mark.parametrize(
    ("now", "scope", "code"),
    [
        (NOW + timedelta(seconds=60), "login", WebAuthnErrorCode.EXPIRED),
        (NOW - timedelta(seconds=1), "login", WebAuthnErrorCode.NOT_YET_VALID),
        (NOW, "delete user ann", WebAuthnErrorCode.WRONG_SCOPE),
    ],
)
def test_a_ceremony_is_good_in_its_time_and_for_its_purpose_only(now, scope, code):
    with refused(code):
        complete(KEY.authenticate(CHALLENGE), now=now, scope=scope)


def test_a_stored_key_that_was_damaged_is_refused():
    with refused(WebAuthnErrorCode.MALFORMED_CBOR):
        complete(KEY.authenticate(CHALLENGE), stored=replace(STORED, public_key=b"\xff"))


def test_a_discoverable_login_finds_the_person_by_the_credential():
    options, state = RP.begin_authentication(now=NOW)
    assert "allowCredentials" not in options["publicKey"]
    proof = complete(KEY.authenticate(state.challenge), state=state, scope="")
    assert proof.credential.user_handle == JOE.handle


def test_a_discoverable_login_without_or_with_a_strange_user_handle_is_refused():
    _, state = RP.begin_authentication(now=NOW)
    with refused(WebAuthnErrorCode.USER_HANDLE_MISSING):
        complete(KEY.authenticate(state.challenge, user_handle=None), state=state, scope="")
    with refused(WebAuthnErrorCode.USER_HANDLE_MISMATCH):
        complete(KEY.authenticate(state.challenge, user_handle=ANN.handle), state=state, scope="")


def test_a_named_login_needs_no_user_handle_in_the_response():
    assert complete(KEY.authenticate(CHALLENGE, user_handle=None))


def test_a_named_user_without_credentials_is_a_mistake_of_the_caller():
    with refused(WebAuthnErrorCode.BAD_PARAMETER):
        RP.begin_authentication(now=NOW, user_handle=JOE.handle)
    with refused(WebAuthnErrorCode.BAD_PARAMETER):
        RP.begin_authentication(now=NOW, credentials=[STORED])


@given(st.binary(max_size=200))
def test_any_authenticator_data_is_refused_with_a_code(junk):
    assert isinstance(outcome(complete, KEY.authenticate(CHALLENGE, data=junk)), WebAuthnErrorCode)


@given(st.binary(max_size=200))
def test_any_client_data_is_refused_with_a_code(junk):
    assert isinstance(outcome(complete, KEY.authenticate(CHALLENGE, raw=junk)), WebAuthnErrorCode)


@given(st.integers(0, 79), st.integers(1, 255))
def test_a_signature_with_any_byte_changed_is_refused(position, change):
    good = KEY.authenticate(CHALLENGE)
    signature = bytearray(KEY.sign(b"something else"))
    signature[position % len(signature)] ^= change
    good["response"]["signature"] = encode_base64url(bytes(signature))
    with refused(WebAuthnErrorCode.BAD_SIGNATURE):
        complete(good)
