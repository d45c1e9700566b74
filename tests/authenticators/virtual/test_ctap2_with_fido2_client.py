"""python-fido2's own client and server are the first peers of the virtual key."""

import hashlib
import secrets

import pytest
from cryptography import x509
from fido2.attestation import AttestationVerifier
from fido2.client import ClientError
from fido2.ctap import CtapError
from fido2.ctap1 import Ctap1
from fido2.ctap2 import ClientPin, CredentialManagement, Ctap2
from fido2.ctap2.pin import PinProtocolV1, PinProtocolV2
from fido2.server import Fido2Server
from fido2.webauthn import (
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
)

from authenticators.virtual.attestation import test_root as vendor_root
from authenticators.virtual.faults import (
    BadSignature,
    CounterBack,
    CounterStuck,
    FaultPlan,
    FingerprintFails,
    NobodyTouches,
    RefuseTouch,
    Scheduled,
    Slow,
    Unplug,
)
from authenticators.virtual.profile import EDDSA, ES256, PROFILES, Attestation
from authenticators.virtual.transports.in_process import InProcessDevice
from tests.support.virtual_keys import ORIGIN, RP_ID, ManualClock, Person, client_for, make_key

USER = {"id": b"joe-id", "name": "joe", "displayName": "Joe"}
PIN = "248163"


class VendorVerifier(AttestationVerifier):
    def ca_lookup(self, attestation_result, auth_data):
        return vendor_root().der


def server(attestation=None, verify=None):
    rp = PublicKeyCredentialRpEntity(id=RP_ID, name="Bastion")
    return Fido2Server(rp, attestation=attestation, verify_attestation=verify)


def register(device, person=None, fido=None, **options):
    fido = fido or server()
    options = {"user_verification": "discouraged", **options}
    creation, state = fido.register_begin(USER, **options)
    response = client_for(device, person).make_credential(creation["publicKey"])
    return fido.register_complete(state, response)


def log_in(device, credentials, person=None, fido=None, **options):
    fido = fido or server()
    options = {"user_verification": "discouraged", **options}
    request, state = fido.authenticate_begin(credentials or None, **options)
    selection = client_for(device, person).get_assertion(request["publicKey"])
    response = selection.get_response(0)
    fido.authenticate_complete(state, credentials, response)
    return response


def status_of(error) -> CtapError.ERR:
    cause = error.value.cause
    return cause.code


@pytest.mark.parametrize("model", sorted(PROFILES))
def test_every_model_registers_and_logs_in_twice_with_a_rising_counter(model):
    device = InProcessDevice(make_key(model))
    data = register(device, user_verification="discouraged")
    counters = [
        log_in(
            device, [data.credential_data], user_verification="discouraged"
        ).response.authenticator_data.counter
        for _ in range(2)
    ]
    assert data.counter < counters[0] < counters[1]


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("model", ["modern", "classic"])
def test_a_pin_verifies_the_user_under_both_protocols(model, protocol):
    device = InProcessDevice(make_key(model, pin_protocols=(protocol,)))
    ClientPin(Ctap2(device)).set_pin(PIN)
    person = Person(PIN)
    data = register(device, person, user_verification="required")
    assert data.is_user_verified()
    answer = log_in(device, [data.credential_data], person, user_verification="required")
    assert answer.response.authenticator_data.is_user_verified()
    assert person.pins_asked == 2


def test_the_old_model_takes_a_pin_by_ctap_2_0():
    device = InProcessDevice(make_key("old"))
    ClientPin(Ctap2(device)).set_pin(PIN)
    data = register(device, Person(PIN), user_verification="required")
    assert log_in(device, [data.credential_data], Person(PIN), user_verification="required")


def test_a_fingerprint_verifies_the_user_without_a_pin():
    device = InProcessDevice(make_key("fingerprint"))
    person = Person()
    data = register(device, person, user_verification="required")
    assert data.is_user_verified()
    assert person.pins_asked == 0


def test_a_finger_that_is_not_the_owners_is_refused_and_blocks_after_three_tries():
    key = make_key("fingerprint", faults=FaultPlan.always(FingerprintFails()))
    device = InProcessDevice(key)
    for _ in range(3):
        with pytest.raises(ClientError):
            register(device, user_verification="required")
    assert key.state.fido.uv_retries == 0


@pytest.mark.parametrize("algorithm", [ES256, EDDSA])
def test_both_algorithms_sign(algorithm):
    device = InProcessDevice(make_key())
    fido = server()
    fido.allowed_algorithms = [
        PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=algorithm)
    ]
    data = register(device, fido=fido)
    assert algorithm == data.credential_data.public_key.ALGORITHM
    assert log_in(device, [data.credential_data])


