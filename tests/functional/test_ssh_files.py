"""What the log and the recording know of files copied by stock scp and sftp: path, size, SHA-256."""

import hashlib
import os

import pytest

from appliance.recording.events import FileMoved, FileVerb
from appliance.recording.frames import Happened, Input, Output
from appliance.recording.reader import Recording
from tests.support.bastion import running_bastion

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


def frames(bastion):
    session = bastion.settled().ends[-1].session
    path = bastion.folder / f"{session}.rec"
    path.write_bytes(bastion.authority.recordings[session])
    with Recording.open(path) as recording:
        return [timed.frame for timed in recording.frames()]


def moved(bastion):
    return [f.event for f in frames(bastion) if isinstance(f, Happened) and isinstance(f.event, FileMoved)]


@pytest.mark.parametrize(("flag", "event"), [("-s", "sftp"), ("-O", "scp")])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_copied_file_is_known_by_path_size_and_hash(bastion, tmp_path, flag, event, way):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1_234_567))
    config = ("-F", str(bastion.folder / "ssh_config"))
    far, near = f"web1.main:{tmp_path}/far", str(tmp_path / "near")
    words = (str(source), far) if way == "up" else (f"web1.main:{source}", near)
    done = bastion.run("scp", flag, *config, *words)
    assert done.returncode == 0, done.stderr
    verb = FileVerb.WRITE if way == "up" else FileVerb.READ
    (known,) = [one for one in moved(bastion) if one.verb is verb]
    assert known.size == 1_234_567
    assert known.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    fact = [one for one in bastion.authority.fact(event) if one["action"] == verb.value][-1]
    assert (fact["len"], fact["sha256"], fact["ok"]) == (known.size, known.sha256, True)
    assert fact["path"].endswith(("source", "far"))


def test_the_contents_of_an_sftp_transfer_are_not_in_the_recording(bastion, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"do-not-keep-me" * 10000)
    bastion.run(
        "scp", "-s", "-F", str(bastion.folder / "ssh_config"), str(source), f"web1.main:{tmp_path}/far"
    )
    data = b"".join(f.data for f in frames(bastion) if isinstance(f, Input | Output))
    assert b"do-not-keep-me" not in data


def test_sftp_operations_are_told_one_by_one(bastion, tmp_path):
    batch = f"mkdir {tmp_path}/d\nput {__file__} {tmp_path}/d/a\nrename {tmp_path}/d/a {tmp_path}/d/b\n"
    batch += f"chmod 600 {tmp_path}/d/b\nsymlink {tmp_path}/d/b {tmp_path}/d/l\nls {tmp_path}/d\n"
    batch += f"rm {tmp_path}/d/b\n-get {tmp_path}/none {tmp_path}/x\n"
    done = bastion.run(
        "sftp", "-b", "-", "-F", str(bastion.folder / "ssh_config"), "web1.main", stdin=batch.encode()
    )
    assert done.returncode == 0, done.stderr
    verbs = [event.verb for event in moved(bastion)]
    for verb in (
        FileVerb.MAKE_DIRECTORY,
        FileVerb.WRITE,
        FileVerb.RENAME,
        FileVerb.SET_ATTRIBUTES,
        FileVerb.LINK,
        FileVerb.LIST,
        FileVerb.REMOVE,
    ):
        assert verb in verbs, verb


def test_many_small_files_are_all_known(bastion, tmp_path):
    (tmp_path / "from").mkdir()
    for index in range(300):
        (tmp_path / "from" / f"{index}").write_bytes(str(index).encode())
    done = bastion.run(
        "scp", "-qr", "-F", str(bastion.folder / "ssh_config"), f"{tmp_path}/from", f"web1.main:{tmp_path}/to"
    )
    assert done.returncode == 0, done.stderr
    written = [event for event in moved(bastion) if event.verb is FileVerb.WRITE]
    assert {event.sha256 for event in written} == {
        hashlib.sha256(str(index).encode()).hexdigest() for index in range(300)
    }


def test_where_copying_is_not_allowed_it_does_not_begin(bastion, tmp_path):
    bastion.authority.with_options(ssh_file_copy=False)
    try:
        for flag in ("-s", "-O"):
            done = bastion.run(
                "scp", flag, "-F", str(bastion.folder / "ssh_config"), __file__, f"web1.main:{tmp_path}/x"
            )
            assert done.returncode != 0
    finally:
        bastion.authority.with_options(ssh_file_copy=True)
    assert not (tmp_path / "x").exists()
