"""Signing in: what is proved, in which order, once, and what it costs those who guess."""

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest

from appliance.authn import password as password_module
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, NotFound, Throttled
from appliance.domain.operations import people
from tests.support import auth_box as support
from tests.support.auth_box import HERE, PASSWORD, token_of

REFUSED = "the name, password or code is wrong"
ELSEWHERE = "198.51.100.9"


def password(text=PASSWORD):
    return people.PasswordProof(password=text)


def code(box, person, *, ahead=0):
    return people.CodeProof(code=box.code(person.secret, ahead=ahead))


def spend(box, attempt, *, source=HERE):
    return box.web("web_sessions.create", people.WebSessionCreate(attempt=attempt, source=source))


@pytest.fixture
def joe(box):
    return box.sign_up("joe")


def refused(box, attempt, *proofs, source=HERE):
    with pytest.raises(Denied) as error:
        box.prove(attempt, *proofs, source=source)
    assert str(error.value) == REFUSED
    assert "error" in box.events("auth")[-1]
    return error.value.reason


# in order, together, and no other way


def test_password_and_code_together_are_enough(box, joe):
    done = box.prove(box.begin("joe").attempt, password(), code(box, joe))
    assert isinstance(done, people.AttemptAccepted)
    assert box.events("auth")[-1]["factors"] == ["password", "totp"]


def test_password_first_and_code_later_is_enough(box, joe):
    begun = box.begin("joe")
    pending = box.prove(begun.attempt, password())
    assert pending.factors == (Factor.RECOVERY_CODE, Factor.TOTP)
    assert isinstance(box.prove(begun.attempt, code(box, joe)), people.AttemptAccepted)


def test_the_password_alone_opens_nothing(box, joe):
    begun = box.begin("joe")
    box.prove(begun.attempt, password())
    with pytest.raises(Denied, match="sign in first"):
        spend(box, begun.attempt)


def test_a_code_before_the_password_is_refused_and_not_used_up(box, joe):
    """Otherwise a code can be guessed by itself, and a recovery code burnt by a stranger."""
    begun = box.begin("joe")
    assert "out of its turn" in refused(box, begun.attempt, code(box, joe))
    box.prove(box.begin("joe").attempt, password(), code(box, joe))


def test_a_right_code_beside_a_wrong_password_is_not_used_up(box, joe):
    refused(box, box.begin("joe").attempt, code(box, joe), password("wrong password"))
    box.prove(box.begin("joe").attempt, password(), code(box, joe))


def test_a_wrong_code_beside_the_right_password_says_no_more_than_the_other_way_round(box, joe):
    assert refused(box, box.begin("joe").attempt, password(), people.CodeProof(code="000000")) == (
        "wrong or used code"
    )


def test_the_number_of_proofs_is_bounded(box, joe):
    attempt = box.begin("joe").attempt
    for proofs in ((), (password(),) * 5):
        with pytest.raises(NotFound):
            box.prove(attempt, *proofs)


# once


def test_a_code_is_good_once_and_an_older_one_never_again(box, joe):
    box.prove(box.begin("joe").attempt, password(), code(box, joe))
    refused(box, box.begin("joe").attempt, password(), code(box, joe))
    refused(box, box.begin("joe").attempt, password(), code(box, joe, ahead=-1))
    box.clock.forward(seconds=30)
    box.prove(box.begin("joe").attempt, password(), code(box, joe))


def in_parallel(calls):
    """Run the calls at the same moment; return what came out, errors by their reason."""
    meeting, outcomes = threading.Barrier(len(calls)), []

    def run(call):
        meeting.wait(10)
        try:
            outcomes.append(type(call()).__name__)
        except Denied as error:
            outcomes.append(error.reason)
        except Throttled:
            outcomes.append("throttled")

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    return Counter(outcomes)


def test_of_two_that_use_one_code_at_once_one_wins(box, joe):
    attempts = [box.begin("joe").attempt for _ in range(4)]
    proofs = password(), code(box, joe)
    outcomes = in_parallel([lambda one=one: box.prove(one, *proofs) for one in attempts])
    assert outcomes["AttemptAccepted"] == 1


def test_of_many_that_use_one_recovery_code_at_once_one_wins(box, joe):
    attempts = [box.begin("joe").attempt for _ in range(4)]
    proofs = password(), people.CodeProof(code=joe.recovery_codes[0])
    outcomes = in_parallel([lambda one=one: box.prove(one, *proofs) for one in attempts])
    assert outcomes["AttemptAccepted"] == 1


