"""Administrative actions ask a person for a fresh proof over exactly this action (mission row M1)."""

import base64
import hashlib
import json

import pytest
from fido2 import cbor
from fido2.cose import CoseKey

from appliance.broker.broker import table
from appliance.domain.errors import Denied, NotFound, ProofNeeded, Throttled, Unavailable
from appliance.domain.operations import OPERATIONS, Caller
from appliance.domain.operations.challenges import ChallengeAnswer, ChallengeNamed
from appliance.domain.operations.people import CodeProof, PasswordProof, UserCreate, UserNamed, WebauthnProof
from appliance.domain.operations.resources import Documents
from authenticators.fido2.ceremony import derive_challenge

ADD_DAN = UserCreate(name="dan")
HARMLESS = frozenset(
    {
        "access.list",
        "access.why",
        "authorities.list",
        "browser_logins.answer",
        "browser_logins.show",
        "certificates.list",
        "challenges.answer",
        "challenges.show",
        "cluster.ping",
        "devices.begin",
        "devices.finish",
        "devices.list",
        "devices.remove",
        "events.list",
        "krl.read",
        "me.show",
        "nodes.list",
        "recordings.export",
        "recordings.read",
        "resources.get",
        "resources.preview",
        "rotation.list",
        "sessions.list",
        "token.status",
        "users.list",
        "web_sessions.end",
    }
)
"""What people may call without a proof: it reads, or is about what is their own."""


def settings(factors):
    return Documents(
        text="kind: cluster_auth_preference\nversion: v2\nmetadata: {name: cluster-auth-preference}\n"
        f"spec: {{second_factors: {factors}, admin_action_mfa: 'on'}}\n",
        replace=True,
    )


@pytest.fixture
def eve(box):
    eve = box.sign_up_with_key("eve", roles=("editor",))
    box.console("resources.apply", settings("[webauthn, otp]"))
    return eve


def needed(box, user, name, request):
    with pytest.raises(ProofNeeded) as error:
        box.person(user, name, request)
    return error.value.challenge


def show(box, user, challenge):
    return box.person(user, "challenges.show", ChallengeNamed(id=challenge))


