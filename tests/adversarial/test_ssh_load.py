"""Strangers in numbers: they are few at a time, fewer from one place, and others still come in (P12)."""

import contextlib
import socket
import subprocess
import time
from dataclasses import replace

import pytest

from appliance.proxy.config import Limits
from tests.support.bastion import ROOMY, WorkerThread, running_bastion

pytestmark = pytest.mark.functional


def idle(port, source, count):
    """Connect and say nothing; return the sockets that were greeted, still open."""
    greeted = []
    for _ in range(count):
        sock = socket.socket()
        sock.bind((source, 0))
        with contextlib.suppress(OSError):
            sock.connect(("127.0.0.1", port))
            sock.settimeout(2)
            if sock.recv(1000) == b"SSH-2.0-Sallyport\r\n":
                greeted.append(sock)
                continue
        sock.close()
    return greeted


def limited(bastion, **limits):
    """Give the worker other limits, as auth would."""
    edge = bastion.thread.worker.edge
    bastion.thread.on_loop(lambda: setattr(edge, "trust", replace(edge.trust, **limits)))


@pytest.fixture
def bastion(tmp_path):
    limits = replace(Limits(), pulse=1.0, login_grace=3.0)
    with running_bastion(tmp_path, limits=limits) as one:
        one.ssh_config(extra="BindAddress 127.0.0.3")
        yield one


def test_six_hundred_silent_connections_from_one_address_do_not_keep_another_out(bastion):
    assert bastion.ssh("true").returncode == 0
    sockets = idle(bastion.port, "127.0.0.2", 600)
    try:
        assert len(sockets) <= 10
        began = time.monotonic()
        assert bastion.ssh("echo in").stdout == b"in\n"
        assert time.monotonic() - began < 5
    finally:
        for sock in sockets:
            sock.close()


def test_silent_connections_end_with_the_grace_time_and_cost_their_source(bastion):
    sockets = idle(bastion.port, "127.0.0.2", 10)
    began = time.monotonic()
    for sock in sockets:
        sock.settimeout(10)
        with contextlib.suppress(OSError):
            while sock.recv(100):
                pass
        sock.close()
    assert time.monotonic() - began < 6
    assert idle(bastion.port, "127.0.0.2", 1) == []
    assert bastion.ssh("echo in").stdout == b"in\n"


def test_somebody_turned_away_hears_why(bastion):
    for _ in range(30):
        with socket.socket() as sock:
            sock.bind(("127.0.0.2", 0))
            sock.connect(("127.0.0.1", bastion.port))
            sock.settimeout(2)
            line = sock.recv(1000)
        if len(line) > len(b"SSH-2.0-Sallyport\r\n"):
            break
    assert b"too many" in line


def test_the_limit_of_people_holds_and_is_named(tmp_path):
    with running_bastion(tmp_path, limits=ROOMY) as one:
        one.authority.logins["ann"] = {one.node.login, "ann"}
        limited(one, max_users=1)
        first = subprocess.Popen(
            ["ssh", "-F", str(tmp_path / "ssh_config"), "web1.main", "echo up; sleep 30"],
            stdout=subprocess.PIPE,
        )
        assert first.stdout.readline() == b"up\n"
        assert one.ssh("echo again").stdout == b"again\n"
        one.user = "ann"
        one.ssh_config(one.certify("ann", one.node.login, user="ann", name="ann"))
        done = one.ssh("true")
        first.kill()
        first.communicate()
        assert b"the limit of people is reached" in done.stderr


def test_the_limit_of_connections_holds(tmp_path):
    with running_bastion(tmp_path, limits=ROOMY) as one:
        limited(one, max_connections=1)
        first = subprocess.Popen(
            ["ssh", "-F", str(tmp_path / "ssh_config"), "web1.main", "echo up; sleep 30"],
            stdout=subprocess.PIPE,
        )
        assert first.stdout.readline() == b"up\n"
        done = one.ssh("true")
        first.kill()
        first.communicate()
        assert b"limit of connections is reached" in done.stderr


def test_two_workers_share_one_port(tmp_path):
    with running_bastion(tmp_path / "a") as one:
        config = replace(
            one.thread._config, proxy_id="second", listen=("127.0.0.1", one.port), spool=tmp_path / "spool2"
        )
        second = WorkerThread(config, one.authority)
        second.start()
        try:
            for _ in range(5):
                assert one.ssh("echo ok").stdout == b"ok\n"
            one.thread.on_loop(one.thread.worker.listener.close)
            assert one.ssh("echo still").stdout == b"still\n"
        finally:
            second.stop()
