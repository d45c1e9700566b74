"""The web server on a real socket, against peers that do not play fair (W11)."""

import http.client
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.memory_auth import MemoryAuth
from tests.support.web_server import free_port, running
from webui.config import WebLimits

pytestmark = pytest.mark.functional

LIMITS = WebLimits(
    threads=4,
    workers_per_source=2,
    connections=60,
    connections_per_source=40,
    idle_seconds=3,
    request_seconds=1.5,
    calls_burst=10000,
    calls_per_second=10000,
)
MANY_LINES = b"".join(b"X-%d: a\r\n" % number for number in range(100))


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    port = free_port()
    auth = MemoryAuth(address=f"localhost:{port}")
    with running(tmp_path_factory.mktemp("web"), auth.api(), port=port, limits=LIMITS) as server:
        auth.authority = server.tls.authority_der
        yield server


def context(web, **settings):
    made = ssl.create_default_context(cafile=str(web.tls.authority))
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def connect(web, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", web.port), timeout=10, source_address=(source, 0))


def secured(web, source="127.0.0.1", **settings):
    return context(web, **settings).wrap_socket(connect(web, source), server_hostname="localhost")


def say(web, data, *, seconds=10):
    """Send bytes and return all that comes back until the server closes."""
    with secured(web) as tls:
        tls.settimeout(seconds)
        tls.sendall(data)
        return read_all(tls)


def read_all(tls):
    out = b""
    try:
        while piece := tls.recv(65536):
            out += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return out


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None


def get(web, path="/v1/webapi/ping"):
    """Ask one question in the ordinary way; return status and how long it took."""
    began = time.monotonic()
    connection = http.client.HTTPSConnection("localhost", web.port, context=context(web), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.monotonic() - began


def test_it_answers(web):
    assert get(web)[0] == 200


def test_a_connection_carries_several_requests(web):
    connection = http.client.HTTPSConnection("localhost", web.port, context=context(web), timeout=10)
    for _ in range(5):
        connection.request("GET", "/static/page.js")
        assert len(connection.getresponse().read()) > 500
    connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_is_spoken(web, version):
    with secured(web, minimum_version=version, maximum_version=version) as tls:
        assert tls.version() == version.name.replace("_", ".")


def test_old_tls_is_not(web):
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old = context(web, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)), connect(web) as plain:
        old.wrap_socket(plain, server_hostname="localhost")


def test_tls_1_2_without_forward_secrecy_or_aead_is_not(web):
    weak = context(web, maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("AES256-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)), connect(web) as plain:
        weak.wrap_socket(plain, server_hostname="localhost")


def test_plain_http_is_pointed_to_https(web):
    with connect(web) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = plain.recv(4096)
    assert status(answer) == 308
    assert f"Location: https://localhost:{web.port}/".encode() in answer


def test_peers_that_never_shake_hands_do_not_stop_the_others(web):
    silent = [connect(web) for _ in range(20)]
    try:
        for _ in range(5):
            code, took = get(web)
            assert code == 200
            assert took < 1
    finally:
        for one in silent:
            one.close()


def test_a_handshake_that_is_dripped_is_cut(web):
    with connect(web) as plain:
        began = time.monotonic()
        plain.sendall(b"\x16\x03\x01\x02\x00")
        cut = cut_while_dripping(plain, b"\x01")
    assert cut
    assert time.monotonic() - began < LIMITS.request_seconds + 3


def cut_while_dripping(peer, byte, *, seconds=8):
    """Send a byte every 0.2 s; return whether the other side closed within the time."""
    until = time.monotonic() + seconds
    peer.settimeout(0.2)
    while time.monotonic() < until:
        try:
            peer.sendall(byte)
            if peer.recv(4096) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_header_lines_that_are_dripped_are_cut(web):
    with secured(web) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        began = time.monotonic()
        assert cut_while_dripping(tls, b"a")
        assert time.monotonic() - began < LIMITS.request_seconds + 3


def test_a_body_that_is_dripped_is_cut(web):
    head = b"POST /webapi/v1/login.begin HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with secured(web) as tls:
        tls.sendall(head + b"Content-Length: 60000\r\n\r\n{")
        began = time.monotonic()
        assert cut_while_dripping(tls, b" ")
        assert time.monotonic() - began < LIMITS.request_seconds + 3


SLOW = [b"", b"GET /v1/webapi/ping HTTP/1.1\r\n", b"POST /web/login HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]


@pytest.mark.parametrize("beginning", SLOW, ids=["after-handshake", "in-headers", "in-body"])
def test_a_source_that_is_slow_on_many_connections_is_slow_to_itself(web, beginning):
    with ExitStack() as slow:
        for _ in range(12):
            slow.enter_context(secured(web, "127.0.0.2")).sendall(beginning)
        for _ in range(5):
            code, took = get(web)
            assert code == 200
            assert took < 1
    all_places_are_given_back(web)


def test_an_answer_nobody_takes_is_given_up(web):
    head = f"GET /static/player/asciinema-player.min.js HTTP/1.1\r\nHost: localhost:{web.port}\r\n"
    request = head.encode() + b"\r\n"
    stuck = []
    for number in range(LIMITS.threads):
        plain = socket.socket()
        plain.bind((f"127.0.0.{number + 2}", 0))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.connect(("127.0.0.1", web.port))
        tls = context(web).wrap_socket(plain, server_hostname="localhost")
        tls.sendall(request * 40)
        stuck.append(tls)
    try:
        assert get(web)[0] == 200
    finally:
        for tls in stuck:
            tls.close()


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 40\r\n",
        b"Content-Length: 4, 40\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: 4\r\n Transfer-Encoding: chunked\r\n",
        b"Content-Length: 4\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_smuggling_finds_one_refusal_and_a_closed_door(web, lines):
    hidden = b"GET /v1/webapi/find HTTP/1.1\r\nHost: localhost\r\n\r\n"
    request = (
        b"POST /webapi/v1/cluster.ping HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    answer = say(web, request + lines + b"\r\n0\r\n\r\n" + hidden)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.") == 1


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 413),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + MANY_LINES + b"\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"\x00\x01\x02\r\n\r\n", 400),
    ],
)
def test_requests_out_of_bounds_are_refused(web, request_, expected):
    assert status(say(web, request_)) == expected


def test_a_body_over_the_limit_is_refused_before_it_is_read(web):
    head = b"POST /webapi/v1/login.begin HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert status(say(web, head + b"Content-Length: 70000\r\n\r\n")) == 413


def test_one_source_has_so_many_connections_and_no_more(web):
    time.sleep(0.6)
    mine = [connect(web) for _ in range(LIMITS.connections_per_source + 5)]
    try:
        time.sleep(0.5)
        closed = [one for one in mine if is_closed(one)]
        assert len(closed) >= 5
    finally:
        for one in mine:
            one.close()
    all_places_are_given_back(web)
    assert get(web)[0] == 200


def all_places_are_given_back(web):
    until = time.monotonic() + LIMITS.idle_seconds + 5
    while web.server.places._taken.total() and time.monotonic() < until:
        time.sleep(0.1)
    assert web.server.places._taken.total() == 0


def is_closed(peer):
    peer.settimeout(0.05)
    try:
        return peer.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_idle_connections_are_closed_and_their_places_free(web):
    with secured(web) as tls:
        tls.settimeout(LIMITS.idle_seconds + 4)
        assert tls.recv(1) == b""
    all_places_are_given_back(web)


def test_many_at_once_are_all_answered(web):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: get(web)[0], range(120)))
    assert answers == [200] * 120


