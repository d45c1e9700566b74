"""People with a real browser in front of the real appliance: signing up and in, every way (U1, A1, A3)."""

import base64
import re
import time

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.client import Api, WebTransport
from appliance.client.transport import tls_context
from appliance.domain.errors import Denied
from appliance.domain.operations import journal, people
from appliance.domain.operations.operation import Nothing
from tests.support.browser import chromium
from tests.support.web_appliance import running_appliance

pytestmark = pytest.mark.functional

PASSWORD = "three blind mice ran"


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with running_appliance(tmp_path_factory.mktemp("box")) as appliance:
        yield appliance


@pytest.fixture(scope="module")
def window(box, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), trusted_spki=box.spki) as browser:
        yield browser


@pytest.fixture
def browser(window):
    window.forget()
    window.console()
    yield window
    window.forget()


def invite(box, name, *roles):
    request = people.UserCreate(name=name, roles=roles or ("access",), logins=("root",))
    return box.console.call("users.create", request).url


def sign_up_with_app(browser, link):
    """Sign up with an authenticator app; return its secret and the recovery codes."""
    browser.open(link)
    browser.click("Use an authenticator app")
    browser.wait_for_heading("Set up an authenticator app")
    secret = browser.find("input[name=secret]").get_attribute("value")
    browser.fill(password=PASSWORD, again=PASSWORD, code=pyotp.TOTP(secret).now(), device_name="phone")
    browser.click("Finish")
    return secret, codes(browser)


def codes(browser):
    browser.wait_for_heading("Keep your recovery codes")
    found = [code.text for code in browser.all("#codes code")]
    assert len(found) >= 8
    return found


def sign_up_with_key(browser, link):
    browser.open(link)
    browser.click("Use a security key or passkey")
    browser.wait_for_heading("Set up a security key or passkey")
    browser.fill(password=PASSWORD, again=PASSWORD, device_name="blue key")
    browser.click("Register the key")
    return codes(browser)


def sign_in(browser, box, user, code=""):
    browser.open(f"{box.url}/web/login")
    browser.fill(user=user, password=PASSWORD)
    if code:
        browser.fill(code=code)
        browser.click("Sign in")
    else:
        browser.click("Use your security key")


def next_code(secret):
    """Return the code of the step after this one, which is accepted as well and was not used yet."""
    return pyotp.TOTP(secret).at(time.time() + 30)  # noqa: TID251 - the appliance's clock is the true one


def events(box, name, user):
    query = journal.EventsQuery(event=name, user=user)
    return box.console.call("events.list", query).events


def test_an_authenticator_app_from_the_link_to_the_first_page(browser, box):
    link = invite(box, "joe")
    secret, recovery = sign_up_with_app(browser, link)
    browser.open(link)
    assert "used already" in browser.text
    code = next_code(secret)
    sign_in(browser, box, "joe", code)
    browser.wait_for_heading("Nodes")
    assert browser.refused_by_policy() == []
    browser.sign_out()
    sign_in(browser, box, "joe", code)
    browser.wait_for_text("That did not match")  # no code counts twice (M01)
    sign_in(browser, box, "joe", recovery[0])
    browser.wait_for_heading("Nodes")
    browser.sign_out()
    sign_in(browser, box, "joe", recovery[0])
    browser.wait_for_text("That did not match")
    assert events(box, "recovery_code.used", "joe")


@pytest.mark.parametrize(
    "key",
    [{}, {"verifies_user": False, "resident": False}, {"u2f": True}],
    ids=["ctap2", "ctap2-without-pin", "u2f"],
)
def test_a_security_key_after_the_password(browser, box, key):
    name = f"ann{len(str(key))}"
    browser.plug_in(**key)
    sign_up_with_key(browser, invite(box, name))
    sign_in(browser, box, name)
    browser.wait_for_heading("Nodes")
    browser.open(f"{box.url}/web/account")
    assert name in browser.text
    assert "webauthn" in browser.text
    assert browser.refused_by_policy() == []


def test_a_passkey_alone(browser, box):
    browser.plug_in()
    sign_up_with_key(browser, invite(box, "pat"))
    browser.open(f"{box.url}/web/login")
    browser.click("Sign in with a passkey")
    browser.wait_for_heading("Nodes")
    browser.open(f"{box.url}/web/account")
    assert "pat" in browser.text


def test_a_key_without_its_password_and_a_password_without_its_key_are_not_enough(browser, box):
    browser.plug_in()
    sign_up_with_key(browser, invite(box, "kay"))
    browser.open(f"{box.url}/web/login")
    browser.fill(user="kay", password="not the password")
    browser.click("Use your security key")
    browser.wait_for_text("That did not match")
    browser.fill(user="kay", password=PASSWORD, code="123456")
    browser.click("Sign in")
    browser.wait_for_heading("Sign in")
    browser.open(f"{box.url}/web/")
    browser.wait_for_heading("Sign in")


def test_somebody_elses_key_is_of_no_use(browser, box):
    browser.plug_in()
    sign_up_with_key(browser, invite(box, "own"))
    browser.unplug()
    browser.plug_in()
    sign_up_with_key(browser, invite(box, "other"))
    sign_in(browser, box, "own")
    browser.wait_for_text("The key was not used")


def test_a_forged_signature_is_refused(browser, box):
    authenticator = browser.plug_in_by_devtools()
    sign_up_with_key(browser, invite(box, "mal"))
    browser.devtools("WebAuthn.setResponseOverrideBits", authenticatorId=authenticator, isBogusSignature=True)
    sign_in(browser, box, "mal")
    browser.wait_for_text("That did not match")
    assert events(box, "auth", "mal")[0]["success"] is False