def test_a_recovery_code_works_once_and_leaves_a_trace(box, joe):
    proof = people.CodeProof(code=joe.recovery_codes[3])
    assert isinstance(box.prove(box.begin("joe").attempt, password(), proof), people.AttemptAccepted)
    assert box.events("recovery_code.used")[0]["user"] == "joe"
    refused(box, box.begin("joe").attempt, password(), proof)


def test_an_attempt_is_spent_once(box, joe):
    attempt = box.accepted(joe)
    spend(box, attempt)
    with pytest.raises(Denied, match="sign in first"):
        spend(box, attempt)
    with pytest.raises(NotFound):
        box.prove(attempt, password())
    assert box.events("access.denied")[-1]["operation"] == "web_sessions.create"


def test_of_two_that_spend_one_attempt_at_once_one_wins(box, joe):
    attempt = box.accepted(joe)
    outcomes = in_parallel([lambda: spend(box, attempt)] * 4)
    assert outcomes["WebSessionCreated"] == 1


def test_an_attempt_ends_after_five_minutes(box, joe):
    begun, done = box.begin("joe"), box.accepted(joe)
    box.clock.forward(minutes=5)
    with pytest.raises(NotFound):
        box.prove(begun.attempt, password())
    with pytest.raises(Denied):
        spend(box, done)


def test_an_attempt_belongs_to_where_it_was_begun(box, joe):
    begun = box.begin("joe")
    assert "proved from" in refused(box, begun.attempt, password(), code(box, joe), source=ELSEWHERE)
    attempt = box.accepted(joe)
    with pytest.raises(Denied, match="sign in first"):
        spend(box, attempt, source=ELSEWHERE)
    assert "spent from" in box.events("access.denied")[-1]["error"]


def test_two_sign_ins_at_once_do_not_complete_each_other(box, joe):
    """M08: what was proved in one attempt counts in that one."""
    one, other = box.begin("joe"), box.begin("joe")
    box.prove(one.attempt, password())
    assert "out of its turn" in refused(box, other.attempt, code(box, joe))


# security keys


@pytest.fixture
def ann(box):
    return box.sign_up_with_key("ann")


def pending_key(box, person):
    return box.prove(box.begin(person.name).attempt, password())


def test_a_passkey_alone_is_enough_when_it_verifies_its_person(box, ann):
    begun = box.begin("")
    answer = box.assertion(ann, begun.webauthn)
    done = box.prove(begun.attempt, people.WebauthnProof(response=answer))
    assert done.user == "ann"
    assert box.events("auth")[-1]["factors"] == ["webauthn"]


def test_a_passkey_alone_is_not_taken_where_the_cluster_has_only_codes(tmp_path, shared_signer):
    config = support.CONFIG + "  web_listen_addr: 127.0.0.1:3080\n"
    only_codes = config.replace(
        "public_addr: localhost:3025", "authentication: {second_factor: otp}\n  public_addr: localhost:3025"
    )
    with support.cheap_hashes(), support.auth_box(tmp_path, shared_signer, config=only_codes) as box:
        with pytest.raises(Denied, match="type your user name"):
            box.begin("")
        assert "where webauthn is not allowed" in box.events("access.denied")[-1]["error"]


def test_an_assertion_is_good_once(box, ann):
    pending = pending_key(box, ann)
    proof = people.WebauthnProof(response=box.assertion(ann, pending.webauthn))
    box.prove(pending.attempt, proof)
    for attempt in (pending.attempt, pending_key(box, ann).attempt):
        refused(box, attempt, proof)


def test_a_challenge_is_used_up_by_a_wrong_answer_too(box, ann):
    pending = pending_key(box, ann)
    answer = box.assertion(ann, pending.webauthn)
    wrong = {**answer, "response": {**answer["response"], "signature": "AAAA"}}
    refused(box, pending.attempt, people.WebauthnProof(response=wrong))
    assert (
        refused(box, pending.attempt, people.WebauthnProof(response=answer)) == "assertion without a ceremony"
    )


def test_of_two_that_use_one_challenge_at_once_one_wins(box, ann):
    pending = pending_key(box, ann)
    proof = people.WebauthnProof(response=box.assertion(ann, pending.webauthn))
    assert in_parallel([lambda: box.prove(pending.attempt, proof)] * 4)["AttemptAccepted"] == 1


def test_the_challenge_of_another_attempt_is_refused(box, ann):
    one, other = pending_key(box, ann), pending_key(box, ann)
    proof = people.WebauthnProof(response=box.assertion(ann, one.webauthn))
    refused(box, other.attempt, proof)


def test_the_key_of_another_person_is_refused(box, ann):
    eve = box.sign_up_with_key("eve")
    mine = pending_key(box, eve)
    proof = people.WebauthnProof(response=box.assertion(eve, mine.webauthn))
    refused(box, pending_key(box, ann).attempt, proof)


