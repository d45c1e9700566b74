"""`sally login` as a person types it: with a security key in a reader, and with a browser elsewhere."""

import json

import pexpect
import pytest

from appliance.client import Api, UnixTransport
from appliance.domain.decision import Factor
from appliance.domain.operations import people
from authenticators.devices.fido import FidoClient
from tests.support.box import program, running_box
from tests.support.prompts import ScriptedPrompter
from tests.support.virtual_keys import make_key
from tests.support.vpcd import private_pcscd

pytestmark = pytest.mark.functional

PASSWORD = "correct horse battery"
SOURCE = "127.0.0.1"


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with running_box(tmp_path_factory.mktemp("login") / "box") as running:
        yield running


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with private_pcscd(tmp_path_factory.mktemp("pcscd") / "login") as daemon:
        yield daemon


@pytest.fixture
def web(box):
    api = Api(UnixTransport(box.data / "run/web.sock"))
    yield api
    api.close()


def enrol(box, web, user):
    """Sign a person up with the key that is in the reader."""
    link = json.loads(box.sallyctl("users", "add", user, "root", "--format=json").stdout)["url"]
    token = link.rsplit("/", 1)[1]
    offer = web.call("invites.begin", people.EnrolBegin(token=token, factor=Factor.WEBAUTHN))
    response = FidoClient(prompter=ScriptedPrompter()).make_credential(offer.options, box.url)
    web.call(
        "invites.finish",
        people.EnrolFinish(
            token=token,
            password=PASSWORD,
            device_name="blue",
            proof=people.WebauthnProof(response=response),
        ),
    )


def sally(box, *words):
    return pexpect.spawn(
        program("sally"), list(words), env=box.environment, encoding="utf-8", timeout=30, dimensions=(40, 200)
    )


def test_a_key_in_the_reader_signs_its_person_in(box, web, reader):
    with reader.insert(make_key()):
        enrol(box, web, "keyholder")
        child = sally(box, "login", f"--proxy={box.proxy}", "--user=keyholder", f"--ca-pin={box.pin}")
        child.expect("Password for keyholder:")
        child.sendline(PASSWORD)
        child.expect("Enter alone: use a security key")
        child.sendline("")
        child.expect("Signed in as +keyholder")
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0
    assert box.sally("status").returncode == 0
    assert (box.folder / "home/.sally").stat().st_mode & 0o077 == 0


def test_another_key_does_not(box, web, reader):
    with reader.insert(make_key()):
        enrol(box, web, "owner")
    with reader.insert(make_key()):
        child = sally(
            box,
            "login",
            f"--proxy={box.proxy}",
            "--user=owner",
            f"--ca-pin={box.pin}",
            "--mfa-mode=webauthn",
        )
        child.expect("Password for owner:")
        child.sendline(PASSWORD)
        child.expect("security key: ")
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 3


def test_a_wrong_pin_is_refused_before_anything_secret_is_asked(box):
    wrong = "sha256:" + "0" * 64
    done = box.sally("login", "--proxy", box.proxy, "--user=joe", "--ca-pin", wrong)
    assert done.returncode == 3
    assert "is not the cluster of this pin" in done.stderr
    assert "Password" not in done.stderr


def test_the_browser_on_another_machine_signs_the_command_line_in(box, web, reader):
    with reader.insert(make_key()):
        enrol(box, web, "remote")
        child = sally(box, "login", f"--proxy={box.proxy}", "--browser", f"--ca-pin={box.pin}")
        child.expect(r"/web/cli/([0-9a-f]+)")
        waiting = child.match.group(1)
        child.expect(r"code ([A-Z0-9]{6})\.")
        code = child.match.group(1)
        me = signed_in(web, box, "remote")
        shown = me.call("browser_logins.show", people.BrowserLoginNamed(id=waiting))
        assert shown.code == code
        me.call("browser_logins.answer", people.BrowserLoginAnswer(id=waiting, approve=True))
        child.expect("Signed in as +remote")
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0


def test_a_refusal_in_the_browser_ends_the_waiting_command(box, web, reader):
    with reader.insert(make_key()):
        enrol(box, web, "careful")
        child = sally(box, "login", f"--proxy={box.proxy}", "--browser", f"--ca-pin={box.pin}")
        child.expect(r"/web/cli/([0-9a-f]+)")
        me = signed_in(web, box, "careful")
        answer = people.BrowserLoginAnswer(id=child.match.group(1), approve=False)
        me.call("browser_logins.answer", answer)
        child.expect("refused in the browser")
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 3


def signed_in(web, box, user):
    """Return the API as the browser session of a person whose key is in the reader."""
    begun = web.call("login.begin", people.LoginBegin(user=user, source=SOURCE))
    password = people.PasswordProof(password=PASSWORD)
    pending = web.call(
        "login.prove", people.LoginProve(attempt=begun.attempt, source=SOURCE, proofs=(password,))
    )
    response = FidoClient(prompter=ScriptedPrompter()).get_assertion(pending.webauthn, box.url)
    proof = people.WebauthnProof(response=response)
    web.call("login.prove", people.LoginProve(attempt=begun.attempt, source=SOURCE, proofs=(proof,)))
    session = web.call("web_sessions.create", people.WebSessionCreate(attempt=begun.attempt, source=SOURCE))
    return web.for_web_session(session.token)
