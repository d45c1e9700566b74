"""The API at its real doors: who is at the other end is the connection's word, never the request's."""

import json
import os
import socket
import ssl
import stat
import threading
import time
from contextlib import closing
from dataclasses import replace

import httpx2
import pytest
from cryptography import x509

from appliance.api import listeners
from appliance.api.application import MAX_BODY, create_app
from appliance.api.identify import DOOR, Door, Identify
from appliance.certificates import templates
from appliance.domain.errors import Denied, Invalid, NotFound, SallyportError, Sealed, Throttled, Unavailable
from appliance.domain.operations import OPERATIONS, Caller, custody, journal, people
from appliance.domain.operations.operation import Nothing
from tests.support import web_tls
from tests.support.auth_box import token_of


def raw(served, socket_name="console", **more):
    """A plain HTTP client on a socket, which says what a test wants."""
    transport = httpx2.HTTPTransport(uds=str(served.folder / f"data/run/{socket_name}.sock"))
    return httpx2.Client(transport=transport, base_url="http://auth", trust_env=False, timeout=20, **more)


def refusal(answer):
    """The one form of an error, whatever went wrong."""
    document = json.loads(answer.content)
    assert answer.headers["content-type"] == "application/json"
    assert set(document) <= {"error", "message", "retry_after"}
    return answer.status_code, document["error"], document["message"]


# Unix sockets


def test_each_socket_stands_for_one_caller(served):
    assert served.unix("console").call("users.list", Nothing()).users == ()
    for name in ("proxy", "web"):
        with pytest.raises(Denied, match="access denied"):
            served.unix(name).call("users.list", Nothing())
    assert served.unix("web").call("login.begin", people.LoginBegin(user="joe", source="192.0.2.7"))
    assert served.box.events("access.denied")[0]["user"] == "service:proxy"


def test_the_sockets_are_their_owners_alone(served):
    for name in ("console", "proxy", "web"):
        assert stat.S_IMODE((served.folder / f"data/run/{name}.sock").stat().st_mode) == 0o600


def test_another_account_at_a_socket_is_refused_by_its_uid(tmp_path):
    """Were the file's mode ever loosened, the kernel's word on the peer would still hold."""
    identify = Identify(cluster="main", web_session=lambda _: pytest.fail("asked"), holds=lambda _: True)
    door = Door(caller=Caller.CONSOLE, uids=frozenset({os.getuid() + 1}))
    app = create_app(lambda *_: pytest.fail("reached"), identify)
    path = tmp_path / "s.sock"
    listener = listeners.unix(app, path, door)
    try:
        transport = httpx2.HTTPTransport(uds=str(path))
        with httpx2.Client(transport=transport, base_url="http://auth", trust_env=False) as client:
            headers = {"X-Remote-Uid": str(os.getuid() + 1), "X_REMOTE_UID": str(os.getuid() + 1)}
            assert refusal(client.post("/v1/users.list", content=b"{}", headers=headers))[1] == "denied"
    finally:
        listener.stop()


@pytest.mark.parametrize("uid", [None, "", "x", -1, 1.5, "1000\n", "\u0660", "1001"])
def test_a_peer_that_the_kernel_does_not_name_is_nobody(uid):
    identify = Identify(cluster="main", web_session=lambda _: None, holds=lambda _: True)
    environ = {DOOR: Door(caller=Caller.CONSOLE, uids=frozenset({0, 1000})), "X_REMOTE_UID": uid}
    with pytest.raises(Denied):
        identify(environ, None)


def test_a_second_process_does_not_take_a_socket_that_is_served(served):
    door = Door(caller=Caller.CONSOLE, uids=frozenset())
    with pytest.raises(Unavailable, match="another process listens"):
        listeners.unix(lambda *_: [], served.folder / "data/run/console.sock", door)


# browser sessions


def test_only_the_web_process_names_a_browser_session(served):
    token = served.box.browser(served.box.sign_up("joe"))
    assert served.unix("web").for_web_session(token).call("me.show", Nothing()).user == "joe"
    for name in ("console", "proxy"):
        with pytest.raises(Denied):
            served.unix(name).for_web_session(token).call("me.show", Nothing())
    joe = served.box.certified(served.box.sign_up("ann"))
    with pytest.raises(Denied):
        served.tls(served.person_files(joe)).for_web_session(token).call("me.show", Nothing())


def test_a_session_that_is_none_is_refused(served):
    with raw(served, "web") as client:
        for token in ("x", "A" * 43, "é", "' or 1=1", "A" * 8000):
            headers = {"Sallyport-Session": token.encode()}
            answer = client.post("/v1/me.show", content=b"{}", headers=headers)
            assert refusal(answer) == (403, "denied", "signed out: sign in again")


