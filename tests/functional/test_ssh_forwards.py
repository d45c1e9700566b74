"""Forwards with stock ssh, where the role allows them: counted, recorded, and only to listed places."""

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from appliance.recording.events import Forwarded, ForwardKind
from appliance.recording.frames import Happened
from appliance.recording.reader import Recording
from tests.support.bastion import running_bastion
from tests.support.sshd import free_port

pytestmark = pytest.mark.functional


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True


class _Shout(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data.upper())


@pytest.fixture(scope="module")
def shout():
    with _Server(("127.0.0.1", 0), _Shout) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def bastion(tmp_path_factory, shout):
    with running_bastion(tmp_path_factory.mktemp("bastion"), sshd_extra=("AllowAgentForwarding yes",)) as one:
        one.authority.with_options(
            port_forwarding=True, direct_destinations=(f"127.0.0.1:{shout}",), forward_agent=True
        )
        yield one


@contextlib.contextmanager
def holding(bastion, *options):
    """Run `ssh -N` with forwards until the block ends."""
    process = subprocess.Popen(
        ["ssh", "-F", str(bastion.folder / "ssh_config"), "-N", *options, "web1.main"], stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()  # OpenSSH 9.2 may sleep through a SIGTERM that comes just before its poll()
        process.communicate(timeout=10)


def connected(port, seconds=10):
    until = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def shouted(sock, data=b"hello"):
    with sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    return received


def facts(bastion, kind):
    return [fact for fact in bastion.authority.fact("port") if fact.get("kind") == kind]


def test_a_local_forward_to_a_listed_place_passes_and_is_counted_and_recorded(bastion, shout):
    port = free_port()
    with holding(bastion, "-L", f"{port}:127.0.0.1:{shout}"):
        assert shouted(connected(port)) == b"HELLO"
        assert shouted(connected(port), b"x" * 100000) == b"X" * 100000
    found = bastion.eventually(lambda: len(facts(bastion, "local")) == 2 and facts(bastion, "local"))
    assert found[-1]["bytes_to_destination"] == found[-1]["bytes_from_destination"] == 100000
    assert found[-1]["destination"] == f"127.0.0.1:{shout}"
    edge = bastion.thread.worker.edge
    bastion.eventually(lambda: not len(edge.sessions) and not edge.spool.waiting)
    path = bastion.folder / "forward.rec"
    path.write_bytes(bastion.authority.recordings[bastion.authority.ends[-1].session])
    with Recording.open(path) as recording:
        events = [timed.frame.event for timed in recording.frames() if isinstance(timed.frame, Happened)]
    assert [type(event) for event in events] == [Forwarded, Forwarded]
    assert events[-1].kind is ForwardKind.LOCAL


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "::1"])
def test_a_local_forward_to_another_place_is_refused(bastion, host):
    done = bastion.ssh(options=("-W", f"[{host}]:{bastion.node.port}"))
    assert b"SSH-2.0" not in done.stdout
    assert b"forwarding is not allowed" in done.stderr


def test_a_dynamic_forward_is_the_same_by_another_name(bastion, shout):
    port = free_port()
    with holding(bastion, "-D", str(port)):
        sock = connected(port)
        sock.sendall(b"\x05\x01\x00")
        assert sock.recv(2) == b"\x05\x00"
        sock.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + shout.to_bytes(2, "big"))
        assert sock.recv(10)[1] == 0
        assert shouted(sock) == b"HELLO"
        sock = connected(port)
        sock.sendall(b"\x05\x01\x00")
        sock.recv(2)
        sock.sendall(
            b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + bastion.node.port.to_bytes(2, "big")
        )
        assert sock.recv(10)[1:2] != b"\x00"
        sock.close()


def test_a_remote_forward_listens_on_the_node_and_is_counted(bastion, shout):
    port = free_port()
    with holding(bastion, "-R", f"127.0.0.1:{port}:127.0.0.1:{shout}", "-o", "ExitOnForwardFailure=yes"):
        assert shouted(connected(port)) == b"HELLO"
    found = bastion.eventually(lambda: facts(bastion, "remote"))
    assert (found[0]["bytes_to_destination"], found[0]["bytes_from_destination"]) == (5, 5)


def test_a_remote_forward_on_any_port_tells_which(bastion, shout):
    with holding(bastion, "-R", f"127.0.0.1:0:127.0.0.1:{shout}") as process:
        line = process.stderr.readline()
        port = int(line.split()[2])
        assert shouted(connected(port)) == b"HELLO"


def test_an_agent_is_reachable_from_the_node_and_only_for_its_own_session(bastion):
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, check=True, text=True)
    settings = dict(part.split("=") for part in agent.stdout.replace(";", "\n").split("\n") if "=" in part)
    try:
        environment = ["env", f"SSH_AUTH_SOCK={settings['SSH_AUTH_SOCK']}"]
        bastion.run(*environment, "ssh-add", "-q", str(bastion.folder / "id"))
        config = str(bastion.folder / "ssh_config")
        done = bastion.run(*environment, "ssh", "-A", "-F", config, "web1.main", "ssh-add -l")
        assert b"ED25519" in done.stdout, done.stderr
        assert bastion.eventually(lambda: facts(bastion, "agent"))
        bastion.authority.with_options(forward_agent=False)
        done = bastion.run(*environment, "ssh", "-A", "-F", config, "web1.main", "ssh-add -l")
        assert b"ED25519" not in done.stdout
    finally:
        bastion.authority.with_options(forward_agent=True)
        os.kill(int(settings["SSH_AGENT_PID"]), signal.SIGTERM)


def test_many_forwarded_streams_at_once_keep_their_bytes_apart(bastion, shout):
    port = free_port()
    with holding(bastion, "-L", f"{port}:127.0.0.1:{shout}"):
        connected(port).close()
        results = {}

        def one(index):
            results[index] = shouted(connected(port), bytes([97 + index % 26]) * 200000)

        threads = [threading.Thread(target=one, args=(index,)) for index in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == {index: bytes([65 + index % 26]) * 200000 for index in range(30)}
