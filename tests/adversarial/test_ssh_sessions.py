"""Threats S and R: sessions and their recording, tried on the running endpoint."""

import asyncio
import socket
import subprocess
import time
from dataclasses import replace
from datetime import timedelta

import asyncssh
import pytest

from appliance.domain.role import RecordingMode
from appliance.proxy import session as session_module
from appliance.recording import sinks
from appliance.recording.frames import Input, Output
from appliance.recording.reader import Recording
from tests.support.attacker import login
from tests.support.bastion import ROOMY, running_bastion

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


@pytest.fixture(autouse=True)
def usual_options(bastion):
    before = bastion.authority.options
    yield
    bastion.authority.options = before
    bastion.authority.end.clear()


def started(bastion, *words, options=()):
    """Start ssh and leave it running."""
    return subprocess.Popen(
        ["ssh", "-F", str(bastion.folder / "ssh_config"), *options, "web1.main", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process, seconds=10.0):
    out, err = process.communicate(timeout=seconds)
    return out, err, process.returncode


def frames_of(bastion, session):
    path = bastion.folder / f"{session}.rec"
    path.write_bytes(bastion.authority.recordings[session])
    with Recording.open(path) as recording:
        return [timed.frame for timed in recording.frames()]


def test_a_session_that_auth_names_is_cut_within_seconds_and_told_why(bastion):
    process = started(bastion, "echo up; sleep 60")
    assert process.stdout.readline() == b"up\n"
    sid = bastion.eventually(lambda: bastion.authority.live and next(iter(bastion.authority.live)))
    began = time.monotonic()
    bastion.authority.end[sid] = "your role was taken away"
    _, err, status = ended(process)
    assert time.monotonic() - began < 3
    assert b"your role was taken away" in err
    assert status == 255
    end = bastion.eventually(lambda: [end for end in bastion.authority.ends if end.session == sid])[0]
    assert end.reason == "your role was taken away"


def test_an_idle_session_ends_though_the_client_sends_keepalives(bastion):
    bastion.authority.with_options(client_idle_timeout=timedelta(seconds=2))
    began = time.monotonic()
    process = started(bastion, "sleep 60", options=("-o", "ServerAliveInterval=1"))
    _, err, _ = ended(process, 15)
    assert 1.5 < time.monotonic() - began < 10
    assert b"nothing was typed for 2 seconds" in err


def test_a_session_does_not_outlive_the_certificate_where_the_role_says_so(bastion):
    bastion.authority.with_options(disconnect_expired_cert=True)
    bastion.authority.expires_in = 1
    try:
        _, err, _ = ended(started(bastion, "sleep 60"))
    finally:
        bastion.authority.expires_in = 3600
    assert b"your certificate has expired" in err


def test_the_eleventh_session_of_a_connection_is_refused(bastion):
    async def attack():
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        processes, refusals = [], 0
        for _ in range(13):
            try:
                processes.append(await connection.create_process("sleep 30"))
            except asyncssh.ChannelOpenError:
                refusals += 1
        connection.abort()
        await connection.wait_closed()
        return len(processes), refusals

    assert asyncio.run(attack()) == (10, 3)


def test_a_role_may_allow_fewer_sessions(bastion):
    bastion.authority.with_options(max_sessions=1)

    async def attack():
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        await connection.create_process("sleep 30")
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_process("id")
        connection.abort()
        await connection.wait_closed()

    asyncio.run(attack())


def test_a_second_channel_is_decided_anew(bastion):
    async def attack():
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        assert (await connection.run("echo one")).stdout == "one\n"
        bastion.authority.refuse["ssh.connect"] = "not any more"
        try:
            with pytest.raises(asyncssh.ChannelOpenError, match="not any more"):
                await connection.run("echo two")
        finally:
            bastion.authority.refuse.clear()
        connection.abort()
        await connection.wait_closed()

    asyncio.run(attack())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-R", "0:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"), ("true",)),
        (("-R", "/tmp/never.sock:/tmp/x", "-o", "ExitOnForwardFailure=yes"), ("true",)),
        (("-w", "0:0", "-o", "ExitOnForwardFailure=yes"), ("true",)),
    ],
    ids=["remote port", "remote socket", "tunnel"],
)
def test_forwards_that_the_role_does_not_allow_are_refused(bastion, options, words):
    done = bastion.ssh(*words, options=options)
    assert done.returncode == 255, done.stderr


def test_a_local_forward_that_the_role_does_not_allow_carries_no_byte(bastion):
    done = bastion.ssh(options=("-W", f"127.0.0.1:{bastion.node.port}"))
    assert b"SSH-2.0" not in done.stdout
    assert b"forwarding is not allowed" in done.stderr


def test_the_agent_is_not_forwarded_unless_allowed(bastion):
    done = bastion.ssh('echo "agent=$SSH_AUTH_SOCK"', options=("-A",))
    assert done.stdout == b"agent=\n"


def test_unknown_things_asked_of_the_node_are_refused(bastion):
    async def attack():
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection("/run/x.sock")
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_tun(asyncio.Protocol)
        for name in ("sftp;sh", "../x", "x" * 65536):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(subsystem=name)
        connection.abort()
        await connection.wait_closed()

    asyncio.run(attack())


def test_a_terminal_type_with_escapes_gets_no_terminal(bastion):
    done = bastion.run(
        "env", "TERM=x\x1b[2J", "ssh", "-F", str(bastion.folder / "ssh_config"), "-tt", "web1.main", "tty"
    )
    assert b"PTY allocation request failed" in done.stderr