def test_a_browser_session_has_no_more_rights_than_its_person(served):
    token = served.box.browser(served.box.sign_up("joe"))
    api = served.unix("web").for_web_session(token)
    for name in ("users.list", "events.list", "login.begin"):
        request = {"events.list": journal.EventsQuery(), "login.begin": people.LoginBegin(user="", source="")}
        with pytest.raises(Denied):
            api.call(name, request.get(name, Nothing()))


# mutual TLS


@pytest.fixture
def joe(served):
    return served.box.certified(served.box.sign_up("joe"))


def test_a_person_is_known_by_their_certificate(served, joe):
    api = served.tls(served.person_files(joe))
    assert api.call("me.show", Nothing()).user == "joe"


def refused_at_the_door(served, file):
    with pytest.raises(SallyportError) as error:
        served.tls(file).call("me.show", Nothing())
    return error.value


def test_without_a_certificate_there_is_no_conversation(served):
    assert isinstance(refused_at_the_door(served, None), Unavailable)


def own_file(served, person, der):
    file = served.folder / "other.pem"
    file.write_bytes(person.keys.tls_private + ssl.DER_cert_to_PEM_cert(der).encode())
    return file


def made(served, person, **changes):
    """A certificate of the cluster's authority over the person's key that says something else."""
    now = served.box.clock.now()
    spec = templates.person_tls(
        cluster="main",
        user=person.name,
        public_key=person.keys.tls_public,
        now=now,
        until=now + (served.box.rooms.credentials.lifetimes.default),
    )
    return served.box.rooms.credentials.issuer.tls(replace(spec, **changes), user=person.name)


URIS = (
    "sallyport://other/person/joe",
    "sallyport://main/person/",
    "sallyport://main/person/Joe",
    "sallyport://main/person/../joe",
    "sallyport://main/person/joe/x",
    "SALLYPORT://main/person/joe",
    "https://main/person/joe",
)


def test_only_the_name_of_a_person_of_this_cluster_counts(served, joe):
    refused, never_made = 0, 0
    for changes in ({"dns_names": ("joe",), "uri": ""}, *({"uri": uri} for uri in URIS)):
        try:
            der = made(served, joe, **changes)
        except SallyportError:
            never_made += 1  # by the signer, which has limits of its own
            continue
        assert isinstance(refused_at_the_door(served, own_file(served, joe, der)), Denied)
        refused += 1
    assert refused >= 4
    assert refused + never_made == len(URIS) + 1


def test_the_certificate_of_a_server_is_not_a_person(served, joe):
    der = made(served, joe, server=True, uri="", dns_names=("localhost",))
    assert isinstance(refused_at_the_door(served, own_file(served, joe, der)), SallyportError)


def test_a_certificate_of_another_authority_is_refused_in_the_handshake(served, joe, tmp_path):
    other = web_tls.make(tmp_path)
    file = served.folder / "foreign.pem"
    file.write_bytes(other.key.read_bytes() + other.certificate.read_bytes())
    assert isinstance(refused_at_the_door(served, file), Unavailable)


def test_a_certificate_that_was_never_registered_is_refused(served, joe):
    now = served.box.clock.now()
    until = now + served.box.rooms.credentials.lifetimes.default
    spec = templates.person_tls(
        cluster="main", user="joe", public_key=joe.keys.tls_public, now=now, until=until
    )
    der = served.box.ground.custody.sign_tls(spec, 1).blob
    assert isinstance(refused_at_the_door(served, own_file(served, joe, der)), Denied)


def test_a_revoked_certificate_is_refused_at_the_next_request(served, joe):
    api = served.tls(served.person_files(joe))
    api.call("me.show", Nothing())
    serial = x509.load_der_x509_certificate(joe.issued.tls_certificate).serial_number
    served.box.console("certificates.revoke", custody.CertificatesRevoke(serial=str(serial)))
    with pytest.raises(Denied):
        api.call("me.show", Nothing())


def test_a_persons_certificate_from_before_a_reset_is_refused_after_it(served, joe):
    api = served.tls(served.person_files(joe))
    token = token_of(served.box.console("users.reset", people.UserNamed(name="joe")))
    served.box.clock.forward(seconds=1)
    served.box.sign_up("joe", token=token)
    with pytest.raises(Denied):
        api.call("me.show", Nothing())


def test_an_older_tls_is_refused(served, joe):
    context = served.context(served.person_files(joe))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", served.port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_peers_that_stall_in_the_handshake_keep_nobody_out(served, joe):
    """T08: silent ones, and ones that send half a greeting; from one place, as a stranger's would be."""
    door = ("127.0.0.1", served.port)
    stalled = [socket.create_connection(door, 10, source_address=("127.0.0.2", 0)) for _ in range(24)]
    for one in stalled[::2]:
        one.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    began = time.monotonic()
    try:
        assert served.tls(served.person_files(joe)).call("me.show", Nothing()).user == "joe"
    finally:
        for one in stalled:
            one.close()
    assert time.monotonic() - began < 10