@pytest.mark.parametrize("attestation", list(Attestation))
def test_each_kind_of_attestation_is_accepted_by_the_server(attestation):
    verify = VendorVerifier() if attestation is Attestation.PACKED else None
    fido = server("direct", verify)
    device = InProcessDevice(make_key(attestation=attestation))
    assert register(device, fido=fido).credential_data.aaguid == PROFILES["modern"].aaguid.bytes


def test_the_vendor_root_is_the_same_on_every_machine():
    fingerprint = hashlib.sha256(vendor_root().der).hexdigest()
    assert fingerprint == "0d7817b728dc4e845baa5fd898135f1991867fe855566aa805c3515721a148ca"
    assert x509.load_der_x509_certificate(vendor_root().der).subject.rfc4514_string().startswith("CN=Root")


def test_passkeys_log_in_without_a_list_and_all_of_them_answer():
    device = InProcessDevice(make_key())
    ClientPin(Ctap2(device)).set_pin(PIN)
    fido = server()
    known = []
    for name in ("joe", "ann"):
        creation, state = fido.register_begin(
            {"id": name.encode(), "name": name},
            resident_key_requirement="required",
            user_verification="required",
        )
        response = client_for(device, Person(PIN)).make_credential(creation["publicKey"])
        known.append(fido.register_complete(state, response).credential_data)
    request, state = fido.authenticate_begin(user_verification="required")
    selection = client_for(device, Person(PIN)).get_assertion(request["publicKey"])
    names = [answer.user["name"] for answer in selection.get_assertions()]
    assert names == ["ann", "joe"]
    fido.authenticate_complete(state, known, selection.get_response(1))


def test_a_passkey_of_the_same_user_replaces_the_older_one():
    key = make_key()
    device = InProcessDevice(key)
    for _ in range(2):
        register(device, resident_key_requirement="required", user_verification="discouraged")
    assert len(key.state.fido.resident) == 1


def test_a_full_key_takes_no_more_passkeys():
    device = InProcessDevice(make_key(resident_slots=1))
    register(device, resident_key_requirement="required", user_verification="discouraged")
    fido = server()
    creation, _ = fido.register_begin(
        {"id": b"other", "name": "o"}, resident_key_requirement="required", user_verification="discouraged"
    )
    with pytest.raises(ClientError) as error:
        client_for(device).make_credential(creation["publicKey"])
    assert status_of(error) == CtapError.ERR.KEY_STORE_FULL


@pytest.mark.parametrize("model", ["modern", "classic"])
def test_credential_management_lists_renames_and_deletes_passkeys(model):
    device = InProcessDevice(make_key(model))
    ctap2 = Ctap2(device)
    pin = ClientPin(ctap2)
    pin.set_pin(PIN)
    register(device, Person(PIN), resident_key_requirement="required", user_verification="required")
    token = pin.get_pin_token(PIN, ClientPin.PERMISSION.CREDENTIAL_MGMT)
    management = CredentialManagement(ctap2, pin.protocol, token)
    slots = PROFILES[model].resident_slots
    assert management.get_metadata() == {1: 1, 2: slots - 1}
    (rp,) = management.enumerate_rps()
    assert rp[CredentialManagement.RESULT.RP]["id"] == RP_ID
    (entry,) = management.enumerate_creds(rp[CredentialManagement.RESULT.RP_ID_HASH])
    descriptor = PublicKeyCredentialDescriptor.from_dict(entry[CredentialManagement.RESULT.CREDENTIAL_ID])
    if CredentialManagement.is_update_supported(ctap2.info):
        management.update_user_info(descriptor, {**USER, "name": "joseph"})
        (entry,) = management.enumerate_creds(rp[CredentialManagement.RESULT.RP_ID_HASH])
        assert entry[CredentialManagement.RESULT.USER]["name"] == "joseph"
    management.delete_cred(descriptor)
    assert management.enumerate_rps() == []


def test_a_wrong_pin_costs_a_try_and_a_right_one_gives_them_back():
    device = InProcessDevice(make_key())
    pin = ClientPin(Ctap2(device))
    pin.set_pin(PIN)
    with pytest.raises(CtapError) as error:
        pin.get_pin_token("000000", ClientPin.PERMISSION.GET_ASSERTION, RP_ID)
    assert error.value.code == CtapError.ERR.PIN_INVALID
    assert pin.get_pin_retries()[0] == 7
    pin.get_pin_token(PIN, ClientPin.PERMISSION.GET_ASSERTION, RP_ID)
    assert pin.get_pin_retries()[0] == 8


