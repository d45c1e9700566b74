"""A person's own devices: several, named, each added and removed by the word of another (mission row A7)."""

import pytest

from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, Denied, Invalid, NotFound, ProofNeeded, Unavailable
from appliance.domain.operations.challenges import ChallengeAnswer, ChallengeNamed
from appliance.domain.operations.devices import DeviceBegin, DeviceFinish, DeviceNamed
from appliance.domain.operations.people import CodeProof, WebauthnProof
from tests.support.virtual_keys import make_key

YUBIKEY = DeviceBegin(factor=Factor.WEBAUTHN, name="yubikey")


@pytest.fixture
def joe(box):
    return box.sign_up("joe")


def devices(box, user="joe"):
    return box.person(user, "devices.list").devices


def with_code(box, joe, name, request):
    """Do what needs a proof, by a code of the app."""
    with pytest.raises(ProofNeeded) as error:
        box.person("joe", name, request)
    challenge = error.value.challenge
    box.clock.forward(seconds=30)
    answer = ChallengeAnswer(id=challenge, proof=CodeProof(code=box.code(joe.secret)))
    box.person("joe", "challenges.answer", answer)
    return box.person("joe", name, request, proof=challenge)


def add_key(box, joe):
    offered = with_code(box, joe, "devices.begin", YUBIKEY)
    joe.key = make_key("fingerprint")
    proof = WebauthnProof(response=box.registration(joe, offered.offer.options))
    return box.person("joe", "devices.finish", DeviceFinish(id=offered.id, proof=proof))


def test_a_key_is_added_by_a_code_of_the_app(box, joe):
    added = add_key(box, joe)
    assert (added.name, added.factor, bool(added.model)) == ("yubikey", Factor.WEBAUTHN, True)
    assert [one.name for one in devices(box)] == ["phone", "yubikey"]
    (event,) = [one for one in box.events("mfa.add") if one["device"] == "yubikey"]
    assert (event["user"], bool(event["challenge"])) == ("joe", True)


def test_a_second_app_is_added_and_both_work(box, joe):
    begin = DeviceBegin(factor=Factor.TOTP, name="tablet")
    offered = with_code(box, joe, "devices.begin", begin)
    proof = CodeProof(code=box.code(offered.offer.secret))
    box.person("joe", "devices.finish", DeviceFinish(id=offered.id, proof=proof))
    box.accepted(joe)
    joe.secret = offered.offer.secret
    box.accepted(joe)
    assert all(one.last_used for one in devices(box))


def test_nothing_is_added_without_a_proof(box, joe):
    with pytest.raises(ProofNeeded):
        box.person("joe", "devices.begin", YUBIKEY)
    with pytest.raises(NotFound):
        box.person("joe", "devices.finish", DeviceFinish(id="x", proof=CodeProof(code="1")))
    assert len(devices(box)) == 1


def test_a_proof_for_one_device_adds_no_other(box, joe):
    with pytest.raises(ProofNeeded) as error:
        box.person("joe", "devices.begin", YUBIKEY)
    box.clock.forward(seconds=30)
    proof = CodeProof(code=box.code(joe.secret))
    box.person("joe", "challenges.answer", ChallengeAnswer(id=error.value.challenge, proof=proof))
    other = DeviceBegin(factor=Factor.WEBAUTHN, name="evil")
    with pytest.raises(Denied):
        box.person("joe", "devices.begin", other, proof=error.value.challenge)


def test_the_last_one_stays_while_a_factor_is_required(box, joe):
    (phone,) = devices(box)
    with pytest.raises(Conflict, match="last second factor"):
        box.person("joe", "devices.remove", DeviceNamed(id=phone.id))


def test_a_device_is_removed_by_the_word_of_another_and_not_by_its_own(box, joe):
    add_key(box, joe)
    phone = devices(box)[0]
    with pytest.raises(ProofNeeded) as error:
        box.person("joe", "devices.remove", DeviceNamed(id=phone.id))
    challenge = error.value.challenge
    shown = box.person("joe", "challenges.show", ChallengeNamed(id=challenge))
    assert (shown.factors, shown.words[1]) == (("webauthn",), "totp: phone")
    box.clock.forward(seconds=30)
    code = ChallengeAnswer(id=challenge, proof=CodeProof(code=box.code(joe.secret)))
    with pytest.raises(Denied):
        box.person("joe", "challenges.answer", code)
    shown = box.person("joe", "challenges.show", ChallengeNamed(id=challenge))
    proof = WebauthnProof(response=box.assertion(joe, shown.webauthn))
    box.person("joe", "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))
    left = box.person("joe", "devices.remove", DeviceNamed(id=phone.id), proof=challenge)
    assert [one.name for one in left.devices] == ["yubikey"]
    assert box.events("mfa.delete")[0]["device"] == "phone"


def test_a_stolen_device_can_be_taken_out_with_another_one(box, joe):
    key = add_key(box, joe)
    left = with_code(box, joe, "devices.remove", DeviceNamed(id=key.id))
    assert [one.name for one in left.devices] == ["phone"]


def test_the_same_key_is_not_added_twice(box, joe):
    add_key(box, joe)
    offered = with_code(box, joe, "devices.begin", DeviceBegin(factor=Factor.WEBAUTHN, name="again"))
    assert len(offered.offer.options["publicKey"]["excludeCredentials"]) == 1


@pytest.mark.parametrize("name", ["phone", "x" * 65, "a\nb"])
def test_names_are_told_apart_and_printable(box, joe, name):
    with pytest.raises(Invalid):
        box.person("joe", "devices.begin", DeviceBegin(factor=Factor.WEBAUTHN, name=name))


def test_devices_of_others_are_not_there(box, joe):
    box.sign_up("ann")
    (phone,) = devices(box)
    with pytest.raises(NotFound):
        box.person("ann", "devices.remove", DeviceNamed(id=phone.id))


def test_an_addition_that_cannot_be_recorded_is_none(box, joe):
    offered = with_code(box, joe, "devices.begin", YUBIKEY)
    joe.key = make_key("fingerprint")
    proof = WebauthnProof(response=box.registration(joe, offered.offer.options))
    box.trail.broken = True
    with pytest.raises(Unavailable):
        box.person("joe", "devices.finish", DeviceFinish(id=offered.id, proof=proof))
    assert len(devices(box)) == 1
