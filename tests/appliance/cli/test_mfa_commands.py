"""`sally mfa ls|add|rm` on the real use cases; only the terminal is the test's."""

import pytest
from click.testing import CliRunner

from appliance.cli import mfa_commands
from appliance.domain.errors import Conflict, NotFound
from tests.support.virtual_keys import make_key


class AsPerson:
    """What a client does, without the wire."""

    def __init__(self, box, user, proof=""):
        self._box, self._user, self._proof = box, user, proof

    def call(self, name, request):
        return self._box.person(self._user, name, request, proof=self._proof)

    def with_proof(self, challenge):
        return AsPerson(self._box, self._user, challenge)


class Hands:
    """A person at the terminal: types the code of now, touches the key they have."""

    def __init__(self, box, person):
        self.box, self.person, self.seen = box, person, []

    def explain(self, words):
        self.seen.append(words)

    def code(self, *, or_key):
        del or_key
        self.box.clock.forward(seconds=30)
        return self.box.code(self.person.secret)

    def security_key(self, options, origin):
        return self.box.assertion(self.person, options, origin=origin)

    def new_key(self, options, origin):
        self.person.key = make_key("fingerprint")
        return self.box.registration(self.person, options, origin=origin)

    def new_app(self, secret, uri):
        assert uri.startswith("otpauth://")
        return self.box.code(secret)


@pytest.fixture
def joe(box):
    return box.sign_up("joe")


@pytest.fixture
def run(box, joe):
    hands = Hands(box, joe)
    person = mfa_commands.Conversation(AsPerson(box, "joe"), hands)

    def run(command, *words):
        done = CliRunner().invoke(command, words, obj=person)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    run.hands = hands
    return run


def test_a_key_is_added_listed_and_removed(run):
    assert run(mfa_commands.add, "yubikey") == "yubikey was added.\n"
    assert run.hands.seen == [("Add a second factor", "webauthn: yubikey")]
    assert "yubikey  webauthn" in run(mfa_commands.ls)
    assert run(mfa_commands.remove, "yubikey") == "yubikey was removed.\n"
    assert "yubikey" not in run(mfa_commands.ls)


def test_the_phone_is_removed_by_a_touch(run):
    run(mfa_commands.add, "yubikey")
    assert run(mfa_commands.remove, "phone") == "phone was removed.\n"


def test_a_second_app_is_added(run):
    assert run(mfa_commands.add, "tablet", "--type=otp") == "tablet was added.\n"


def test_the_last_one_stays(run):
    with pytest.raises(Conflict):
        run(mfa_commands.remove, "phone")


def test_a_name_that_is_not_there_is_said_so(run):
    with pytest.raises(NotFound, match="sally mfa ls"):
        run(mfa_commands.remove, "nothing")
