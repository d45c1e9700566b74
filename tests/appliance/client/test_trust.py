"""A cluster met for the first time, and whoever may sit in between."""

import http.server
import ssl
import threading
from contextlib import contextmanager

import pytest

from appliance.client.person import trust
from appliance.client.person.home import Home
from appliance.client.transport import PinnedAuthority
from appliance.domain import codec
from appliance.domain.errors import Denied, SallyportError
from appliance.domain.operations.people import ClusterInfo
from tests.support import web_tls


def info(authority, *others):
    return ClusterInfo(
        server_version="1",
        cluster="main",
        second_factors=("otp",),
        rp_id="localhost",
        web_address="localhost:3080",
        ssh_address="localhost:3023",
        api_address="localhost:3025",
        tls_authority=authority,
        host_authority="",
        tls_authorities=others,
    )


@contextmanager
def serving(tls, answer):
    """A web address that answers every call with this, under this certificate."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = codec.dumps(answer)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "sally")


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    return web_tls.make(tmp_path / "cluster")


@pytest.fixture
def attacker(tmp_path):
    (tmp_path / "attacker").mkdir()
    return web_tls.make(tmp_path / "attacker")


def refuse(_pin):
    return False


def agree(_pin):
    return True


def test_a_pinned_cluster_is_known_from_then_on_without_the_pin(home, cluster):
    pin = PinnedAuthority.of(cluster.authority_der).pin
    with serving(cluster, info(cluster.authority_der)) as proxy:
        trust.contact(home, proxy, pin=pin, confirm=refuse)
        assert trust.contact(home, proxy, pin=None, confirm=refuse).info.cluster == "main"


def test_an_authority_that_is_not_the_pinned_one_is_refused_and_not_kept(home, cluster, attacker):
    pin = PinnedAuthority.of(cluster.authority_der).pin
    with serving(attacker, info(attacker.authority_der)) as proxy:
        with pytest.raises(Denied, match="not the cluster of this pin"):
            trust.contact(home, proxy, pin=pin, confirm=agree)
        assert not home.authority(proxy).exists()


@pytest.mark.parametrize("pinned", [True, False])
def test_an_authority_smuggled_in_beside_the_right_one_is_not_trusted(home, cluster, attacker, pinned):
    """The man in the middle relays the true authority, and adds their own, which signed their certificate."""
    pin = PinnedAuthority.of(cluster.authority_der).pin if pinned else None
    answer = info(cluster.authority_der, cluster.authority_der, attacker.authority_der)
    with serving(attacker, answer) as proxy:
        with pytest.raises(SallyportError):
            trust.contact(home, proxy, pin=pin, confirm=agree)
        kept = home.authority(proxy).read_text()
    assert ssl.DER_cert_to_PEM_cert(attacker.authority_der) not in kept


def test_while_an_authority_is_rotated_the_pin_of_either_is_good(home, cluster, attacker):
    pin = PinnedAuthority.of(cluster.authority_der).pin
    coming = attacker.authority_der
    with serving(cluster, info(coming, cluster.authority_der, coming)) as proxy:
        assert trust.contact(home, proxy, pin=pin, confirm=refuse).info.cluster == "main"


def test_without_a_pin_the_person_is_shown_it_and_nothing_is_kept_when_they_say_no(home, cluster):
    shown = []
    with serving(cluster, info(cluster.authority_der)) as proxy:
        with pytest.raises(Denied, match="not confirmed"):
            trust.contact(home, proxy, pin=None, confirm=shown.append)
        assert not home.authority(proxy).exists()
    assert shown == [PinnedAuthority.of(cluster.authority_der).pin]