def test_three_wrong_pins_need_a_replug_and_eight_block_the_key():
    key = make_key()
    device = InProcessDevice(key)
    pin = ClientPin(Ctap2(device))
    pin.set_pin(PIN)
    seen = []
    for attempt in range(8):
        with pytest.raises(CtapError) as error:
            pin.get_pin_token("000000", ClientPin.PERMISSION.GET_ASSERTION, RP_ID)
        seen.append(error.value.code.name)
        if attempt % 3 == 2:
            with pytest.raises(CtapError, match="PIN_AUTH_BLOCKED"):
                pin.get_pin_token(PIN, ClientPin.PERMISSION.GET_ASSERTION, RP_ID)
            device.replug()
    assert seen == [
        "PIN_INVALID", "PIN_INVALID", "PIN_AUTH_BLOCKED", "PIN_INVALID", "PIN_INVALID", "PIN_AUTH_BLOCKED",
        "PIN_INVALID", "PIN_BLOCKED",
    ]  # fmt: skip
    device.replug()
    with pytest.raises(CtapError, match="PIN_BLOCKED"):
        pin.get_pin_token(PIN, ClientPin.PERMISSION.GET_ASSERTION, RP_ID)


def test_a_changed_pin_works_and_the_old_one_does_not():
    device = InProcessDevice(make_key())
    pin = ClientPin(Ctap2(device))
    pin.set_pin(PIN)
    pin.change_pin(PIN, "135790")
    assert pin.get_pin_token("135790", ClientPin.PERMISSION.GET_ASSERTION, RP_ID)
    with pytest.raises(CtapError, match="PIN_INVALID"):
        pin.get_pin_token(PIN, ClientPin.PERMISSION.GET_ASSERTION, RP_ID)


def test_a_reset_forgets_every_credential_and_the_pin():
    key = make_key()
    device = InProcessDevice(key)
    ClientPin(Ctap2(device)).set_pin(PIN)
    data = register(device, Person(PIN))
    Ctap2(device).reset()
    assert key.state.fido.pin_hash is None
    with pytest.raises(ClientError) as error:
        log_in(device, [data.credential_data])
    assert status_of(error) == CtapError.ERR.NO_CREDENTIALS


def test_a_reset_is_refused_long_after_plugging_in():
    clock = ManualClock()
    device = InProcessDevice(make_key(clock=clock))
    clock.seconds += 11
    with pytest.raises(CtapError, match="NOT_ALLOWED"):
        Ctap2(device).reset()


@pytest.mark.parametrize(
    ("fault", "status"),
    [(RefuseTouch(), "OPERATION_DENIED"), (NobodyTouches(), "USER_ACTION_TIMEOUT")],
)
def test_without_a_touch_nothing_is_registered(fault, status):
    device = InProcessDevice(make_key(faults=FaultPlan.always(fault), touch_timeout=0.01))
    with pytest.raises(ClientError) as error:
        register(device)
    assert status_of(error).name == status


def test_an_excluded_credential_is_not_made_twice():
    device = InProcessDevice(make_key())
    data = register(device)
    creation, _ = server().register_begin(
        USER, credentials=[data.credential_data], user_verification="discouraged"
    )
    with pytest.raises(ClientError) as error:
        client_for(device).make_credential(creation["publicKey"])
    assert error.value.code == ClientError.ERR.DEVICE_INELIGIBLE


@pytest.mark.parametrize(("fault", "counters"), [(CounterStuck(), [1, 1]), (CounterBack(by=5), [0, 0])])
def test_a_faulty_counter_stands_still_or_goes_back(fault, counters):
    plan = FaultPlan((Scheduled(fault=fault, after=1),))
    device = InProcessDevice(make_key(faults=plan))
    allow = [{"id": register(device).credential_data.credential_id, "type": "public-key"}]
    answers = [Ctap2(device).get_assertion(RP_ID, secrets.token_bytes(32), allow) for _ in range(2)]
    assert [answer.auth_data.counter for answer in answers] == counters


def test_a_bad_signature_is_noticed_by_the_server():
    device = InProcessDevice(make_key(faults=FaultPlan((Scheduled(fault=BadSignature(), after=1),))))
    data = register(device)
    with pytest.raises(ValueError, match="signature"):
        log_in(device, [data.credential_data])


def test_a_key_pulled_out_in_the_middle_is_an_io_error_until_it_is_back():
    device = InProcessDevice(make_key(faults=FaultPlan((Scheduled(fault=Unplug(), after=1, times=1),))))
    data = register(device)
    with pytest.raises(OSError, match="pulled out"):
        log_in(device, [data.credential_data])
    with pytest.raises(OSError, match="unplugged"):
        Ctap2(device).get_info()
    device.replug()
    assert Ctap2(device).get_info()


