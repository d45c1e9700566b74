"""Sign-up links: once, in time, unaltered, and the newest one only."""

import threading
from datetime import timedelta

import pytest

from appliance.authn.passkeys import Passkeys
from appliance.domain.decision import Factor
from appliance.domain.errors import Conflict, Denied, Exists, Invalid, NotFound
from appliance.domain.operations import people
from tests.support.auth_box import PASSWORD, Resident, token_of
from tests.support.virtual_keys import make_key


def show(box, token):
    return box.web("invites.show", people.InviteToken(token=token))


def test_a_link_shows_whose_it_is_and_what_can_be_enrolled(box):
    view = show(box, box.invite("joe"))
    assert (view.user, view.kind, view.factors, view.shortest_password) == (
        "joe",
        "sign_up",
        ("otp", "webauthn"),
        12,
    )


def test_a_person_signs_up_with_a_code_and_then_signs_in(box):
    joe = box.certified(box.sign_up("joe"))
    assert joe.issued.logins == ("root",)
    assert len(set(joe.recovery_codes)) == 10


def test_a_person_signs_up_with_a_security_key_and_then_signs_in(box):
    assert box.certified(box.sign_up_with_key("ann")).issued.user == "ann"


def test_a_link_works_once(box):
    token = box.invite()
    box.sign_up(token=token)
    for call in (
        lambda: show(box, token),
        lambda: box.begin_totp(token),
        lambda: box.finish_totp(token, "A" * 32),
    ):
        with pytest.raises(NotFound, match="used already"):
            call()
    assert {one["error"] for one in box.events("invite.use") if "error" in one} == {
        "this link was used already: each works once"
    }


def test_a_link_ends_with_its_time(box):
    token = box.invite(ttl=60)
    secret = box.begin_totp(token)
    box.clock.forward(seconds=60)
    with pytest.raises(NotFound, match="expired"):
        box.finish_totp(token, secret)
    assert "expired" in box.events("invite.use")[-1]["error"]


def test_a_clock_set_back_does_not_bring_a_link_to_life(box):
    token = box.invite(ttl=60)
    box.clock.forward(hours=-5)
    with pytest.raises(NotFound, match="expired"):
        show(box, token)


@pytest.mark.parametrize("ttl", [0, 59, 172801, -1, 10**30])
def test_a_link_lives_from_a_minute_to_two_days(box, ttl):
    with pytest.raises(Invalid, match="expected 60 s to 172800 s"):
        box.invite(ttl=ttl)


@pytest.mark.parametrize("place", [0, 11, 20, -1])
def test_an_altered_link_is_refused_and_noted(box, place):
    token = box.invite()
    letters = list(token)
    letters[place] = "A" if letters[place] != "A" else "B"
    with pytest.raises(NotFound, match="altered"):
        show(box, "".join(letters))
    assert "altered" in box.events("invite.use")[-1]["error"]


@pytest.mark.parametrize("text", ["", "A", "é", "A" * 44, "A" * 4000, "../../x", "%00", "\ud800"])
def test_what_is_no_link_is_refused(box, text):
    with pytest.raises(NotFound):
        show(box, text)


def test_the_secret_of_a_link_is_kept_nowhere(box):
    token = box.invite()
    kept = b"".join(box.snapshot().values()) + b"".join(
        path.read_bytes() for path in box.ground.layout.log.glob("*.log")
    )
    assert token.encode() not in kept


def test_beginning_again_replaces_the_ceremony_before(box):
    token = box.invite()
    first, second = box.begin_totp(token), box.begin_totp(token)
    with pytest.raises(Denied, match="that code is not right"):
        box.finish_totp(token, first)
    box.finish_totp(token, second)


def test_a_wrong_code_leaves_the_link_good_and_is_noted(box):
    token = box.invite()
    secret = box.begin_totp(token)
    with pytest.raises(Denied, match="that code is not right"):
        box.finish_totp(token, secret, code="000000")
    assert box.events("invite.use")[-1]["error"] == "wrong code at enrolment"
    assert not box.state.users.get("joe").value.active
    box.finish_totp(token, secret)


def test_the_code_of_the_enrolment_is_used_up(box):
    token = box.invite()
    secret = box.begin_totp(token)
    code = box.code(secret)
    box.finish_totp(token, secret)
    begun = box.begin("joe")
    with pytest.raises(Denied):
        box.prove(begun.attempt, people.PasswordProof(password=PASSWORD), people.CodeProof(code=code))


def test_without_a_ceremony_there_is_nothing_to_finish(box):
    with pytest.raises(Invalid, match="no factor was begun"):
        box.finish_totp(box.invite(), "A" * 32)


def test_the_proof_must_be_of_the_factor_that_was_begun(box):
    token = box.invite()
    box.begin_totp(token)
    proof = people.WebauthnProof(response={})
    request = people.EnrolFinish(token=token, password=PASSWORD, device_name="x", proof=proof)
    with pytest.raises(Invalid, match="does not belong"):
        box.web("invites.finish", request)


