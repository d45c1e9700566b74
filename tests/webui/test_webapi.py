"""The tools' door: M4, and signing in without a certificate (W13, M10)."""

import base64
import json

import pytest

from appliance.client import Api
from appliance.client.transport import Transport
from appliance.domain import codec
from appliance.domain.errors import Denied, NotFound, Throttled, Unavailable
from appliance.domain.operations import OPERATIONS, Caller, people
from appliance.domain.operations.operation import Nothing
from tests.support.web_visitor import Visitor
from webui.webapi import RELAYED


class ThroughTheWeb(Transport):
    """The path of `WebTransport`, over the test client."""

    def __init__(self, visitor):
        self.visitor = visitor

    def post(self, path, body, headers):
        answer = self.visitor.call(f"/webapi{path}", body, headers=headers)
        return answer.status_code, answer.get_data()

    def close(self):
        pass


@pytest.fixture
def api(visitor):
    return Api(ThroughTheWeb(visitor))


def test_ping_tells_version_addresses_and_factors(visitor, authority):
    said = visitor.get("/v1/webapi/ping").get_json()
    assert said["server_version"] == "0.1.0"
    assert said["cluster_name"] == "main"
    assert said["auth"]["second_factors"] == ["otp", "webauthn"]
    assert said["proxy"]["ssh"]["public_addr"] == "localhost:3023"
    assert base64.b64decode(said["tls_authority"]["certificate"]) == authority
    assert said["tls_authority"]["pin"].startswith("sha256:")


def test_find_tells_the_same_without_how_to_sign_in(visitor):
    ping, find = visitor.get("/v1/webapi/ping").get_json(), visitor.get("/v1/webapi/find").get_json()
    assert find == {name: value for name, value in ping.items() if name != "auth"}


def test_the_cluster_is_asked_at_most_every_five_seconds(auth):
    visitor = Visitor(auth)
    for _ in range(10):
        visitor.get("/v1/webapi/ping")
    assert [name for name, _ in auth.calls] == ["cluster.ping"]


def test_the_ordinary_client_signs_in_through_the_relay(api):
    pending = api.call("login.begin", people.LoginBegin(user="joe", source=""))
    proofs = (people.PasswordProof(password="twelve angry men"),)
    answer = api.call("login.prove", people.LoginProve(attempt=pending.attempt, source="", proofs=proofs))
    assert isinstance(answer, people.AttemptPending)
    assert api.call("cluster.ping", Nothing()).cluster == "main"


def test_the_source_is_the_peers_address_whatever_the_caller_writes(api, auth):
    api.call("login.begin", people.LoginBegin(user="joe", source="127.0.0.1"))
    request = people.BrowserLoginCreate(source="10.0.0.1", ssh_public_key=b"k", tls_public_key=b"k")
    api.call("browser_logins.create", request)
    assert [request.source for _, request in auth.calls] == ["192.0.2.7", "192.0.2.7"]


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"],
)
def test_no_header_changes_the_source(visitor, auth, header):
    body = codec.dumps(people.LoginBegin(user="joe", source="x"))
    visitor.call(
        "/webapi/v1/login.begin",
        body,
        headers={header: "for=127.0.0.1" if header == "Forwarded" else "127.0.0.1"},
    )
    assert auth.calls[-1][1].source == "192.0.2.7"


def test_every_relayed_operation_with_a_source_has_it_written():
    for name, has_source in RELAYED.items():
        assert ("source" in OPERATIONS[name].request.__dataclass_fields__) == has_source


def test_only_what_needs_nobody_is_relayed(visitor, auth):
    for name in OPERATIONS:
        if name not in RELAYED:
            assert visitor.call(f"/webapi/v1/{name}", b"{}").status_code == 404
    assert auth.calls == []
    assert all(Caller.WEB in OPERATIONS[name].callers for name in RELAYED)


def test_a_cookie_has_no_meaning_here(visitor, auth):
    visitor.as_user("ada")
    assert visitor.call("/webapi/v1/me.show", b"{}").status_code == 404
    auth.calls.clear()
    visitor.call("/webapi/v1/login.begin", codec.dumps(people.LoginBegin(user="", source="")))
    assert [name for name, _ in auth.calls] == ["login.begin"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"1",
        b'{"user":"a"',
        b'{"user":"a","user":"b","source":""}',
        b'{"user":1,"source":""}',
        b'{"user":["a"],"source":""}',
        b'{"user":null,"source":""}',
        b'{"user":true,"source":""}',
        b'{"user":NaN,"source":""}',
        b'{"user":"a","source":"","admin":true}',
        b'{"source":""}',
        b"\xff\xfe",
        b'{"user":"\xff","source":""}',
        b"[" * 60000,
    ],
)
def test_what_is_not_the_message_is_refused(visitor, auth, body):
    answer = visitor.call("/webapi/v1/login.begin", body)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid"
    assert auth.calls == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_taken_so_that_no_page_can_send_it_simply(visitor, kind):
    body = codec.dumps(people.LoginBegin(user="a", source=""))
    answer = visitor.client.post(
        "/webapi/v1/login.begin", data=body, content_type=kind, environ_overrides=visitor.environ
    )
    assert answer.status_code == 415


def test_a_body_over_the_limit_is_refused(visitor):
    body = json.dumps({"user": "a" * 70000, "source": ""})
    assert visitor.call("/webapi/v1/login.begin", body).status_code == 413


@pytest.mark.parametrize(
    "error", [Denied("why", message="the name is wrong"), NotFound("gone"), Unavailable("down")]
)
def test_a_refusal_arrives_as_the_same_error_without_its_reason(api, auth, error):
    auth.fail["login.begin"] = error
    with pytest.raises(type(error), match=str(error)) as caught:
        api.call("login.begin", people.LoginBegin(user="joe", source=""))
    assert "why" not in str(caught.value)


def test_throttling_arrives_with_its_time(api, auth):
    auth.fail["login.begin"] = Throttled(31)
    with pytest.raises(Throttled) as caught:
        api.call("login.begin", people.LoginBegin(user="joe", source=""))
    assert caught.value.retry_after == 31


def test_a_flood_is_slowed_per_source(auth):
    flood = Visitor(auth, calls_burst=4, calls_per_second=1)
    api = Api(ThroughTheWeb(flood))
    for _ in range(4):
        api.call("login.begin", people.LoginBegin(user="joe", source=""))
    with pytest.raises(Throttled):
        api.call("login.begin", people.LoginBegin(user="joe", source=""))
    other = Api(ThroughTheWeb(Visitor(auth, app=flood.app, source="192.0.2.8")))
    assert other.call("login.begin", people.LoginBegin(user="joe", source=""))


def test_tools_may_come_by_any_name_and_by_address(visitor):
    assert visitor.client.get("/v1/webapi/ping", base_url="https://10.0.0.1:3080").status_code == 200
