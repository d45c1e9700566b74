"""Our client, a virtual key and our relying party: the whole way of a registration and a login."""

import json
import time
from dataclasses import replace
from threading import Event, Timer

import pytest
from fido2.ctap2 import ClientPin, Ctap2

from authenticators.devices.fido import FidoClient
from authenticators.devices.finder import FidoKey
from authenticators.errors import DeviceErrorCode, WebAuthnErrorCode
from authenticators.fido2.attestation import AttestationKind, assess
from authenticators.fido2.policy import AttestationPolicy
from authenticators.fido2.relying_party import Authenticated, CloneAlarm, RelyingParty, User
from authenticators.u2f.facets import TrustedFacets
from authenticators.u2f.messages import ClientDataType
from authenticators.u2f.migration import migrate
from authenticators.u2f.relying_party import U2fRelyingParty
from authenticators.virtual.attestation import test_root as vendor_root
from authenticators.virtual.faults import CounterBack, FaultPlan, NobodyTouches, RefuseTouch, Unplug
from authenticators.virtual.transports.in_process import InProcessDevice
from tests.support.prompts import ScriptedPrompter
from tests.support.refusals import refused
from tests.support.u2f import u2f_client_data
from tests.support.virtual_keys import ORIGIN, RP_ID, make_key
from tests.support.webauthn import ANN, JOE, NOW

PIN = "248163"
APP_ID = f"{ORIGIN}/v1/u2f/facets"
RP = RelyingParty(rp_id=RP_ID, name="Bastion", origins=frozenset({ORIGIN}), attestation="direct")
Code = DeviceErrorCode


def plug(key):
    return FidoKey(device=InProcessDevice(key), name="virtual key")


def client(*keys, prompter=None, **options):
    return FidoClient(prompter=prompter or ScriptedPrompter(), find=lambda: list(keys), **options)


def with_pin(key):
    ClientPin(Ctap2(key.device)).set_pin(PIN)
    return key


def register(fido, *, rp=RP, user=JOE, exclude=(), **options):
    asked, state = rp.begin_registration(
        user=user, now=NOW, exclude=exclude, **{"user_verification": "discouraged"} | options
    )
    response = json.dumps(fido.make_credential(asked, ORIGIN))
    return rp.complete_registration(state, response, now=NOW).credential


def login(fido, *credentials, rp=RP, **options):
    options = {"user_verification": "discouraged"} | options
    named = {"credentials": credentials, "user_handle": credentials[0].user_handle} if credentials else {}
    asked, state = rp.begin_authentication(now=NOW, **named, **options)
    response = json.dumps(fido.get_assertion(asked, ORIGIN))
    known = {each.credential_id: each for each in options.pop("known", credentials)}
    return rp.complete_authentication(state, response, lookup=known.get, now=NOW)


@pytest.mark.parametrize("model", ["modern", "classic", "old", "u2f", "presence-only"])
def test_a_key_of_each_model_registers_and_logs_in_after_a_touch(model):
    prompter = ScriptedPrompter()
    fido = client(plug(make_key(model, touch_seconds=0.05)), prompter=prompter)
    credential = register(fido, resident_key="discouraged")
    proof = login(fido, credential)
    assert isinstance(proof, Authenticated)
    assert proof.credential.sign_count > credential.sign_count
    # A U2F command waits for the touch by itself, and the virtual one says nothing meanwhile.
    assert model == "u2f" or ("touch", "virtual key") in prompter.said


def test_the_attestation_of_the_key_reaches_the_policy():
    credential = register(client(plug(make_key())))
    assert assess(credential).kind is AttestationKind.BASIC
    policy = AttestationPolicy(allowed_cas=(vendor_root().der,))
    assert policy.evaluate(credential, metadata=None, now=NOW).trusted_root == vendor_root().der


