"""k of n holders, each with a YubiKey's HMAC challenge-response."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authenticators.devices.yubikey import YubiKeySlot
from authenticators.otp.challenge_response import SoftwareResponder
from authenticators.secret import Secret as HolderSecret
from authenticators.virtual.transports.python_yubico import plugged
from hsm import sealing
from hsm.errors import Malformed
from hsm.sealing import Gathering, SealError, dump, load, renew, seal
from hsm.secret import Secret
from tests.support.prompts import ScriptedPrompter
from tests.support.virtual_keys import make_key

PIN = Secret("493817")


def make_keys(*names):
    return {name: SoftwareResponder(HolderSecret(os.urandom(20))) for name in names}


def gather(sealed, keys):
    gathering = Gathering(sealed)
    for name, key in keys.items():
        gathering.add(name, key)
    return gathering.pin()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_any_k_holders_open_it_and_no_fewer(sizes):
    n, k = sizes
    keys = make_keys(*(f"holder{number}" for number in range(n)))
    sealed = load(dump(seal(PIN, keys, k, "main", os.urandom)))
    for some in itertools.combinations(keys, k):
        assert gather(sealed, {name: keys[name] for name in some}) == PIN
    for few in itertools.combinations(keys, k - 1):
        with pytest.raises(SealError, match="1 more"):
            gather(sealed, {name: keys[name] for name in few})


def test_fewer_holders_lack_a_piece_in_fact_and_not_only_by_the_count():
    keys = make_keys("ann", "bob", "eve")
    gathering = Gathering(seal(PIN, keys, 2, "main", os.urandom))
    gathering.add("ann", keys["ann"])
    assert set(gathering._pieces) == {("bob",), ("eve",)}
    gathering._present.add("bob")
    with pytest.raises(SealError, match="belong together"):
        gathering.pin()


def test_a_wrong_key_and_a_stranger_are_found_at_once():
    keys = make_keys("ann", "bob")
    sealed = seal(PIN, keys, 2, "main", os.urandom)
    with pytest.raises(SealError, match="not the key of 'ann'"):
        Gathering(sealed).add("ann", keys["bob"])
    with pytest.raises(SealError, match="not a holder"):
        Gathering(sealed).add("eve", keys["bob"])


def test_pieces_of_another_sealing_do_not_open_this_one():
    keys = make_keys("ann", "bob", "eve")
    old, new = (seal(PIN, keys, 2, "main", os.urandom) for _ in range(2))
    mixed = sealing.replace(new, holders=(old.holders[0], *new.holders[1:]))
    with pytest.raises(SealError):
        gather(mixed, {"ann": keys["ann"], "bob": keys["bob"]})
    same_id = sealing.replace(mixed, set_id=old.set_id)
    with pytest.raises(SealError):
        gather(same_id, {"bob": keys["bob"], "eve": keys["eve"]})


def test_a_changed_seal_opens_nothing():
    keys = make_keys("ann", "bob")
    text = dump(seal(PIN, keys, 1, "main", os.urandom))
    data = json.loads(text)
    for change in (
        {"threshold": 2},
        {"cluster": "other"},
        {"set_id": "00" * 16},
        {"ciphertext": "00" * 22},
        {"check": "00" * 32},
    ):
        with pytest.raises(SealError):
            gather(load(json.dumps({**data, **change})), keys)


def test_a_renewed_challenge_replaces_the_old_answer():
    keys = make_keys("ann", "bob")
    sealed = seal(PIN, keys, 2, "main", os.urandom)
    renewed = renew(sealed, "ann", keys["ann"], os.urandom)
    assert gather(renewed, keys) == PIN
    assert renewed.holder("ann").challenge != sealed.holder("ann").challenge
    recorded = keys["ann"].respond(sealed.holder("ann").challenge)

    class Recorded:
        def respond(self, challenge):
            return recorded

    assert Gathering(sealed).add("ann", Recorded()) == 1
    with pytest.raises(SealError):
        Gathering(renewed).add("ann", Recorded())


def test_the_file_holds_neither_pin_nor_key():
    keys = make_keys("ann", "bob")
    text = dump(seal(PIN, keys, 1, "main", os.urandom))
    assert PIN.reveal_text() not in text
    assert PIN.reveal().hex() not in text


def test_two_of_three_virtual_yubikeys_open_it_through_python_yubico_itself():
    plugged_in = {name: make_key() for name in ("ann", "bob", "eve")}
    with plugged(*plugged_in.values()):
        slots = {
            name: YubiKeySlot(prompter=ScriptedPrompter(), serial=key.state.serial)
            for name, key in plugged_in.items()
        }
        for slot in slots.values():
            slot.program(HolderSecret(os.urandom(20)), touch=False)
        sealed = seal(PIN, slots, 2, "main", os.urandom)
        assert gather(sealed, {name: slots[name] for name in ("ann", "eve")}) == PIN
        with pytest.raises(SealError):
            Gathering(sealed).add("ann", slots["bob"])
        renewed = renew(sealed, "eve", slots["eve"], os.urandom)
        assert gather(renewed, {name: slots[name] for name in ("bob", "eve")}) == PIN


@pytest.mark.parametrize(
    ("names", "threshold"), [((), 1), (("ann",), 2), (("ann",), 0), (tuple("abcdefgh"), 2), (("Ann",), 1)]
)
def test_impossible_seals_are_refused(names, threshold):
    with pytest.raises(Malformed):
        seal(PIN, make_keys(*names), threshold, "main", os.urandom)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', "null"])
def test_what_is_no_seal_is_malformed(text):
    with pytest.raises(Malformed):
        load(text)
