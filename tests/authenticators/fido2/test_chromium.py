"""A real browser against our relying party: what Chromium sends passes the strict parsers."""

import json
import tempfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions

from authenticators.errors import WebAuthnErrorCode
from authenticators.fido2.attestation import AttestationKind, assess
from authenticators.fido2.relying_party import Authenticated, CloneAlarm, RelyingParty
from tests.support.refusals import refused
from tests.support.webauthn import JOE, NOW

pytestmark = pytest.mark.functional

CREATE = """
const [options, done] = arguments;
navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey)})
    .then(made => done(JSON.stringify(made.toJSON())), error => done(String(error)));
"""
GET = """
const [options, done] = arguments;
navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey)})
    .then(made => done(JSON.stringify(made.toJSON())), error => done(String(error)));
"""


class Page(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>x</title>")

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def origin():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(origin):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    with tempfile.TemporaryDirectory() as profile:
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        driver.get(origin)
        yield driver
        driver.quit()


def plug(browser, *, protocol="ctap2", transport="usb", verifies=True):
    options = VirtualAuthenticatorOptions()
    options.protocol, options.transport = protocol, transport
    options.has_resident_key = options.has_user_verification = options.is_user_verified = verifies
    browser.add_virtual_authenticator(options)


@pytest.fixture
def key(browser):
    plug(browser)
    yield browser
    browser.remove_virtual_authenticator()


@pytest.fixture
def u2f_key(browser):
    plug(browser, protocol="ctap1/u2f", verifies=False)
    yield browser
    browser.remove_virtual_authenticator()


def relying_party(origin):
    return RelyingParty(rp_id="localhost", name="Bastion", origins=frozenset({origin}), attestation="direct")


def register(browser, rp, **options):
    asked, state = rp.begin_registration(user=JOE, now=NOW, **options)
    return rp.complete_registration(state, browser.execute_async_script(CREATE, asked), now=NOW)


def login(browser, rp, credential, *, named=True, **options):
    who = {"credentials": [credential], "user_handle": JOE.handle} if named else {}
    asked, state = rp.begin_authentication(now=NOW, **who, **options)
    response = browser.execute_async_script(GET, asked)
    return rp.complete_authentication(
        state, response, lookup={credential.credential_id: credential}.get, now=NOW
    )


def test_a_passkey_is_registered_and_logs_in_named_and_unnamed(key, origin):
    rp = relying_party(origin)
    registered = register(key, rp, resident_key="required", user_verification="required")
    assert registered.credential.discoverable is True
    assert registered.credential.transports == ("usb",)
    assert assess(registered.credential).kind in {AttestationKind.BASIC, AttestationKind.SELF}
    proof = login(key, rp, registered.credential, user_verification="required")
    assert isinstance(proof, Authenticated)
    assert proof.user_verified
    assert isinstance(login(key, rp, proof.credential, named=False), Authenticated)


def test_a_u2f_key_is_registered_and_logs_in(u2f_key, origin):
    rp = relying_party(origin)
    registered = register(u2f_key, rp, resident_key="discouraged", user_verification="discouraged")
    assert registered.attestation_format == "fido-u2f"
    assert isinstance(
        login(u2f_key, rp, registered.credential, user_verification="discouraged"), Authenticated
    )


def test_a_stored_counter_ahead_of_the_key_s_is_a_clone_alarm(key, origin):
    rp = relying_party(origin)
    credential = replace(register(key, rp).credential, sign_count=1000)
    assert isinstance(login(key, rp, credential), CloneAlarm)


def test_a_response_made_on_another_port_is_refused(key, origin):
    elsewhere = relying_party("http://localhost:1")
    with refused(WebAuthnErrorCode.WRONG_ORIGIN):
        register(key, elsewhere)


def test_what_the_browser_says_on_refusal_is_no_response(key, origin):
    rp = relying_party(origin)
    credential = register(key, rp).credential
    asked, _ = rp.begin_registration(user=JOE, now=NOW, exclude=[credential])
    assert "InvalidStateError" in key.execute_async_script(CREATE, asked)
    assert json.dumps(asked)