def test_a_pin_is_asked_for_with_the_tries_left_and_again_after_a_wrong_one():
    prompter = ScriptedPrompter("000000", PIN)
    fido = client(with_pin(plug(make_key())), prompter=prompter)
    credential = register(fido, user_verification="required")
    assert credential.user_verified
    assert [said for said in prompter.said if said[0] == "pin"] == [("pin", 8, False), ("pin", 7, True)]


def test_three_wrong_pins_need_the_key_pulled_out():
    prompter = ScriptedPrompter("000000", "111111", "222222")
    with refused(Code.PIN_NEEDS_REINSERTION):
        register(client(with_pin(plug(make_key())), prompter=prompter), user_verification="required")


def test_eight_wrong_pins_block_the_key():
    key = with_pin(plug(make_key()))
    fido = client(key, prompter=ScriptedPrompter(*["000000"] * 9))
    for _ in range(2):
        with refused(Code.PIN_NEEDS_REINSERTION):
            register(fido, user_verification="required")
        key.device.replug()
    with refused(Code.PIN_BLOCKED):
        register(fido, user_verification="required")


def test_giving_up_at_the_pin_is_a_cancel():
    fido = client(with_pin(plug(make_key())), prompter=ScriptedPrompter(None))
    with refused(Code.CANCELLED):
        register(fido, user_verification="required")


def test_an_empty_pin_is_none():
    fido = client(with_pin(plug(make_key())), prompter=ScriptedPrompter(""))
    with refused(Code.PIN_REQUIRED):
        register(fido, user_verification="required")


def test_verification_by_a_key_without_a_pin_says_what_is_missing():
    with refused(Code.PIN_NOT_SET):
        register(client(plug(make_key())), user_verification="required")


@pytest.mark.parametrize("model", ["modern", "old", "u2f", "presence-only"])
def test_verification_that_is_only_preferred_needs_no_pin(model):
    prompter = ScriptedPrompter()
    fido = client(plug(make_key(model)), prompter=prompter)
    credential = register(fido, user_verification="preferred", resident_key="discouraged")
    assert not credential.user_verified
    assert login(fido, credential, user_verification="preferred")
    assert not [said for said in prompter.said if said[0] == "pin"]


def test_verification_that_is_preferred_is_done_where_a_pin_is_set():
    fido = client(with_pin(plug(make_key())), prompter=ScriptedPrompter(PIN, PIN))
    credential = register(fido, user_verification="preferred")
    assert credential.user_verified
    assert login(fido, credential, user_verification="preferred").user_verified


def test_a_fingerprint_is_prompted_for():
    prompter = ScriptedPrompter()
    fido = client(with_pin(plug(make_key("fingerprint"))), prompter=prompter)
    assert register(fido, user_verification="required").user_verified
    assert ("verify", "virtual key") in prompter.said


def test_a_refused_touch_is_told_as_such():
    fido = client(plug(make_key(faults=FaultPlan.always(RefuseTouch()))))
    with refused(Code.REFUSED):
        register(fido)


def test_nobody_there_times_out():
    key = plug(make_key(faults=FaultPlan.always(NobodyTouches()), touch_timeout=60))
    began = time.monotonic()
    with refused(Code.TIMED_OUT):
        register(client(key, seconds=0.3))
    assert time.monotonic() - began < 10


def test_a_ceremony_is_cancelled_from_another_thread():
    key = plug(make_key(faults=FaultPlan.always(NobodyTouches()), touch_timeout=60))
    cancel = Event()
    options, _ = RP.begin_registration(user=JOE, now=NOW, user_verification="discouraged")
    Timer(0.2, cancel.set).start()
    with refused(Code.CANCELLED):
        client(key).make_credential(options, ORIGIN, cancel=cancel)


def test_a_key_pulled_out_in_the_middle_is_removed():
    with refused(Code.REMOVED):
        register(client(plug(make_key(faults=FaultPlan.always(Unplug())))))