# requests


def test_get_and_other_methods_are_refused(served):
    with raw(served) as client:
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            status, error, _ = refusal(client.request(method, "/v1/users.list"))
            assert (status, error) == (404, "not_found")


NOWHERE = ["/", "/v1", "/v1/", "/v2/users.list", "/v1/users.list/x", "/v1/nothing.here", "/static/x"]


def test_there_is_nothing_at_other_addresses(served):
    with raw(served) as client:
        for path in NOWHERE:
            assert refusal(client.post(path, content=b"{}"))[:2] == (404, "not_found")


NO_REQUESTS = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff",
    b'{"name":1}',
    b'{"name":"a","name":"b"}',
    b'{"name":"a","x":1}',
    b"",
]


def test_a_body_that_is_no_request_is_refused(served):
    with raw(served) as client:
        for body in NO_REQUESTS:
            assert refusal(client.post("/v1/users.create", content=body))[:2] == (400, "invalid")


def test_a_body_that_is_too_long_is_refused_as_that(served, caplog):
    body = b'{"name":"' + b"x" * MAX_BODY + b'"}'
    with raw(served) as client:
        status, error, message = refusal(client.post("/v1/users.create", content=body))
    assert (status, error) == (413, "invalid")
    assert str(MAX_BODY) in message
    assert "failed" not in caplog.text


def test_a_body_of_unknown_length_is_bounded_too(served):
    def pieces():
        for _ in range(3 * MAX_BODY // 65536):
            yield b"x" * 65536

    with raw(served) as client:
        try:
            answer = client.post("/v1/users.create", content=pieces())
        except httpx2.TransportError:
            return
    assert answer.status_code in {400, 411, 413}


def test_whoever_may_not_call_is_refused_before_the_body_is_read(served):
    with raw(served, "proxy") as client:
        headers = {"Sallyport-Session": "x"}
        answer = client.post("/v1/users.create", content=b"no json", headers=headers)
    assert refusal(answer)[1] == "denied"


# what a peer is told


class Faulty:
    """A broker that raises what the test says."""

    def __init__(self):
        self.error = None

    def __call__(self, name, identity, request):
        raise self.error


@pytest.fixture
def faulty():
    broker = Faulty()
    app = create_app(broker, lambda *_: None)
    return broker, app.test_client()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Invalid("name: expected x"), (400, "invalid", "name: expected x")),
        (NotFound("there is no user joe"), (404, "not_found", "there is no user joe")),
        (Denied("the secret reason"), (403, "denied", "access denied")),
        (Denied("the secret reason", message="sign in first"), (403, "denied", "sign in first")),
        (Throttled(7), (429, "throttled", "too many attempts, try again in 7 seconds")),
        (Sealed("sealed"), (503, "sealed", "sealed")),
        (Unavailable("away"), (503, "unavailable", "away")),
        (
            RuntimeError("/etc/secret: PIN 1234"),
            (503, "unavailable", "the auth service failed at this; its log says why"),
        ),
        (KeyError("joe"), (503, "unavailable", "the auth service failed at this; its log says why")),
    ],
)
def test_an_error_is_told_in_one_form_and_without_what_is_inside(faulty, error, told, caplog):
    broker, client = faulty
    broker.error = error
    answer = client.post("/v1/me.show", data=b"{}")
    assert (answer.status_code, *refusal_of(answer)) == told
    assert b"secret" not in answer.data
    assert b"Traceback" not in answer.data
    if not isinstance(error, SallyportError):
        assert type(error).__name__ in caplog.text


def refusal_of(answer):
    document = json.loads(answer.data)
    return document["error"], document["message"]


def test_whoever_must_wait_is_told_how_long_in_both_places(faulty):
    broker, client = faulty
    broker.error = Throttled(7)
    answer = client.post("/v1/me.show", data=b"{}")
    assert answer.headers["Retry-After"] == "7"
    assert json.loads(answer.data)["retry_after"] == 7


def test_every_operation_answers_at_its_address(served):
    """A wrong caller is refused, which shows that the address is there and the gate in front of it."""
    with raw(served, "proxy") as client:
        for name, one in OPERATIONS.items():
            if Caller.PROXY not in one.callers:
                status, error, _ = refusal(client.post(f"/v1/{name}", content=b"{}"))
                assert (status, error) in {(403, "denied"), (400, "invalid")}, name


def test_many_callers_at_once_are_all_answered(served):
    outcomes = []

    def ask():
        with closing(served.unix("console")) as api:
            outcomes.append(api.call("cluster.ping", Nothing()).cluster)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert outcomes == ["main"] * 20