def touch(box, person, challenge):
    shown = show(box, person.name, challenge)
    proof = WebauthnProof(response=box.assertion(person, shown.webauthn))
    return box.person(person.name, "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))


def test_every_operation_people_may_call_is_an_administrative_action_or_listed_as_harmless():
    for_people = {name for name, one in OPERATIONS.items() if Caller.PERSON in one.callers}
    unmarked = {name for name in for_people if not OPERATIONS[name].admin}
    assert unmarked == HARMLESS


def test_no_way_around_the_table(box):
    assert table(box.rooms).keys() == OPERATIONS.keys()


def test_an_administrator_adds_a_user_with_a_touch(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    assert box.state.users.find("dan") is None
    shown = show(box, "eve", challenge)
    assert shown.words[0] == "Make an account and its sign-up link"
    assert "name: dan" in shown.words
    touch(box, eve, challenge)
    link = box.person("eve", "users.create", ADD_DAN, proof=challenge)
    assert link.user == "dan"
    (event,) = box.events("admin_action.confirmed")
    assert (event["user"], event["operation"], event["challenge"]) == ("eve", "users.create", challenge)


def test_anyone_can_verify_later_who_said_yes_to_what(box, eve):
    touch(box, eve, needed(box, "eve", "users.create", ADD_DAN))
    (event,) = box.events("mfa_auth_challenge.validate")
    digest = hashlib.sha256(b"sallyport challenge v1\n" + event["canonical"].encode()).digest()
    signed = json.loads(_bytes(event["client_data_json"]))
    assert _bytes(signed["challenge"]) == derive_challenge(digest=digest, nonce=_bytes(event["nonce"]))
    key = CoseKey.parse(cbor.decode(_bytes(event["public_key"])))
    message = _bytes(event["authenticator_data"]) + hashlib.sha256(_bytes(event["client_data_json"])).digest()
    key.verify(message, _bytes(event["signature"]))
    said = json.loads(event["canonical"])
    assert (said["user"], said["facts"]["operation"]) == ("eve", "users.create")


def _bytes(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_proof_is_good_for_one_call(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    touch(box, eve, challenge)
    box.person("eve", "users.create", ADD_DAN, proof=challenge)
    with pytest.raises(Denied):
        box.person("eve", "users.create", ADD_DAN, proof=challenge)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("users.create", UserCreate(name="mallory")),
        ("users.create", UserCreate(name="dan", roles=("editor",))),
        ("users.reset", UserNamed(name="eve")),
    ],
)
def test_a_proof_is_good_for_nothing_else(box, eve, name, request_):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    touch(box, eve, challenge)
    with pytest.raises(Denied, match="something else"):
        box.person("eve", name, request_, proof=challenge)


def test_a_proof_is_void_once_what_it_changes_was_changed(box, eve):
    box.invite("dan")
    reset = UserNamed(name="dan")
    challenge = needed(box, "eve", "users.reset", reset)
    touch(box, eve, challenge)
    box.console("users.reset", reset)
    with pytest.raises(Denied, match="something else"):
        box.person("eve", "users.reset", reset, proof=challenge)


def test_a_challenge_that_nobody_met_is_no_proof(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    with pytest.raises(Denied):
        box.person("eve", "users.create", ADD_DAN, proof=challenge)
    with pytest.raises(Denied):
        box.person("eve", "users.create", ADD_DAN, proof="0" * 48)


def test_another_person_can_neither_see_nor_answer_nor_use_it(box, eve):
    ann = box.sign_up_with_key("ann", roles=("editor",))
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    with pytest.raises(NotFound):
        touch(box, ann, challenge)
    touch(box, eve, challenge)
    with pytest.raises(Denied):
        box.person("ann", "users.create", ADD_DAN, proof=challenge)


def test_it_ends_after_five_minutes(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    touch(box, eve, challenge)
    box.clock.forward(seconds=300)
    with pytest.raises(Denied):
        box.person("eve", "users.create", ADD_DAN, proof=challenge)


def test_a_clock_set_back_does_not_extend_it(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    touch(box, eve, challenge)
    box.clock.forward(seconds=-3600)
    with pytest.raises(Denied):
        box.person("eve", "users.create", ADD_DAN, proof=challenge)


def test_a_code_counts_where_the_cluster_allows_it(box):
    joe = box.sign_up("joe", roles=("editor",))
    box.console("resources.apply", settings("[webauthn, otp]"))
    challenge = needed(box, "joe", "users.create", ADD_DAN)
    box.clock.forward(seconds=30)
    proof = CodeProof(code=box.code(joe.secret))
    box.person("joe", "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))
    assert box.person("joe", "users.create", ADD_DAN, proof=challenge).user == "dan"


def test_where_webauthn_is_the_only_factor_a_code_is_nothing_and_the_check_is_automatic(box):
    joe = box.sign_up("joe", roles=("editor",))
    box.sign_up_with_key("eve", roles=("editor",))
    text = settings("[webauthn]").text.replace(", admin_action_mfa: 'on'", "")
    box.console("resources.apply", Documents(text=text, replace=True))
    with pytest.raises(Denied):
        box.person("joe", "users.create", ADD_DAN)
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    proof = CodeProof(code=box.code(joe.secret))
    with pytest.raises(Denied):
        box.person("eve", "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))


def test_a_named_batch_asks_once(box, eve):
    text = "---\n".join(
        f"kind: role\nversion: v7\nmetadata: {{name: r{number}}}\nspec: {{}}\n" for number in range(10)
    )
    batch = Documents(text=text)
    challenge = needed(box, "eve", "resources.apply", batch)
    assert "role/r7" in show(box, "eve", challenge).words
    touch(box, eve, challenge)
    done = box.person("eve", "resources.apply", batch, proof=challenge)
    assert [one.action for one in done.changes] == ["created"] * 10


def test_the_console_is_exempt(box, eve):
    assert box.console("users.create", ADD_DAN).user == "dan"


def test_an_answer_to_an_older_look_is_refused(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    old = show(box, "eve", challenge)
    show(box, "eve", challenge)
    proof = WebauthnProof(response=box.assertion(eve, old.webauthn))
    with pytest.raises(Denied):
        box.person("eve", "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))


def test_a_sign_in_assertion_confirms_nothing(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    begun = box.begin("eve")
    pending = box.prove(begun.attempt, PasswordProof(password=eve.password))
    show(box, "eve", challenge)
    proof = WebauthnProof(response=box.assertion(eve, pending.webauthn))
    with pytest.raises(Denied):
        box.person("eve", "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))


def test_guessing_codes_is_slowed(box):
    box.sign_up("joe", roles=("editor",))
    box.console("resources.apply", settings("[webauthn, otp]"))
    answers = [_guess(box) for _ in range(10)]
    assert answers[0] is Denied
    assert answers[-1] is Throttled


def _guess(box):
    challenge = needed(box, "joe", "users.create", ADD_DAN)
    answer = ChallengeAnswer(id=challenge, proof=CodeProof(code="000000"))
    with pytest.raises((Denied, Throttled)) as error:
        box.person("joe", "challenges.answer", answer)
    return error.type


def test_nothing_happens_when_the_confirmation_cannot_be_recorded(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    touch(box, eve, challenge)
    box.trail.broken = True
    with pytest.raises(Unavailable):
        box.person("eve", "users.create", ADD_DAN, proof=challenge)
    assert box.state.users.find("dan") is None


def test_an_answer_that_cannot_be_recorded_is_none(box, eve):
    challenge = needed(box, "eve", "users.create", ADD_DAN)
    proof = WebauthnProof(response=box.assertion(eve, show(box, "eve", challenge).webauthn))
    box.trail.broken = True
    with pytest.raises(Unavailable):
        box.person("eve", "challenges.answer", ChallengeAnswer(id=challenge, proof=proof))
    box.trail.broken = False
    with pytest.raises(Denied):
        box.person("eve", "users.create", ADD_DAN, proof=challenge)
