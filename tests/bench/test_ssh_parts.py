"""The parts of `bench/run ssh` that do not need the whole appliance, and one look at it with the whole."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bench.frame import BenchError, NotEqualError
from bench.meter import ProcMeter
from bench.ssh import delay, site, sshd, transfer

ROOT = Path(__file__).parents[2]
SIZE = 3 * transfer.MIB


class Clockwork:
    """A meter that costs one second each time it is asked."""

    def __init__(self):
        self.now = 0.0

    def cpu_seconds(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def payload(tmp_path):
    return transfer.random_payload(tmp_path, SIZE)


@pytest.fixture
def fake_ssh(tmp_path):
    """A client as `ssh -W` is one, without ssh: joins its input and output with a port."""

    def write(filter_down="lambda data: data"):
        program = tmp_path / "client.py"
        program.write_text(
            "import os, socket, sys, threading\n"
            "host, port = sys.argv[-1].split(':')\n"
            "sock = socket.create_connection((host, int(port)))\n"
            "def up():\n"
            "    while data := os.read(0, 65536): sock.sendall(data)\n"
            "    sock.shutdown(socket.SHUT_WR)\n"
            "threading.Thread(target=up, daemon=True).start()\n"
            f"alter = {filter_down}\n"
            "while data := sock.recv(65536): os.write(1, alter(data))\n"
        )
        return [sys.executable, str(program)]

    return write


def test_a_download_is_counted_and_compared(fake_ssh, payload):
    measured = transfer.stream_down(fake_ssh(), "127.0.0.1", payload, Clockwork())
    assert (measured.size, measured.cpu) == (SIZE, 1.0)
    assert measured.mib_per_second > 0


def test_an_upload_is_counted_and_compared(fake_ssh, payload):
    assert transfer.stream_up(fake_ssh(), "127.0.0.1", payload, Clockwork()).cpu == 1.0


def test_one_wrong_bit_has_no_figure(fake_ssh, payload):
    flip = fake_ssh("lambda data: bytes([data[0] ^ 1]) + data[1:]")
    with pytest.raises(NotEqualError):
        transfer.stream_down(flip, "127.0.0.1", payload, Clockwork())


def test_a_file_cut_short_has_no_figure(payload):
    half = ["sh", "-c"]
    cut = f"echo ready; read -r go; head -c 1000 {payload.path}; exit 0; true"
    with pytest.raises(NotEqualError):
        transfer.session_down([*half, cut + " #"], payload, Clockwork())


def test_a_session_is_counted_both_ways(payload):
    local = ["sh", "-c", "sh -c"]
    down = transfer.session_down(local, payload, Clockwork())
    up = transfer.session_up(local, payload, Clockwork())
    assert (down.cpu, up.cpu) == (1.0, 1.0)


def test_a_session_that_never_begins_is_an_error(payload):
    with pytest.raises(BenchError, match="ended"):
        transfer.session_up(["sh", "-c", "true #"], payload, Clockwork())


def test_text_has_no_line_twice_and_is_what_it_says(tmp_path):
    text = transfer.text_payload(tmp_path, 100_000)
    data = text.path.read_bytes()
    assert len(data) == text.size >= 100_000
    assert len(set(data.splitlines())) == data.count(b"\n")
    assert hashlib.sha256(data).hexdigest() == text.digest


def test_quiet_is_when_a_server_rests():
    with subprocess.Popen(["sleep", "60"]) as resting:
        transfer.wait_until_quiet(ProcMeter((resting.pid,)))
        resting.kill()


def test_a_far_client_waits_a_round_trip():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        delay.delayed(server.getsockname()[1], 0.2) as port,
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as near:
            far, _ = server.accept()
            began = time.monotonic()
            near.sendall(b"ping" * 50_000)
            with far:
                received = b""
                while len(received) < 200_000:
                    received += far.recv(65536)
                far.sendall(b"pong")
                assert near.recv(4) == b"pong"
        assert received == b"ping" * 50_000
        assert 0.19 < time.monotonic() - began < 2


def test_the_socket_is_passed_after_the_node_was_named():
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, str(site.PASS_FD), "127.0.0.1", port, "web1", "22"]
        with subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL) as helper:
            connection, _ = server.accept()
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            assert helper.wait(10) == 0
        with connection, socket.socket(fileno=fds[0]) as passed:
            assert connection.recv(100) == b"SALLYPORT1 web1 22\n"
            connection.sendall(b"SSH-2.0-x\r\n")
            assert passed.recv(100) == b"SSH-2.0-x\r\n"


def test_every_source_is_another_address():
    sources = {site.fresh_source() for _ in range(70_000)}
    assert len(sources) == 70_000
    assert not any(one.endswith((".0", ".255")) for one in sources)


def test_a_tool_that_fails_says_why(tmp_path):
    with pytest.raises(BenchError, match="ssh-keygen"):
        sshd.run_tool(["ssh-keygen", "-l", "-f", str(tmp_path / "nowhere")])


@pytest.mark.functional
def test_a_benchmark_that_is_told_to_end_leaves_nothing_behind():
    command = [sys.executable, str(ROOT / "bench/run"), "ssh", "--rows", "A1"]
    # A short path: the appliance's sockets lie below it
    with tempfile.TemporaryDirectory(prefix="b-") as place:
        with subprocess.Popen(command, env={**os.environ, "TMPDIR": place}) as process:
            until = time.monotonic() + 60
            while not list(Path(place).glob("*/ssh_config")) and time.monotonic() < until:
                time.sleep(0.1)
            process.terminate()
            assert process.wait(60) == 143
        assert list(Path(place).iterdir()) == []
        assert place.encode() not in b"".join(_command_lines())


def _command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


@pytest.mark.functional
def test_the_bastion_is_measured_beside_openssh_on_the_real_appliance():
    command = [sys.executable, str(ROOT / "bench/run"), "ssh", "--quick", "--rounds", "1", "--json"]
    done = subprocess.run(
        [*command, "--rows", "B1.down,C1"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {"B1.down", "C1"} <= set(rows)
    assert all(row["ratio"] > 0 for row in rows.values())