class Answering(InProcessDevice):
    """A key that answers each registration with one status."""

    status = 0

    def call(self, cmd, data=b"", event=None, on_keepalive=None):
        if data[:1] == b"\x01":
            return bytes([self.status])
        return super().call(cmd, data, event, on_keepalive)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (0x19, Code.ALREADY_REGISTERED),
        (0x26, Code.NOT_SUPPORTED),
        (0x27, Code.REFUSED),
        (0x28, Code.KEY_STORE_FULL),
        (0x2D, Code.CANCELLED),
        (0x2F, Code.TIMED_OUT),
        (0x32, Code.PIN_BLOCKED),
        (0x34, Code.PIN_NEEDS_REINSERTION),
        (0x35, Code.PIN_NOT_SET),
        (0x36, Code.PIN_NOT_SET),
        (0x3A, Code.TIMED_OUT),
        (0x7F, Code.BROKEN),
        (0xF2, Code.BROKEN),
    ],
)
def test_what_a_key_answers_is_told_by_a_code(status, code):
    key = FidoKey(device=Answering(make_key()), name="key")
    key.device.status = status
    with refused(code):
        register(client(key), user_verification="preferred")


def test_a_key_with_no_room_for_another_passkey_says_so():
    fido = client(plug(make_key(resident_slots=1)))
    register(fido, resident_key="required")
    with refused(Code.KEY_STORE_FULL):
        register(fido, user=ANN, resident_key="required")


def test_a_key_is_not_registered_two_times():
    fido = client(plug(make_key()))
    credential = register(fido)
    with refused(Code.ALREADY_REGISTERED):
        register(fido, exclude=[credential])


def test_a_key_without_the_credential_says_so():
    credential = register(client(plug(make_key())))
    with refused(Code.NO_CREDENTIAL):
        login(client(plug(make_key())), credential)


def test_a_u2f_key_cannot_keep_a_passkey():
    with refused(Code.NOT_SUPPORTED):
        register(client(plug(make_key("u2f"))), resident_key="required")


def test_a_passkey_logs_in_without_a_name_and_of_two_accounts_one_is_chosen():
    prompter = ScriptedPrompter(*[PIN] * 6, account=1)
    fido = client(with_pin(plug(make_key())), prompter=prompter)
    held = [
        register(fido, user=user, resident_key="required", user_verification="required")
        for user in (JOE, ANN)
    ]
    asked, state = RP.begin_authentication(now=NOW, user_verification="required")
    response = json.dumps(fido.get_assertion(asked, ORIGIN))
    known = {each.credential_id: each for each in held}
    proof = RP.complete_authentication(state, response, lookup=known.get, now=NOW)
    names = next(said[1:] for said in prompter.said if said[0] == "account")
    chosen = {"joe": JOE, "ann": ANN}[names[1]]
    assert proof.credential.user_handle == chosen.handle


def test_giving_up_at_the_accounts_is_a_cancel():
    fido = client(plug(make_key()), prompter=ScriptedPrompter(account=None))
    for user in (JOE, ANN):
        register(fido, user=user, resident_key="required")
    asked, _ = RP.begin_authentication(now=NOW, user_verification="discouraged")
    with refused(Code.CANCELLED):
        fido.get_assertion(asked, ORIGIN)


def test_a_cloned_key_raises_the_alarm_at_the_relying_party():
    key = make_key()
    fido = client(plug(key))
    credential = register(fido)
    proof = login(fido, credential)
    key.faults = FaultPlan.always(CounterBack(by=5))
    assert isinstance(login(fido, proof.credential), CloneAlarm)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://bastion.example", "https://bastion.example.evil"]
)
def test_a_ceremony_of_another_site_never_reaches_the_key(origin):
    options, _ = RP.begin_registration(user=JOE, now=NOW)
    prompter = ScriptedPrompter()
    with refused(Code.WRONG_ORIGIN):
        client(plug(make_key()), prompter=prompter).make_credential(options, origin)
    asked, _ = RP.begin_authentication(now=NOW)
    with refused(Code.WRONG_ORIGIN):
        client(plug(make_key()), prompter=prompter).get_assertion(asked, origin)
    assert prompter.said == []