def test_a_passkey_challenge_answered_for_another_site_is_refused(box, ann):
    begun = box.begin("")
    answer = box.assertion(ann, begun.webauthn, origin="https://localhost:4443")
    refused(box, begun.attempt, people.WebauthnProof(response=answer))


def test_an_assertion_before_the_password_is_refused(box, ann):
    begun, other = box.begin("ann"), pending_key(box, ann)
    proof = people.WebauthnProof(response=box.assertion(ann, other.webauthn))
    assert "out of its turn" in refused(box, begun.attempt, proof)


def test_no_password_makes_up_for_a_passkey_in_an_attempt_without_a_name(box, ann):
    begun = box.begin("")
    assert "out of its turn" in refused(box, begun.attempt, password())


@pytest.mark.parametrize(
    "response",
    [{}, {"id": "x"}, {"response": {"userHandle": "!"}}, {"response": []}, {"rawId": 1, "type": 2}],
)
def test_what_is_no_assertion_is_refused_noted_and_counted(box, response):
    begun = box.begin("")
    refused_or_not = people.WebauthnProof(response=response)
    with pytest.raises(Denied):
        box.prove(begun.attempt, refused_or_not)
    assert "error" in box.events("auth")[-1]


def test_a_counter_that_goes_back_raises_the_alarm(box):
    ann = box.sign_up_with_key("ann")
    box.accepted(ann)
    box.accepted(ann)
    ann.key.update(fido=replace(ann.key.store.load().fido, signature_counter=0))
    pending = pending_key(box, ann)
    refused(box, pending.attempt, people.WebauthnProof(response=box.assertion(ann, pending.webauthn)))
    assert box.events("mfa.clone_alarm")[-1]["user"] == "ann"


# who exists is not told


NAMES = ["joe", "nobody", "invited", "x" * 5000, "joe\n", "JOE", "\u202e", "joe'--"]


@pytest.mark.parametrize("name", NAMES)
def test_begin_answers_the_same_for_every_name(box, joe, name):
    box.invite("invited")
    begun = box.begin(name)
    assert (begun.factors, begun.webauthn) == ((Factor.PASSWORD, Factor.TOTP, Factor.WEBAUTHN), None)
    assert len(box.state.attempts.get(begun.attempt).value.user) <= 256


@contextmanager
def counting_derivations(monkeypatch):
    made, plain = [], password_module._HASHER.verify

    class Counting:
        verify = staticmethod(lambda *given: (made.append(given[0]), plain(*given))[1])
        hash = password_module._HASHER.hash

    monkeypatch.setattr(password_module, "_HASHER", Counting)
    yield made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extra", [(), (people.CodeProof(code="123456"),)])
def test_a_wrong_password_costs_one_derivation_whoever_it_is_for(box, joe, name, extra, monkeypatch):
    """M06, counted instead of timed: the derivation is all but the whole cost of an answer."""
    box.invite("invited")
    begun = box.begin(name)
    with counting_derivations(monkeypatch) as made:
        refused(box, begun.attempt, password("wrong password"), *extra)
    assert len(made) == 1
    assert made[0].startswith("$argon2id$")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["123456", "7QKM-2XZ9-D4TB-HW0R"])
def test_a_code_without_a_password_costs_nothing_whoever_it_is_for(box, joe, name, text, monkeypatch):
    begun = box.begin(name)
    codes = type(box.rooms.sign_in.codes)
    monkeypatch.setattr(codes, "recovery", lambda *_: pytest.fail("a derivation was made"))
    monkeypatch.setattr(codes, "totp_step", lambda *_: pytest.fail("a code was looked at"))
    refused(box, begun.attempt, people.CodeProof(code=text))


def test_a_name_that_no_account_can_have_is_not_written_down(box):
    """People type their password where the name belongs."""
    with pytest.raises(Denied):
        box.guess("My Secret Pass!")
    assert box.events("auth")[-1]["user"] == "-"


def test_an_overlong_password_is_no_work_and_no_way_in(box, joe):
    for text in ("x" * 129, "x" * 1_000_000, ""):
        with pytest.raises(Denied):
            box.guess("joe", text)


# guessing is slowed


def fail(box, times, *, user="joe", source=HERE):
    for _ in range(times):
        with pytest.raises(Denied):
            box.guess(user, source=source)


def test_after_five_failures_each_further_one_doubles_the_wait(box, joe):
    fail(box, 5)
    for wait in (1, 2, 4, 8, 16):
        with pytest.raises(Throttled) as told:
            box.guess("joe")
        assert told.value.retry_after == wait
        box.clock.forward(seconds=wait)
        fail(box, 1)