def test_no_byte_passes_before_the_recording_is_open_in_strict_mode(bastion):
    spool = bastion.folder / "spool"
    spool.rename(bastion.folder / "gone")
    try:
        done = bastion.ssh("echo never-seen")
    finally:
        (bastion.folder / "gone").rename(spool)
    assert b"never-seen" not in done.stdout
    assert session_module.RECORDING_FAILED.encode() in done.stderr


def test_best_effort_goes_on_without_a_recording(bastion):
    bastion.authority.with_options(recording=RecordingMode.BEST_EFFORT)
    spool = bastion.folder / "spool"
    spool.rename(bastion.folder / "gone")
    try:
        done = bastion.ssh("echo seen")
    finally:
        (bastion.folder / "gone").rename(spool)
    assert done.stdout == b"seen\n"


def test_a_disk_that_fails_in_the_middle_ends_a_strict_session_within_two_seconds(bastion, monkeypatch):
    process = started(bastion, "while :; do echo tick; sleep 0.05; done")
    assert process.stdout.readline() == b"tick\n"

    def full(fd, offset, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sinks, "write_at", full)
    began = time.monotonic()
    _, err, status = ended(process)
    assert time.monotonic() - began < 2.5
    assert session_module.RECORDING_FAILED.encode() in err
    assert status == 255


def test_a_command_disguised_as_a_copy_is_recorded_all_the_same(bastion):
    done = bastion.ssh("scp -t /tmp/no-such-dir-x 2>/dev/null; echo disguised", stdin=b"")
    assert done.stdout.endswith(b"disguised\n")
    authority = bastion.settled()
    frames = frames_of(bastion, authority.ends[-1].session)
    assert b"disguised\n" in b"".join(frame.data for frame in frames if isinstance(frame, Output))


def test_a_shell_without_a_terminal_is_recorded_with_its_input(bastion):
    bastion.ssh("sh", stdin=b"echo by-stdin\n")
    authority = bastion.settled()
    frames = frames_of(bastion, authority.ends[-1].session)
    assert b"".join(f.data for f in frames if isinstance(f, Output)) == b"by-stdin\n"
    assert b"".join(f.data for f in frames if isinstance(f, Input)) == b"echo by-stdin\n"


def test_the_recording_has_every_byte_that_the_client_saw(bastion):
    done = bastion.ssh("head -c 3000000 /dev/urandom; printf '\\xff\\xc3'")
    authority = bastion.settled()
    frames = frames_of(bastion, authority.ends[-1].session)
    assert b"".join(f.data for f in frames if isinstance(f, Output)) == done.stdout


def test_a_storm_of_resizes_does_no_harm(bastion):
    async def storm():
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        process = await connection.create_process("sleep 1; stty size", term_type="xterm", term_size=(80, 24))
        for index in range(3000):
            process.change_terminal_size(20 + index % 100, 30)
        process.change_terminal_size(111, 33)
        out = await process.stdout.read()
        connection.abort()
        await connection.wait_closed()
        return out

    assert asyncio.run(storm()).strip() == "33 111"


def test_a_client_that_vanishes_leaves_nothing_behind(bastion):
    process = started(bastion, "echo up; sleep 600", options=("-tt",))
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=10)
    bastion.eventually(lambda: not bastion.thread.worker.edge.sessions)
    assert not bastion.thread.worker.listener.connections or bastion.eventually(
        lambda: not bastion.thread.worker.listener.connections
    )


def test_stopping_the_worker_ends_sessions_with_a_word_and_whole_recordings(tmp_path):
    with running_bastion(tmp_path) as one:
        process = started(one, "echo up; sleep 60")
        assert process.stdout.readline() == b"up\n"
        one.thread.stop()
        _, err, _ = ended(process)
        assert b"the bastion is being restarted" in err
        assert len(one.authority.finished) == 1
        assert not next(iter(one.authority.finished.values())).lost


def test_a_worker_that_drains_lets_sessions_end_by_themselves(tmp_path):
    with running_bastion(tmp_path, limits=replace(ROOMY, drain=20)) as one:
        process = started(one, "echo up; sleep 2; echo finished")
        assert process.stdout.readline() == b"up\n"
        one.thread.loop.call_soon_threadsafe(one.thread._stop.set)
        time.sleep(0.5)
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", one.port)) != 0
        out, _, status = ended(process, 20)
        assert (out, status) == (b"finished\n", 0)


def test_where_auth_is_silent_for_long_strict_sessions_end(tmp_path):
    with running_bastion(tmp_path, limits=replace(ROOMY, pulse_patience=1.0)) as one:
        process = started(one, "echo up; sleep 60")
        assert process.stdout.readline() == b"up\n"
        one.authority.away = True
        _, err, _ = ended(process)
        one.authority.away = False
        assert b"lost its connection to the authority" in err
        one.eventually(lambda: one.authority.ends)


def test_recordings_wait_in_the_spool_while_auth_is_away_and_follow_later(tmp_path):
    with running_bastion(tmp_path, limits=replace(ROOMY, pulse_patience=600)) as one:
        process = started(one, "echo up; read x; echo $x")
        assert process.stdout.readline() == b"up\n"
        one.authority.away = True
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        out, _, status = ended(process)
        assert (out, status) == (b"typed\n", 0)
        assert list((tmp_path / "spool").glob("*.rec"))
        one.authority.away = False
        one.eventually(lambda: one.authority.finished and one.authority.ends, 15)
        assert one.authority.fact("exec")