def test_a_slow_key_sends_keep_alives():
    seen = []
    device = InProcessDevice(make_key(faults=FaultPlan.always(Slow(seconds=0.01)), touch_seconds=0.01))
    rp = {"id": RP_ID, "name": "b"}
    parameters = [{"alg": -7, "type": "public-key"}]
    Ctap2(device).make_credential(bytes(32), rp, USER, parameters, on_keepalive=seen.append)
    assert [status.name for status in seen] == ["PROCESSING", "UPNEEDED"]


def test_credentials_are_useless_to_another_relying_party():
    device = InProcessDevice(make_key())
    data = register(device)
    allow = [{"id": data.credential_data.credential_id, "type": "public-key"}]
    with pytest.raises(CtapError, match="NO_CREDENTIALS"):
        Ctap2(device).get_assertion("evil.example", bytes(32), allow)


@pytest.mark.parametrize("protocol", [PinProtocolV1, PinProtocolV2])
def test_a_pin_token_is_bound_to_its_relying_party_and_permission(protocol):
    device = InProcessDevice(make_key())
    ctap2 = Ctap2(device)
    pin = ClientPin(ctap2, protocol())
    pin.set_pin(PIN)
    data = register(device, Person(PIN))
    allow = [{"id": data.credential_data.credential_id, "type": "public-key"}]
    for permission, rp_id in (
        (ClientPin.PERMISSION.MAKE_CREDENTIAL, RP_ID),
        (ClientPin.PERMISSION.GET_ASSERTION, "evil.example"),
    ):
        token = pin.get_pin_token(PIN, permission, rp_id)
        mac = protocol().authenticate(token, bytes(32))
        with pytest.raises(CtapError, match="PIN_AUTH_INVALID"):
            ctap2.get_assertion(RP_ID, bytes(32), allow, pin_uv_param=mac, pin_uv_protocol=protocol.VERSION)


def test_the_hmac_secret_extension_gives_the_same_secret_each_time_and_another_per_salt():
    device = InProcessDevice(make_key())
    creation, state = server().register_begin(USER, user_verification="discouraged")
    public_key = dict(creation["publicKey"]) | {"extensions": {"prf": {}}}
    client = client_for(device)
    response = client.make_credential(public_key)
    assert response.client_extension_results["prf"]["enabled"] is True
    credential = server().register_complete(state, response).credential_data
    outputs = []
    for salt in (b"a" * 32, b"a" * 32, b"b" * 32):
        request, _ = server().authenticate_begin([credential], user_verification="discouraged")
        options = dict(request["publicKey"]) | {"extensions": {"prf": {"eval": {"first": salt}}}}
        answer = client.get_assertion(options).get_response(0)
        outputs.append(answer.client_extension_results["prf"]["results"]["first"])
    assert outputs[0] == outputs[1] != outputs[2]


def test_a_protected_passkey_hides_from_an_unverified_user():
    device = InProcessDevice(make_key())
    ctap2 = Ctap2(device)
    pin = ClientPin(ctap2)
    pin.set_pin(PIN)
    token = pin.get_pin_token(PIN, ClientPin.PERMISSION.MAKE_CREDENTIAL, RP_ID)
    ctap2.make_credential(
        bytes(32), {"id": RP_ID, "name": "b"}, USER, [{"alg": -7, "type": "public-key"}],
        extensions={"credProtect": 3}, options={"rk": True},
        pin_uv_param=pin.protocol.authenticate(token, bytes(32)), pin_uv_protocol=2,
    )  # fmt: skip
    with pytest.raises(CtapError, match="NO_CREDENTIALS"):
        ctap2.get_assertion(RP_ID, bytes(32))


def test_the_selection_command_waits_for_a_touch():
    Ctap2(InProcessDevice(make_key())).selection()
    with pytest.raises(CtapError, match="OPERATION_DENIED"):
        Ctap2(InProcessDevice(make_key(faults=FaultPlan.always(RefuseTouch())))).selection()


def test_a_u2f_registration_logs_in_through_ctap2_with_the_appid_extension():
    key = make_key()
    application = hashlib.sha256(ORIGIN.encode()).digest()
    registration = Ctap1(InProcessDevice(key)).register(secrets.token_bytes(32), application)
    allow = [{"id": registration.key_handle, "type": "public-key"}]
    answer = Ctap2(InProcessDevice(key)).get_assertion(ORIGIN, bytes(32), allow)
    assert answer.credential["id"] == registration.key_handle
