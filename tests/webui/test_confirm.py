"""Confirming in the browser, from the page to the real auth service and back (rows M1, X1)."""

import html
import json
import re

import pytest

from appliance.api.application import create_app
from appliance.api.identify import DOOR, Door, Identify
from appliance.client import Api
from appliance.domain.operations import Caller, ssh
from appliance.domain.operations.resources import Documents
from tests.support.auth_fixtures import box, shared_signer
from tests.support.web_visitor import Visitor

__all__ = ["box", "shared_signer"]

SETTINGS = """\
kind: cluster_auth_preference
version: v2
metadata: {name: cluster-auth-preference}
spec: {second_factors: [webauthn, otp], admin_action_mfa: 'on', require_session_mfa: hardware_key_touch}
"""
ADD = {"name": "dan", "logins": "root", "roles": "access", "lifetime": "3600"}


class InProcess:
    """The web service's socket: the real API application, without the socket."""

    def __init__(self, box):
        identify = Identify(
            cluster="main", web_session=box.rooms.web_sessions.person, holds=box.rooms.register.holds
        )
        self._client = create_app(box.broker, identify).test_client()
        self._environ = {DOOR: Door(caller=Caller.WEB, uids=frozenset({0})), "X_REMOTE_UID": 0}

    def post(self, path, body, headers):
        answer = self._client.post(path, data=body, headers=headers, environ_overrides=self._environ)
        return answer.status_code, answer.get_data()

    def close(self):
        pass


class Service:
    """What a visitor needs of an auth service."""

    def __init__(self, box, *people):
        self._box, self._people = box, {one.name: one for one in people}
        self.api = lambda: Api(InProcess(box))

    def session(self, user):
        return self._box.browser(self._people[user])


@pytest.fixture
def eve(box):
    return box.certified(box.sign_up_with_key("eve", roles=("editor", "access")))


@pytest.fixture
def joe(box):
    return box.sign_up("joe", roles=("editor",))


@pytest.fixture
def visit(box, eve, joe):
    def as_user(name):
        visitor = Visitor(Service(box, eve, joe), calls_burst=1000).as_user(name)
        box.console("resources.apply", Documents(text=SETTINGS, replace=True))
        return visitor

    return as_user


def fields_of(page):
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in found if name != "form_token"}


def touched(box, person, page):
    options = json.loads(html.unescape(re.search(r'data-options="([^"]*)"', page)[1]))
    return fields_of(page) | {"confirm_credential": json.dumps(box.assertion(person, options))}


def test_an_administrator_adds_a_user_with_a_touch(box, eve, visit):
    browser = visit("eve")
    asked = browser.post("/web/users/add", ADD)
    page = asked.get_data(as_text=True)
    assert asked.status_code == 401
    assert "<li>name: dan</li>" in page
    assert box.state.users.find("dan") is None
    done = browser.post("/web/users/add", touched(box, eve, page))
    assert "/web/invite/" in done.get_data(as_text=True)
    assert box.state.users.find("dan") is not None


def test_a_code_does_it_where_the_cluster_allows_codes(box, joe, visit):
    browser = visit("joe")
    page = browser.post("/web/users/add", ADD).get_data(as_text=True)
    box.clock.forward(seconds=30)
    done = browser.post("/web/users/add", fields_of(page) | {"confirm_code": box.code(joe.secret)})
    assert "/web/invite/" in done.get_data(as_text=True)


def test_a_wrong_code_asks_again_and_does_nothing(box, visit):
    browser = visit("joe")
    page = browser.post("/web/users/add", ADD).get_data(as_text=True)
    again = browser.post("/web/users/add", fields_of(page) | {"confirm_code": "000000"})
    assert again.status_code == 403
    assert "did not match" in again.get_data(as_text=True)
    assert fields_of(again.get_data(as_text=True))["name"] == "dan"
    assert box.state.users.find("dan") is None


def test_fields_changed_after_the_proof_are_refused(box, eve, visit):
    browser = visit("eve")
    page = browser.post("/web/users/add", ADD).get_data(as_text=True)
    forged = touched(box, eve, page) | {"roles": "editor"}
    assert browser.post("/web/users/add", forged).status_code == 403
    assert box.state.users.find("dan") is None


def test_what_somebody_typed_stays_text_on_the_page(visit):
    browser = visit("eve")
    page = browser.post("/web/users/add", ADD | {"name": '"><img src=x>'}).get_data(as_text=True)
    assert "<img src=x" not in page


def test_a_waiting_ssh_goes_on_after_a_touch_in_the_browser(box, eve, visit):
    box.add_node("web1")
    browser = visit("eve")
    more = box.connect(eve)
    assert isinstance(more, ssh.MoreProof)
    path = "/" + more.url.split("/", 3)[3]
    page = browser.get(path).get_data(as_text=True)
    assert more.matching in page
    assert "<li>root on web1</li>" in page
    done = browser.post(path, touched(box, eve, page))
    assert "Confirmed" in done.get_data(as_text=True)
    request = ssh.ConnectRequest(
        evidence=box.evidence(eve),
        node="web1",
        login="root",
        session_key=eve.keys.ssh_blob,
        answers=(ssh.ProofAnswer(challenge=more.challenge),),
    )
    assert isinstance(box.proxy("ssh.connect", request), ssh.SessionApproved)


def test_another_persons_confirmation_is_not_there(box, eve, visit):
    box.add_node("web1")
    browser = visit("joe")
    more = box.connect(eve)
    assert browser.get("/" + more.url.split("/", 3)[3]).status_code == 404