@pytest.mark.parametrize(
    "factor", [Factor.PASSWORD, Factor.RECOVERY_CODE, Factor.SSH_SECURITY_KEY, Factor.HOTP]
)
def test_only_the_clusters_second_factors_can_be_enrolled(box, factor):
    with pytest.raises(Invalid, match="can't be enrolled"):
        box.web("invites.begin", people.EnrolBegin(token=box.invite(), factor=factor))


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("short", "12 to 128"),
        ("x" * 129, "12 to 128"),
        ("", "12 to 128"),
        ("A.Long.Name.Here", "differ from the user"),
    ],
)
def test_a_bad_password_is_refused_with_the_reason(box, password, problem):
    token = box.invite("a.long.name.here", logins=("root",))
    secret = box.begin_totp(token)
    with pytest.raises(Invalid, match=problem):
        box.finish_totp(token, secret, password=password)


def test_a_key_answers_for_this_site_only(box):
    token = box.invite("ann")
    ann = Resident(name="ann", password=PASSWORD, key=make_key("fingerprint"))
    offer = box.web("invites.begin", people.EnrolBegin(token=token, factor=Factor.WEBAUTHN))
    answer = box.registration(ann, offer.options, origin="https://localhost:9999")
    proof = people.WebauthnProof(response=answer)
    request = people.EnrolFinish(token=token, password=PASSWORD, device_name="key", proof=proof)
    with pytest.raises(Denied, match="security key was not accepted"):
        box.web("invites.finish", request)
    assert "registration refused" in box.events("invite.use")[-1]["error"]


def test_of_two_that_finish_at_once_one_wins(box, monkeypatch):
    token = box.invite()
    secret = box.begin_totp(token)
    meeting, outcomes = threading.Barrier(2), []
    plain = type(box.rooms.enrolment.codes).totp_step

    def wait(*args, **kwargs):
        meeting.wait(10)
        return plain(*args, **kwargs)

    monkeypatch.setattr(type(box.rooms.enrolment.codes), "totp_step", wait)

    def finish():
        try:
            outcomes.append(box.finish_totp(token, secret).user)
        except (Conflict, NotFound, Exists):
            outcomes.append("refused")

    threads = [threading.Thread(target=finish) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert sorted(outcomes) == ["joe", "refused"]


def test_a_reset_takes_the_earlier_link_back(box):
    """Whoever read the first link must not enrol after an administrator has sent another (W09)."""
    first = box.invite()
    second = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    with pytest.raises(NotFound, match="not one of ours"):
        box.begin_totp(first)
    box.sign_up(token=second)


def test_finishing_one_link_takes_back_all_others(box):
    joe = box.sign_up("joe")
    one = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    invite = box.state.invites.list()
    assert len([found for found in invite if found.value.used_at is None]) == 1
    box.sign_up(token=one)
    assert joe.password


def test_a_link_does_not_outlive_its_account(box):
    """Nor does it open the account that somebody makes later under the same name."""
    old = box.invite()
    box.console("users.delete", people.UserNamed(name="joe"))
    with pytest.raises(NotFound):
        show(box, old)
    box.invite()
    with pytest.raises(NotFound):
        show(box, old)


def test_resetting_closes_the_account_until_the_new_link_was_used(box):
    joe = box.sign_up("joe")
    token = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    with pytest.raises(Denied):
        box.guess("joe", joe.password)
    box.sign_up(token=token)
    view = next(user for user in box.console("users.list").users if user.name == "joe")
    assert (view.active, view.factors) == (True, ("recovery_code", "totp"))


def test_device_names_are_short_and_printable(box):
    for name, problem in (("x" * 65, "at most 64"), ("a\x1b[2Jb", "printable"), ("a\nb", "printable")):
        token = box.invite(f"u{abs(hash(name)) % 1000}")
        secret = box.begin_totp(token)
        proof = people.CodeProof(code=box.code(secret))
        request = people.EnrolFinish(token=token, password=PASSWORD, device_name=name, proof=proof)
        with pytest.raises(Invalid, match=problem):
            box.web("invites.finish", request)


def test_a_challenge_of_an_enrolment_ends_with_its_time(box):
    token = box.invite("ann", ttl=3600)
    ann = Resident(name="ann", password=PASSWORD, key=make_key("fingerprint"))
    offer = box.web("invites.begin", people.EnrolBegin(token=token, factor=Factor.WEBAUTHN))
    answer = box.registration(ann, offer.options)
    box.clock.time += timedelta(minutes=5, seconds=1)
    proof = people.WebauthnProof(response=answer)
    with pytest.raises(Denied):
        box.web(
            "invites.finish",
            people.EnrolFinish(token=token, password=PASSWORD, device_name="key", proof=proof),
        )
    assert isinstance(box.rooms.enrolment.passkeys, Passkeys)