def test_a_copy_of_a_key_is_noticed(browser, box):
    authenticator = browser.plug_in_by_devtools()
    sign_up_with_key(browser, invite(box, "dolly"))
    copy = browser.devtools("WebAuthn.getCredentials", authenticatorId=authenticator)["credentials"][0]
    sign_in(browser, box, "dolly")
    browser.wait_for_heading("Nodes")
    browser.sign_out()
    browser.devtools(
        "WebAuthn.removeCredential", authenticatorId=authenticator, credentialId=copy["credentialId"]
    )
    browser.devtools(
        "WebAuthn.addCredential", authenticatorId=authenticator, credential=copy | {"signCount": 0}
    )
    sign_in(browser, box, "dolly")
    browser.wait_for_text("That did not match")
    assert events(box, "mfa.clone_alarm", "dolly")


def test_everything_with_codes_works_without_javascript(browser, box):
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        secret, _ = sign_up_with_app(browser, invite(box, "lynx"))
        sign_in(browser, box, "lynx", next_code(secret))
        browser.wait_for_heading("Nodes")
        browser.find(".me summary").click()
        browser.click("Sign out")
        browser.wait_for_heading("You are signed out")
    finally:
        browser.devtools("Emulation.setScriptExecutionDisabled", value=False)


def test_an_administrator_adds_a_user_whose_link_works(browser, box):
    secret, _ = sign_up_with_app(browser, invite(box, "root-of-all", "editor", "access", "auditor"))
    sign_in(browser, box, "root-of-all", next_code(secret))
    browser.wait_for_heading("Nodes")
    browser.open(f"{box.url}/web/users/add")
    browser.fill(name="newcomer")
    browser.click("Make the account")
    browser.wait_for_heading("The account of newcomer is made")
    link = re.search(r"https://\S+/web/invite/\S+", browser.text)[0]
    browser.open(f"{box.url}/web/users")
    assert "link not used yet" in browser.text
    browser.open(f"{box.url}/web/events")
    assert "user.create" in browser.text
    browser.sign_out()
    sign_up_with_app(browser, link)
    made = {user.name: user for user in box.console.call("users.list", Nothing()).users}
    assert made["newcomer"].active
    assert made["newcomer"].created_by == "root-of-all"


def test_a_command_line_is_signed_in_by_the_browser(browser, box):
    secret, _ = sign_up_with_app(browser, invite(box, "cleo"))
    authority = box.console.call("cluster.ping", Nothing()).tls_authority
    pem = (
        "-----BEGIN CERTIFICATE-----\n"
        + base64.encodebytes(authority).decode()
        + "-----END CERTIFICATE-----\n"
    )
    tool = Api(WebTransport([f"localhost:{box.port}"], tls_context(pem)))
    begun = tool.call("browser_logins.create", fresh_keys())
    collect = people.BrowserLoginCollect(id=begun.id, secret=begun.secret)
    assert isinstance(tool.call("browser_logins.collect", collect), people.BrowserLoginWaiting)
    browser.open(begun.url)
    browser.wait_for_heading("Sign in")
    browser.fill(user="cleo", password=PASSWORD, code=next_code(secret))
    browser.click("Sign in")
    browser.wait_for_heading("Sign a command line in?")
    assert begun.code in browser.text
    assert "127.0.0.1" in browser.text
    browser.click("The code is the same: approve")
    browser.wait_for_heading("Approved")
    got = tool.call("browser_logins.collect", collect)
    assert isinstance(got, people.IssuedCredentials)
    assert got.user == "cleo"
    refused = tool.call("browser_logins.create", fresh_keys())
    browser.open(refused.url)
    browser.click("Refuse")
    browser.wait_for_heading("Refused")
    with pytest.raises(Denied):
        tool.call("browser_logins.collect", people.BrowserLoginCollect(id=refused.id, secret=refused.secret))
    tool.close()


def fresh_keys():
    """Return a request whose `source` is a lie, which the web process must not pass on."""
    ssh, tls = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    line = ssh.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return people.BrowserLoginCreate(
        source="203.0.113.1",
        ssh_public_key=base64.b64decode(line.split()[1]),
        tls_public_key=tls.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def test_a_cookie_taken_away_is_dead_after_signing_out(browser, box):
    secret, _ = sign_up_with_app(browser, invite(box, "crumb"))
    sign_in(browser, box, "crumb", next_code(secret))
    browser.wait_for_heading("Nodes")
    stolen = browser.driver.get_cookie("__Host-sallyport")
    assert (stolen["httpOnly"], stolen["secure"], stolen["sameSite"]) == (True, True, "Strict")
    assert browser.driver.execute_script("return document.cookie") == ""
    browser.sign_out()
    given_back = {name: stolen[name] for name in ("name", "value", "path", "secure", "httpOnly", "sameSite")}
    assert browser.devtools("Network.setCookie", url=box.url, **given_back)["success"]
    browser.open(f"{box.url}/web/")
    browser.wait_for_heading("Sign in")


def test_guessing_is_slowed(browser, box):
    invite(box, "victim")
    for _ in range(8):
        sign_in(browser, box, "victim", "000000")
        if browser.wait_for_text("That did not match", "Too many attempts") == "Too many attempts":
            return
    pytest.fail("eight guesses went by without a wait")
