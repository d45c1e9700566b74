import json
import os
import re
from dataclasses import replace

import pytest

from authenticators.virtual.codec import from_json, to_json
from authenticators.virtual.errors import KeyFileError
from authenticators.virtual.profile import PROFILES, profile_named
from authenticators.virtual.state import KeyState, OathAccount, OtpSlot, PivKey, ResidentCredential
from authenticators.virtual.store import KeyFile
from tests.support.virtual_keys import make_key, seeded


def full_state() -> KeyState:
    state = KeyState.fresh(profile_named("modern"), seeded(1))
    slot = OtpSlot(
        fixed=b"f",
        uid=bytes(6),
        key=bytes(16),
        access_code=bytes(6),
        extended_flags=1,
        ticket_flags=2,
        config_flags=3,
    )
    passkey = ResidentCredential(
        credential_id=b"id", rp_id="a", rp_name="A", user_id=b"u", user_name=None, user_display_name="J"
    )
    return replace(
        state,
        fido=replace(state.fido, pin_hash=b"p" * 16, resident=(passkey,)),
        otp=replace(state.otp, slot2=slot),
        oath=replace(state.oath, accounts=(OathAccount(name=b"n", kind=0x21, digits=6, secret=b"s"),)),
        piv=replace(
            state.piv,
            keys=(PivKey(slot=0x9A, algorithm=0x11, private_key=b"k", pin_policy=2, touch_policy=1),),
        ),
    )


@pytest.mark.parametrize("model", PROFILES)
def test_a_fresh_state_survives_json(model):
    state = KeyState.fresh(profile_named(model), os.urandom)
    assert from_json(KeyState, json.loads(json.dumps(to_json(state)))) == state


def test_a_full_key_file_is_read_back_and_is_closed_to_others(tmp_path):
    file = KeyFile(tmp_path / "key.json")
    file.create(full_state())
    assert file.load() == full_state()
    assert file.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="exists already"):
        file.create(full_state())


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    file = KeyFile(tmp_path / "key.json")
    file.create(full_state())
    file.path.chmod(0o644)
    with pytest.raises(KeyFileError, match="others can read it"):
        file.load()


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.update(format="other"),
        lambda document: document["key"].pop("fido"),
        lambda document: document["key"].update(extra=1),
        lambda document: document["key"].update(serial="7"),
        lambda document: document["key"]["fido"].update(master_key="*"),
        lambda document: document["key"]["profile"].update(attestation="bought"),
        lambda document: document["key"]["profile"].update(firmware=[5, 7]),
        lambda document: document["key"]["piv"].update(keys=3),
    ],
)
def test_a_damaged_key_file_is_refused(tmp_path, damage):
    file = KeyFile(tmp_path / "key.json")
    file.create(full_state())
    document = json.loads(file.path.read_text())
    damage(document)
    file.path.write_text(json.dumps(document))
    with pytest.raises(KeyFileError):
        file.load()


def test_a_missing_key_file_and_one_without_json_are_refused(tmp_path):
    with pytest.raises(KeyFileError):
        KeyFile(tmp_path / "none").load()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(KeyFileError):
        KeyFile(tmp_path / "text").load()


def test_no_secret_is_in_the_printed_form_of_a_state():
    state = full_state()
    printed = repr(state)
    for secret in (state.fido.master_key, state.piv.pin, state.piv.management_key, b"s" * 3):
        assert repr(secret) not in printed
    assert not re.search(r"private_key=|master_key=|pin_hash=|secret=", printed)


def test_the_same_randomness_makes_the_same_key():
    assert make_key(entropy=seeded(7)).state == make_key(entropy=seeded(7)).state
