"""Stock OpenSSH clients through the bastion to a stock sshd."""

import hashlib
import os

import pytest

from appliance.recording.frames import Exec, ExitStatus, Output, Program
from appliance.recording.reader import Recording
from tests.support.bastion import running_bastion

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


def test_a_command_runs_on_the_node_with_its_output_error_and_status(bastion):
    done = bastion.ssh("echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


def test_a_shell_with_a_terminal_runs_and_ends_with_its_status(bastion):
    done = bastion.ssh(stdin=b"tty; echo $TERM; stty size; exit 5\n", options=("-tt",))
    assert b"/dev/pts/" in done.stdout
    assert done.returncode == 5


def test_input_reaches_the_command_and_its_end_is_seen(bastion):
    data = bytes(range(256)) * 4096
    done = bastion.ssh("sha256sum", stdin=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_command_killed_by_a_signal_says_so(bastion):
    done = bastion.ssh("kill -TERM $$")
    assert done.returncode != 0


def test_a_forwarded_variable_passes_and_a_dangerous_one_does_not(bastion):
    done = bastion.ssh("env", options=("-o", "SetEnv=LC_TEST=yes LD_PRELOAD=/tmp/x.so"))
    assert b"LC_TEST=yes" in done.stdout
    assert b"LD_PRELOAD" not in done.stdout


@pytest.mark.parametrize("flag", ["-s", "-O"])
def test_scp_copies_both_ways(bastion, flag, tmp_path):
    source, there, back = tmp_path / "a", tmp_path / "there", tmp_path / "back"
    source.write_bytes(os.urandom(3_000_000))
    config = ("-F", str(bastion.folder / "ssh_config"))
    up = bastion.run("scp", flag, *config, str(source), f"web1.main:{there}")
    down = bastion.run("scp", flag, *config, f"web1.main:{there}", str(back))
    assert (up.returncode, down.returncode) == (0, 0), (up.stderr, down.stderr)
    assert back.read_bytes() == source.read_bytes()


def test_sftp_puts_and_gets(bastion, tmp_path):
    source, back = tmp_path / "a", tmp_path / "back"
    source.write_bytes(os.urandom(500_000))
    batch = f"put {source} {tmp_path}/there\nget {tmp_path}/there {back}\nls {tmp_path}\n"
    done = bastion.run(
        "sftp", "-b", "-", "-F", str(bastion.folder / "ssh_config"), "web1.main", stdin=batch.encode()
    )
    assert done.returncode == 0, done.stderr
    assert back.read_bytes() == source.read_bytes()


def test_rsync_synchronises_a_folder(bastion, tmp_path):
    (tmp_path / "from").mkdir()
    for index in range(20):
        (tmp_path / "from" / f"f{index}").write_bytes(os.urandom(10_000))
    shell = f"ssh -F {bastion.folder}/ssh_config"
    done = bastion.run("rsync", "-a", "-e", shell, f"{tmp_path}/from/", f"web1.main:{tmp_path}/to/")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "to").iterdir())
    assert names == sorted(f"f{index}" for index in range(20))


def test_git_clones_and_pushes(bastion, tmp_path):
    environment = ("env", f"GIT_SSH_COMMAND=ssh -F {bastion.folder}/ssh_config", "HOME=" + str(tmp_path))
    bastion.run("git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "r.git"))
    cloned = bastion.run(
        *environment, "git", "clone", "-q", f"web1.main:{tmp_path}/r.git", str(tmp_path / "w")
    )
    assert cloned.returncode == 0, cloned.stderr
    commit = ("-c", "user.name=j", "-c", "user.email=j@x", "commit", "-q", "--allow-empty", "-m", "one")
    bastion.run(*environment, "git", "-C", str(tmp_path / "w"), *commit)
    pushed = bastion.run(*environment, "git", "-C", str(tmp_path / "w"), "push", "-q", "origin", "HEAD:main")
    assert pushed.returncode == 0, pushed.stderr


def test_multiplexed_sessions_are_each_approved_anew(bastion, tmp_path):
    before = len(bastion.authority.connects)
    control = ("-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto", "-o", "ControlPersist=5")
    for word in ("one", "two", "three"):
        assert bastion.ssh("echo", word, options=control).stdout == f"{word}\n".encode()
    bastion.ssh(options=("-o", f"ControlPath={tmp_path}/c", "-O", "exit"))
    assert len(bastion.authority.connects) - before == 3


def test_every_session_ends_with_one_complete_recording_of_what_was_seen(bastion):
    done = bastion.ssh("echo recorded-$((40+2))")
    assert done.stdout == b"recorded-42\n"
    authority = bastion.settled()
    last = authority.ends[-1].session
    path = bastion.folder / f"{last}.rec"
    path.write_bytes(authority.recordings[last])
    with Recording.open(path) as recording:
        seen = [timed.frame for timed in recording.frames()]
    assert Exec(Program.COMMAND, b"echo recorded-$((40+2))") in seen
    assert Output(b"recorded-42\n") in seen
    assert ExitStatus(0) in seen
    assert {"command": "echo recorded-$((40+2))", "exitCode": 0, "exitError": ""} in authority.fact("exec")
    assert not list((bastion.folder / "spool").glob("*.rec"))