def test_random_bytes_do_no_harm(web):
    import random  # noqa: PLC0415 - only here

    chance = random.Random(7)
    for _ in range(40):
        with secured(web) as tls:
            tls.settimeout(3)
            tls.sendall(chance.randbytes(chance.randint(1, 600)) + b"\r\n\r\n")
            read_all_in_time(tls)
    assert get(web)[0] == 200
    assert all(thread.is_alive() for thread in web.server.requests._threads)


def read_all_in_time(tls):
    try:
        return read_all(tls)
    except TimeoutError:
        return b""


def test_an_answer_that_takes_long_to_make_arrives_all_the_same(web, tmp_path):
    port = free_port()
    auth = MemoryAuth(address=f"localhost:{port}", authority=web.tls.authority_der)
    ping = auth.cluster_ping
    auth.cluster_ping = lambda *given: (time.sleep(LIMITS.request_seconds + 1), ping(*given))[1]
    with running(tmp_path, auth.api(), port=port, limits=LIMITS) as slow:
        assert get(slow)[0] == 200


def test_a_large_answer_may_be_taken_slowly_but_not_at_a_drip(web):
    head = f"GET /static/player/asciinema-player.min.js HTTP/1.1\r\nHost: localhost:{web.port}\r\n"
    request = head.encode() + b"Connection: close\r\n\r\n"
    with secured(web) as tls:
        tls.sendall(request)
        whole = b""
        while piece := tls.recv(16384):
            whole += piece
            time.sleep(0.15)
    assert len(whole) > 180_000


def test_the_certificate_can_be_changed_while_it_runs(web, tmp_path):
    from tests.support.web_tls import make  # noqa: PLC0415

    with secured(web) as before:
        old = before.getpeercert(binary_form=True)
        fresh = make(tmp_path)
        web.tls.certificate.write_bytes(fresh.certificate.read_bytes())
        web.tls.key.write_bytes(fresh.key.read_bytes())
        web.server.reload_certificate()
        before.sendall(b"GET /v1/webapi/ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status(read_all(before)) == 200
    trusting = ssl.create_default_context(cafile=str(fresh.authority))
    with connect(web) as plain, trusting.wrap_socket(plain, server_hostname="localhost") as after:
        assert after.getpeercert(binary_form=True) != old


def test_the_server_stops_in_time_with_peers_connected(tmp_path):
    port = free_port()
    auth = MemoryAuth(address=f"localhost:{port}")
    with ExitStack() as peers:
        with running(tmp_path, auth.api(), port=port, limits=LIMITS) as server:
            workers = list(server.server.requests._threads)
            for greeting in (b"", b"GET / HTTP/1.1\r\n"):
                peers.enter_context(secured(server)).sendall(greeting)
            began = time.monotonic()
        assert time.monotonic() - began < 8
        assert len(workers) == LIMITS.threads
        assert not [worker for worker in workers if worker.is_alive()]
