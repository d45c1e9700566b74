"""What only a PKCS#11 token does: handles that die, tokens that are pulled, objects of other people."""

from __future__ import annotations

import multiprocessing
import subprocess
import threading
import time
from types import SimpleNamespace

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.constants import TokenFlag

from hsm import pkcs11_module, uri
from hsm.encoding import signature
from hsm.errors import KeyExists, Malformed, PinLocked, PinRefused, TokenFault, TokenGone, Unsupported
from hsm.naming import Namespace
from hsm.pkcs11 import Pkcs11Provider
from hsm.profiles import PROFILES, ProfileName
from hsm.provider import Algorithm
from hsm.secret import Secret
from tests.support import softhsm

LABEL = "sallyport:main:user:1"


@pytest.fixture
def store():
    return softhsm.shared_store()


@pytest.fixture
def label():
    return softhsm.fresh_label()


@pytest.fixture
def token(store, label):
    return store.make_token(label)


def _open(store, label, pin="1234", **settings):
    where = uri.parse(store.uri(label))
    return Pkcs11Provider(uri=where, pin=Secret(pin), namespace=Namespace(cluster="main"), **settings)


@pytest.fixture
def provider(store, label, token):
    with _open(store, label) as opened:
        yield opened


def test_a_key_says_that_it_cannot_leave_and_cannot_be_made_to(provider):
    provider.create(LABEL, Algorithm.P256)
    private = provider._session.raw.get_key(object_class=ObjectClass.PRIVATE_KEY, label=LABEL)
    assert private[Attribute.SENSITIVE]
    assert private[Attribute.ALWAYS_SENSITIVE]
    assert not private[Attribute.EXTRACTABLE]
    assert private[Attribute.NEVER_EXTRACTABLE]
    assert private[Attribute.LOCAL]
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        private[Attribute.VALUE]
    with pytest.raises(pkcs11.exceptions.AttributeReadOnly):
        private[Attribute.EXTRACTABLE] = True


