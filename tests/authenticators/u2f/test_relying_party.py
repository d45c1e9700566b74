import json
from dataclasses import replace
from datetime import timedelta

import pytest

from authenticators.errors import AttestationErrorCode, U2fErrorCode, WebAuthnErrorCode
from authenticators.fido2.attestation import AttestationKind, assess
from authenticators.fido2.credential import Credential
from authenticators.fido2.policy import AttestationPolicy
from authenticators.fido2.relying_party import CloneAlarm
from authenticators.fido2.wire import encode_base64url
from authenticators.u2f.facets import TrustedFacets
from authenticators.u2f.messages import ClientDataType
from authenticators.u2f.migration import migrate
from authenticators.u2f.relying_party import U2fCloneAlarm, U2fRelyingParty, U2fState
from tests.support.refusals import refused
from tests.support.u2f import U2fKey, u2f_client_data
from tests.support.webauthn import JOE, NOW, ORIGIN, RP, UP, ForgedKey

APP_ID = "https://box.example/v1/u2f/facets"
U2F = U2fRelyingParty(facets=TrustedFacets.of(APP_ID, ["https://box.example"]))
KEY = U2fKey(APP_ID)
REQUEST, STATE = U2F.begin_registration(now=NOW)
REGISTER, SIGN = ClientDataType.REGISTER, ClientDataType.SIGN
REGISTERED = U2F.complete_registration(
    STATE, KEY.register(u2f_client_data(REGISTER, STATE.challenge)), now=NOW
)
_, SIGN_STATE = U2F.begin_authentication(now=NOW, registered=[REGISTERED])


def authenticate(*, registered=REGISTERED, state=SIGN_STATE, now=NOW, key=KEY, client_data=None, **options):
    raw = client_data or u2f_client_data(SIGN, state.challenge)
    return U2F.complete_authentication(
        state, json.dumps(key.sign(raw, **options)), registered=[registered], now=now
    )


def test_the_requests_name_the_app_id_and_the_known_keys():
    assert REQUEST["appId"] == APP_ID
    assert REQUEST["registerRequests"] == [
        {"version": "U2F_V2", "challenge": encode_base64url(STATE.challenge)}
    ]
    request, _ = U2F.begin_authentication(now=NOW, registered=[REGISTERED])
    assert request["registeredKeys"][0]["keyHandle"] == encode_base64url(KEY.key_handle)
    assert len(STATE.challenge) == 32


def test_an_honest_registration_and_login_pass():
    assert REGISTERED.public_key == KEY.point
    assert authenticate(counter=5).counter == 5


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"typ": SIGN.value}, U2fErrorCode.WRONG_TYPE),
        ({"challenge": encode_base64url(bytes(32))}, U2fErrorCode.WRONG_CHALLENGE),
        ({"challenge": "AA=="}, U2fErrorCode.MALFORMED),
        ({"origin": "https://evil.example"}, U2fErrorCode.FACET_NOT_TRUSTED),
        ({"origin": None}, U2fErrorCode.FACET_NOT_TRUSTED),
    ],
)
def test_client_data_that_says_otherwise_is_refused(members, code):
    with refused(code):
        U2F.complete_registration(
            STATE, KEY.register(u2f_client_data(REGISTER, STATE.challenge, **members)), now=NOW
        )


@pytest.mark.parametrize("now", [NOW + timedelta(seconds=60), NOW - timedelta(seconds=1)])
def test_a_ceremony_has_its_time(now):
    with refused(U2fErrorCode.EXPIRED):
        authenticate(now=now)


def test_a_registration_is_no_login():
    with refused(U2fErrorCode.WRONG_TYPE):
        authenticate(state=STATE)


def test_a_key_handle_of_nobody_is_refused():
    with refused(U2fErrorCode.UNKNOWN_KEY_HANDLE):
        authenticate(key=U2fKey(APP_ID, key_handle=b"other"))


def test_a_signature_of_another_key_or_without_touch_is_refused():
    with refused(U2fErrorCode.BAD_SIGNATURE):
        authenticate(key=U2fKey(APP_ID))
    with refused(U2fErrorCode.USER_NOT_PRESENT):
        authenticate(flags=0)


@pytest.mark.parametrize(("stored", "received"), [(5, 5), (5, 4), (5, 0)])
def test_a_counter_that_does_not_grow_is_a_clone_alarm(stored, received):
    held = replace(REGISTERED, counter=stored)
    alarm = authenticate(registered=held, counter=received)
    assert alarm == U2fCloneAlarm(suspect=held, received_count=received)
    assert not alarm


def test_a_state_survives_storage_and_a_damaged_one_is_refused():
    assert U2fState.from_dict(json.loads(json.dumps(STATE.to_dict()))) == STATE
    with refused(U2fErrorCode.MALFORMED):
        U2fState.from_dict(STATE.to_dict() | {"kind": "x"})


FORMER = replace(RP, app_id=APP_ID)
MIGRATED = migrate(replace(REGISTERED, counter=3), user_handle=JOE.handle)


WEB_KEY = ForgedKey(private=KEY.private, credential_id=KEY.key_handle)


def login(rp, *, rp_id=APP_ID, counter=4, credential=MIGRATED):
    options, state = rp.begin_authentication(now=NOW, credentials=[credential], user_handle=JOE.handle)
    response = WEB_KEY.authenticate(state.challenge, rp_id=rp_id, flags=UP, counter=counter, user_handle=None)
    return options, rp.complete_authentication(state, response, lookup=lambda _: credential, now=NOW)


def test_a_migrated_key_logs_in_through_the_appid_extension():
    options, proof = login(FORMER)
    assert options["publicKey"]["extensions"] == {"appid": APP_ID}
    assert proof.app_id_used
    assert proof.credential.sign_count == 4


def test_a_migrated_key_keeps_its_counter_and_so_the_clone_alarm():
    _, alarm = login(FORMER, counter=3)
    assert isinstance(alarm, CloneAlarm)


def test_without_the_app_id_a_migrated_key_is_of_another_relying_party():
    with refused(WebAuthnErrorCode.WRONG_RP_ID_HASH):
        login(RP)


def test_the_app_id_is_only_for_keys_that_came_from_u2f():
    with refused(WebAuthnErrorCode.WRONG_RP_ID_HASH):
        login(FORMER, credential=replace(MIGRATED, app_id=None))


def test_a_new_registration_excludes_keys_of_the_app_id():
    options, _ = FORMER.begin_registration(user=JOE, now=NOW, exclude=[MIGRATED])
    assert options["publicKey"]["extensions"]["appidExclude"] == APP_ID
    assert ORIGIN in FORMER.origins


def test_a_migrated_credential_survives_storage_with_its_evidence():
    assert Credential.from_dict(json.loads(json.dumps(MIGRATED.to_dict()))) == MIGRATED
    report = assess(MIGRATED)
    assert report.kind is AttestationKind.BASIC
    policy = AttestationPolicy(allowed_cas=(KEY.maker.root,))
    assert policy.evaluate(MIGRATED, metadata=None, now=NOW).trusted_root


def test_a_registration_without_evidence_migrates_and_proves_nothing():
    bare = migrate(
        replace(REGISTERED, certificate=b"", signature=b"", client_data=b""), user_handle=JOE.handle
    )
    with refused(AttestationErrorCode.NO_ATTESTATION):
        assess(bare)


def test_a_stored_key_that_is_no_point_is_not_migrated():
    with refused(U2fErrorCode.BAD_PUBLIC_KEY):
        migrate(replace(REGISTERED, public_key=b"\x04" + bytes(64)), user_handle=JOE.handle)