def test_unknown_names_are_slowed_in_the_same_way(box):
    fail(box, 5, user="nobody")
    with pytest.raises(Throttled):
        box.guess("nobody")


def test_the_right_password_does_not_pass_while_one_has_to_wait(box, joe):
    fail(box, 5)
    with pytest.raises(Throttled):
        box.prove(box.begin("joe").attempt, password(), code(box, joe))


def test_beginning_anew_does_not_make_failures_forgotten(box, joe):
    begun = box.begin("joe")
    for _ in range(5):
        refused(box, begun.attempt, password("wrong password"))
    with pytest.raises(Throttled):
        box.guess("joe")


def test_nobody_locks_another_person_out(box, joe):
    fail(box, 5)
    with pytest.raises(Throttled):
        box.guess("joe")
    box.accepted(joe, source=ELSEWHERE)


def test_a_success_clears_the_pair_but_not_the_source(box, joe):
    fail(box, 4)
    box.accepted(joe)
    fail(box, 4)
    fail(box, 4, user="nobody")
    box.accepted(joe)


def test_names_do_not_shield_a_source(box):
    fail_each = [f"user{n}" for n in range(50)]
    for name in fail_each:
        fail(box, 1, user=name)
    with pytest.raises(Throttled):
        box.guess("another")
    fail(box, 1, user="another", source=ELSEWHERE)


def test_whoever_has_one_ipv6_address_has_the_network(box):
    """Otherwise an attacker with a /64 never waits (X15)."""
    for n in range(5):
        fail(box, 1, source=f"2001:db8::{n + 1}")
    with pytest.raises(Throttled):
        box.guess("joe", source="2001:db8::ffff:1")
    fail(box, 1, source="2001:db8:0:1::1")


def test_an_ipv4_address_mapped_into_ipv6_is_the_same_source(box):
    fail(box, 5, source="192.0.2.7")
    with pytest.raises(Throttled):
        box.guess("joe", source="::ffff:192.0.2.7")


def test_guesses_made_at_once_do_not_pass_together(box, joe):
    attempts = [box.begin("joe").attempt for _ in range(20)]
    outcomes = in_parallel([lambda one=one: box.prove(one, password("wrong password")) for one in attempts])
    assert outcomes["wrong password"] == 5
    assert outcomes["throttled"] == 15


def test_a_first_step_that_is_right_is_no_failure(box, joe):
    for _ in range(20):
        box.prove(box.begin("joe").attempt, password())
    assert not list(box.state.failures.list())


def test_whoever_had_to_wait_can_go_on_to_the_second_factor(box, joe):
    fail(box, 5)
    for _ in range(3):
        box.clock.forward(seconds=10)
        fail(box, 1)
    box.clock.forward(seconds=10)
    begun = box.begin("joe")
    box.prove(begun.attempt, password())
    box.prove(begun.attempt, code(box, joe))


def test_a_fault_of_ours_is_not_counted_as_theirs(box, joe):
    for _ in range(20):
        box.trail.broken = True
        with pytest.raises(Exception, match="disk"):
            box.prove(box.begin("joe").attempt, password(), code(box, joe))
        box.trail.broken = False
        box.clock.forward(seconds=30)
    assert not list(box.state.failures.list())


def test_failures_are_forgotten_after_the_window_and_leave_the_store(box, joe):
    fail(box, 4)
    box.clock.forward(minutes=31)
    fail(box, 4)
    box.clock.forward(hours=1)
    box.backend.purge()
    assert not [key for key in box.snapshot() if key.startswith("failures/")]


# an account that was reset or made anew is another one


def test_what_was_proved_before_a_reset_is_void_after_it(box, joe):
    attempt = box.accepted(joe)
    token = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    box.sign_up(token=token)
    with pytest.raises(Denied, match="sign in first"):
        spend(box, attempt)


def test_a_browser_session_does_not_survive_a_reset(box, joe):
    stolen = box.browser(joe)
    token = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    box.clock.forward(minutes=1)
    with pytest.raises(Denied):
        box.call(box.rooms.web_sessions.person(stolen), "me.show")
    box.sign_up(token=token)
    with pytest.raises(Denied, match="sign in again"):
        box.rooms.web_sessions.person(stolen)


def test_a_deleted_persons_session_does_not_pass_to_whoever_gets_the_name(box, joe):
    stolen = box.browser(joe)
    box.console("users.delete", people.UserNamed(name="joe"))
    with pytest.raises(Denied, match="sign in again"):
        box.rooms.web_sessions.person(stolen)
    box.clock.forward(seconds=1)
    box.sign_up("joe", roles=("editor",))
    with pytest.raises(Denied, match="sign in again"):
        box.rooms.web_sessions.person(stolen)
