"""What a person sees when the answer is no, and what the ways in beside ProxyJump do."""

import socketserver
import sys
import threading
from pathlib import Path

import pytest

from appliance.proxy.algorithms import Profile
from tests.support.authority import Node
from tests.support.bastion import running_bastion

AUDIT = str(Path(sys.executable).parent / "ssh-audit")
pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


def test_a_login_that_is_not_allowed_is_named(bastion):
    done = bastion.ssh("id", options=("-l", "nobody"))
    assert b"sallyport: login nobody is not allowed" in done.stderr
    assert b"Permission denied" in done.stderr


def test_a_node_that_is_down_is_named_and_the_log_has_the_reason(bastion):
    bastion.authority.nodes["down"] = Node("down", "127.0.0.1:1")
    done = bastion.ssh("id", target="down.main")
    assert b"node down is down" in done.stderr
    fact = bastion.eventually(lambda: bastion.authority.fact("session.rejected"))[-1]
    assert "127.0.0.1:1" in fact["reason"]
    assert bastion.eventually(lambda: [end for end in bastion.authority.ends if "down" in end.reason])


def test_a_node_that_shows_another_host_certificate_is_never_entered(bastion):
    bastion.authority.nodes["other"] = Node("other", bastion.node.address)
    done = bastion.ssh("id", target="other.main")
    assert b"node other could not prove its identity" in done.stderr
    rejected = bastion.eventually(
        lambda: [
            fact for fact in bastion.authority.fact("session.rejected") if "other.main" in fact["reason"]
        ]
    )
    assert "made for web1.main" in rejected[-1]["reason"]


def test_an_unknown_node_is_named(bastion):
    done = bastion.ssh("id", target="nosuch.main")
    assert b"there is no node named nosuch" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "::1", "localhost.localdomain."])
def test_no_address_leads_through_the_bastion(bastion, host):
    done = bastion.ssh(options=("-W", f"[{host}]:{bastion.node.port}"), target="bastion")
    assert done.returncode != 0
    assert b"SSH-2.0" not in done.stdout


def test_an_expired_certificate_is_called_that(bastion):
    bastion.ssh_config(bastion.certify(name="old", valid_after="-2h", valid_before="-1h"))
    done = bastion.ssh("id")
    bastion.ssh_config()
    assert b"sallyport: your certificate has expired" in done.stderr


def test_while_auth_is_away_nobody_comes_in_and_is_told_so(bastion):
    bastion.authority.away = True
    try:
        done = bastion.ssh("id")
    finally:
        bastion.authority.away = False
    assert b"can't decide this now" in done.stderr
    assert done.returncode == 255


@pytest.mark.parametrize("words", [(), ("id",)])
def test_the_bastion_has_no_shell_and_says_how_to_go_on(bastion, words):
    done = bastion.ssh(*words, target="bastion")
    assert b"There is no shell here" in done.stdout
    assert done.returncode == 1


def test_sftp_to_the_bastion_itself_is_refused(bastion):
    done = bastion.ssh("-s", "sftp", target="bastion")
    assert b"subsystem request failed" in done.stderr


@pytest.mark.parametrize("user", ["{login}@web1", "{login}%web1", "{login}@web1.main"])
def test_a_client_without_proxyjump_names_the_node_in_the_user_name(bastion, user):
    done = bastion.ssh("echo direct", target="bastion", options=("-l", user.format(login=bastion.node.login)))
    assert done.stdout == b"direct\n"


def test_the_proxy_subsystem_leads_to_the_node_too(bastion):
    config = bastion.folder / "ssh_config"
    command = f"ProxyCommand=ssh -F {config} -s bastion proxy:%h:%p@main"
    done = bastion.ssh("echo by subsystem", options=("-o", command))
    assert done.stdout == b"by subsystem\n", done.stderr


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data.upper())


@pytest.fixture
def echo():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address
        server.shutdown()


def test_a_stream_that_roles_allow_unrecorded_passes_and_is_counted(bastion, echo):
    bastion.authority.direct["web1", 8080] = f"{echo[0]}:{echo[1]}"
    done = bastion.ssh(options=("-W", "web1:8080"), target="bastion", stdin=b"hello" * 100)
    assert done.stdout == b"HELLO" * 100
    fact = bastion.eventually(
        lambda: [f for f in bastion.authority.fact("port") if f.get("destination") == "web1:8080"]
    )[-1]
    assert (fact["bytes_to_destination"], fact["bytes_from_destination"]) == (500, 500)


def test_a_stream_that_roles_do_not_allow_is_refused(bastion):
    done = bastion.ssh(options=("-W", "web1:9999"), target="bastion")
    assert b"access denied" in done.stderr


def test_a_node_named_before_the_greeting_needs_one_connection_only(bastion):
    script = (
        "import os,socket,threading\n"
        f"s=socket.create_connection(('127.0.0.1',{bastion.port}))\n"
        "s.sendall(b'SALLYPORT1 web1.main 22\\n')\n"
        "def up():\n"
        " while (d:=os.read(0,65536)): s.sendall(d)\n"
        " s.shutdown(socket.SHUT_WR)\n"
        "threading.Thread(target=up,daemon=True).start()\n"
        "while (d:=s.recv(65536)): os.write(1,d)\n"
    )
    (bastion.folder / "named.py").write_text(script)
    command = f"ProxyCommand=python3 {bastion.folder}/named.py"
    done = bastion.ssh("echo one layer", options=("-o", command))
    assert done.stdout == b"one layer\n", done.stderr


def test_ssh_passes_the_bare_socket_with_fdpass(bastion):
    script = (
        "import array,socket\n"
        f"s=socket.create_connection(('127.0.0.1',{bastion.port}))\n"
        "s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)\n"
        "s.sendall(b'SALLYPORT1 web1.main 22\\n')\n"
        "o=socket.socket(fileno=1)\n"
        "o.sendmsg([b'\\0'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[s.fileno()]))])\n"
    )
    (bastion.folder / "fdpass.py").write_text(script)
    options = ("-o", f"ProxyCommand=python3 {bastion.folder}/fdpass.py", "-o", "ProxyUseFdpass=yes")
    done = bastion.ssh("echo bare", options=options)
    assert done.stdout == b"bare\n", done.stderr


@pytest.mark.parametrize(("profile", "allowed"), [(Profile.COMPAT, {0, 2}), (Profile.PQ_ONLY, {0})])
def test_ssh_audit_has_nothing_but_post_quantum_exchange_to_miss(tmp_path, profile, allowed):
    with running_bastion(tmp_path, profile=profile) as one:
        done = one.run(
            AUDIT, "--no-colors", "-l", "warn", "--skip-rate-test", "-p", str(one.port), "127.0.0.1"
        )
    notes = [line for line in done.stdout.decode().splitlines() if "[warn]" in line or "[fail]" in line]
    assert all("does not provide protection against post-quantum attacks" in line for line in notes), notes
    assert done.returncode in allowed