def test_the_token_is_pulled_while_threads_sign_and_put_back_and_the_same_provider_goes_on(
    store, token, provider
):
    made = provider.create(LABEL, Algorithm.P256)
    outcomes, stop = [], threading.Event()

    def sign():
        while not stop.is_set():
            try:
                signed = provider.sign(LABEL, b"message")
                outcomes.append(signature.verify(made.public_key, b"message", signed))
            except TokenGone:
                outcomes.append(None)

    threads = [threading.Thread(target=sign) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    store.pull(token)
    time.sleep(0.3)
    store.put_back(token)
    time.sleep(0.4)
    stop.set()
    for thread in threads:
        thread.join()
    assert None in outcomes
    assert False not in outcomes
    assert outcomes[0] is True
    assert outcomes[-1] is True


def test_a_lost_session_is_opened_again_without_anybody_noticing(provider):
    made = provider.create(LABEL, Algorithm.ED25519)
    provider._session.raw.close()
    assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_handles_of_an_earlier_life_of_the_module_are_looked_up_again(provider):
    made = provider.create(LABEL, Algorithm.P256)
    provider._module.lib.reinitialize()
    assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_two_providers_of_one_process_survive_each_others_recovery(store, label, provider):
    made = provider.create(LABEL, Algorithm.P256)
    with _open(store, label) as other:
        provider._module.lib.reinitialize()
        for _ in range(3):
            for each in (provider, other):
                assert signature.verify(made.public_key, b"m", each.sign(LABEL, b"m"))
    assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_another_token_of_the_same_name_does_not_get_the_pin(store, label, token, provider):
    provider.create(LABEL, Algorithm.P256)
    store.pull(token)
    store.make_token(label, pin="other-pin")
    with pytest.raises(TokenGone, match="another token"):
        provider.sign(LABEL, b"m")


def test_a_pin_that_was_refused_is_not_tried_again(store, label, provider):
    provider.create(LABEL, Algorithm.P256)
    change = [
        "pkcs11-tool",
        "--module",
        str(softhsm.MODULE),
        "--token-label",
        label,
        "--login",
        "--pin",
        "1234",
    ]
    subprocess.run(
        [*change, "--change-pin", "--new-pin", "9999"], check=True, env=store.environment, capture_output=True
    )
    provider._module.lib.reinitialize()
    with pytest.raises(PinRefused, match="refused the PIN"):
        provider.sign(LABEL, b"m")
    with pytest.raises(PinRefused, match="no PIN is held"):
        provider.sign(LABEL, b"m")


def test_the_last_try_is_left_to_a_person():
    with pytest.raises(PinRefused) as refused:
        pkcs11_module.check_pin_state(SimpleNamespace(flags=TokenFlag.USER_PIN_FINAL_TRY))
    assert refused.value.tries_left == 1
    with pytest.raises(PinLocked):
        pkcs11_module.check_pin_state(SimpleNamespace(flags=TokenFlag.USER_PIN_LOCKED))


def _snapshot(session):
    """Everything that can be read of every object on the token."""
    found = []
    for item in session.get_objects():
        readable = {}
        for attribute in (
            Attribute.CLASS,
            Attribute.LABEL,
            Attribute.ID,
            Attribute.VALUE,
            Attribute.EC_POINT,
        ):
            try:
                readable[attribute] = item[attribute]
            except pkcs11.exceptions.PKCS11Error:
                continue
        found.append(readable)
    return sorted(found, key=repr)


def test_foreign_objects_on_the_token_stay_as_they_are(store, label, provider):
    module = pkcs11.lib(str(softhsm.MODULE))
    session = provider._session.raw
    assert module.get_token(token_label=label)
    session.generate_keypair(KeyType.RSA, 2048, store=True, label="mail", id=b"\x01")
    session.generate_key(KeyType.AES, 256, store=True, label="backup")
    session.create_object(
        {
            Attribute.CLASS: ObjectClass.DATA,
            Attribute.TOKEN: True,
            Attribute.LABEL: "note",
            Attribute.VALUE: b"x",
        }
    )
    parameters = {Attribute.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}
    curve = session.create_domain_parameters(KeyType.EC, parameters, local=True)
    curve.generate_keypair(store=True, label="sallyport:other:user:1")
    curve.generate_keypair(store=True, label="sallyport:main:user:")
    before = _snapshot(session)
    provider.create(LABEL, Algorithm.P256)
    assert [key.label for key in provider.list()] == [LABEL]
    provider.sign(LABEL, b"m")
    provider.delete(LABEL)
    assert _snapshot(provider._session.raw) == before


def test_an_object_that_has_our_label_but_is_no_key_pair_is_not_overwritten(provider):
    provider._session.raw.generate_key(KeyType.AES, 256, store=True, label=LABEL)
    with pytest.raises(KeyExists):
        provider.create(LABEL, Algorithm.P256)


def test_two_keys_of_one_name_are_a_fault_and_not_a_choice(provider):
    provider.create(LABEL, Algorithm.P256)
    session = provider._session.raw
    parameters = {Attribute.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}
    curve = session.create_domain_parameters(KeyType.EC, parameters, local=True)
    curve.generate_keypair(store=True, label=LABEL, id=Namespace(cluster="main").key_id(LABEL))
    provider._session.handles.clear()
    with pytest.raises(TokenFault, match="several keys"):
        provider.sign(LABEL, b"m")


def _use_in_child(provider, queue):
    try:
        provider.sign(LABEL, b"m")
    except TokenFault as error:
        queue.put(str(error))
    else:
        queue.put("signed")


def test_a_forked_child_cannot_sign_with_the_parents_login(provider):
    provider.create(LABEL, Algorithm.P256)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_use_in_child, args=(provider, queue))
    child.start()
    assert "does not survive a fork" in queue.get(timeout=10)
    child.join()


def test_a_profile_without_edwards_keys_offers_none(store, label, token):
    with _open(store, label, profile=PROFILES[ProfileName.NITROKEY_HSM]) as provider:
        assert Algorithm.ED25519 not in provider.probe().algorithms
        with pytest.raises(Unsupported):
            provider.create(LABEL, Algorithm.ED25519)


def test_a_profile_with_short_ids_keeps_to_them(store, label, token):
    with _open(store, label, profile=PROFILES[ProfileName.YUBIHSM2]) as provider:
        made = provider.create(LABEL, Algorithm.P256)
        private = provider._session.raw.get_key(object_class=ObjectClass.PRIVATE_KEY, label=LABEL)
        assert len(private[Attribute.ID]) == 2
        assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_a_token_that_is_not_there_and_a_file_that_is_no_module_are_told_apart(store, tmp_path):
    with pytest.raises(TokenGone):
        _open(store, "no-such-token")
    nothing = tmp_path / "module.so"
    nothing.write_text("no module")
    where = uri.parse(f"pkcs11:token=x?module-path={nothing}")
    with pytest.raises(Malformed):
        Pkcs11Provider(uri=where, pin=Secret("1"), namespace=Namespace(cluster="main"))