@pytest.mark.parametrize("options", [{}, {"publicKey": {"challenge": 5}}, {"publicKey": {"rp": {"id": "x"}}}])
def test_options_that_are_none_are_refused(options):
    with refused(Code.BAD_OPTIONS):
        client(plug(make_key())).make_credential(options, ORIGIN)


def u2f_registered(key):
    """Return the U2F registration of a virtual key, made by its U2F commands."""
    from fido2.ctap1 import Ctap1  # noqa: PLC0415 -- one use

    from authenticators.fido2.wire import encode_base64url  # noqa: PLC0415 -- one use
    from authenticators.u2f.messages import app_parameter  # noqa: PLC0415 -- one use

    u2f = U2fRelyingParty(facets=TrustedFacets.of(APP_ID, [ORIGIN]))
    _, state = u2f.begin_registration(now=NOW)
    raw = u2f_client_data(ClientDataType.REGISTER, state.challenge, origin=ORIGIN)
    from hashlib import sha256  # noqa: PLC0415 -- one use

    data = Ctap1(key.device).register(sha256(raw).digest(), app_parameter(APP_ID))
    answer = {"registrationData": encode_base64url(bytes(data)), "clientData": encode_base64url(raw)}
    return u2f.complete_registration(state, answer, now=NOW)


@pytest.mark.parametrize("model", ["u2f", "modern"])
def test_a_key_registered_by_u2f_logs_in_after_its_migration(model):
    key = plug(make_key(model))
    credential = migrate(u2f_registered(key), user_handle=JOE.handle)
    former = replace(RP, app_id=APP_ID)
    proof = login(client(key), credential, rp=former)
    assert proof.app_id_used
    assert proof.extensions["appid"] is True


def test_a_new_key_logs_in_beside_a_migrated_one_without_the_app_id():
    old, new = plug(make_key("u2f")), plug(make_key())
    migrated = migrate(u2f_registered(old), user_handle=JOE.handle)
    former = replace(RP, app_id=APP_ID)
    fresh = register(client(new), rp=former)
    proof = login(client(new), fresh, migrated, rp=former)
    assert not proof.app_id_used


def test_an_app_id_of_another_site_is_refused():
    asked, _ = RP.begin_authentication(now=NOW)
    asked["publicKey"]["extensions"] = {"appid": "https://evil.example/facets"}
    with refused(Code.WRONG_ORIGIN):
        client(plug(make_key())).get_assertion(asked, ORIGIN)
    asked["publicKey"]["extensions"] = {"appid": "nonsense"}
    with refused(Code.BAD_OPTIONS):
        client(plug(make_key())).get_assertion(asked, ORIGIN)


def test_without_a_key_the_person_is_told_to_plug_one_in_and_it_is_found():
    found = [[], [], [plug(make_key())]]
    prompter = ScriptedPrompter()
    fido = FidoClient(prompter=prompter, find=lambda: found.pop(0))
    assert register(fido)
    assert prompter.said[0] == ("insert",)


def test_without_a_key_it_ends_after_its_time():
    with refused(Code.NO_DEVICE):
        register(client(seconds=0.1))


def test_a_response_for_one_relying_party_is_worthless_to_another():
    fido = client(plug(make_key()))
    other = RelyingParty(rp_id="other.example", name="o", origins=frozenset({"https://other.example"}))
    asked, state = RP.begin_registration(
        user=User(handle=b"x", name="x", display_name="x"), now=NOW, user_verification="discouraged"
    )
    with refused(WebAuthnErrorCode.WRONG_ORIGIN):
        other.complete_registration(state, json.dumps(fido.make_credential(asked, ORIGIN)), now=NOW)
