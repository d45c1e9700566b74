"""What only the encrypted file does: being damaged, being killed, being shared."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from hsm.encoding import signature
from hsm.errors import HsmError, PinRefused, StoreDamaged
from hsm.file import FileProvider
from hsm.naming import Namespace
from hsm.provider import Algorithm
from hsm.secret import Secret
from tests.support.signer import CHEAP

LABEL = "sallyport:main:user:1"
NAMESPACE = Namespace(cluster="main")


def _open(path, passphrase="open sesame"):
    return FileProvider.open(path, Secret(passphrase), NAMESPACE, cost=CHEAP)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys"


def test_neither_keys_nor_labels_stand_in_the_file(path):
    with _open(path) as provider:
        provider.create(LABEL, Algorithm.ED25519)
    content = path.read_bytes()
    assert b"sallyport:" not in content
    assert path.stat().st_mode & 0o077 == 0


def test_a_change_of_any_byte_is_noticed(path):
    with _open(path) as provider:
        provider.create(LABEL, Algorithm.ED25519)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(StoreDamaged):
            _open(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreDamaged):
        _open(path)
    path.write_bytes(whole)
    assert len(_open(path).list()) == 1


def test_a_file_that_others_can_read_is_refused(path):
    _open(path).close()
    path.chmod(0o644)
    with pytest.raises(StoreDamaged, match="chmod 600"):
        _open(path)


def test_a_wrong_passphrase_is_not_called_damage(path):
    _open(path).close()
    with pytest.raises(PinRefused):
        _open(path, "open says me")


def test_a_file_that_disappears_is_not_made_anew_behind_an_open_provider(path):
    with _open(path) as provider:
        path.unlink()
        with pytest.raises(StoreDamaged):
            provider.create(LABEL, Algorithm.ED25519)
    assert not path.exists()


CREATE_FOR_EVER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tests.hsm.test_file import _open
    from hsm.provider import Algorithm
    provider = _open(Path(sys.argv[1]))
    for number in range(int(sys.argv[2]), 10_000, 2):
        provider.create(f"sallyport:main:user:{number}", Algorithm.ED25519)
        print(number, flush=True)
    """
)


def _creator(path, first):
    command = [sys.executable, "-c", CREATE_FOR_EVER, str(path), str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_survives_kill_9_with_two_processes_at_work(path):
    _open(path).close()
    for turn in range(3):
        writers = [_creator(path, 1 + turn * 1000), _creator(path, 2 + turn * 1000)]
        acknowledged = {int(writer.stdout.readline()) for writer in writers for _ in range(10)}
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for writer in writers for line in writer.stdout.read().split()}
        for writer in writers:
            writer.wait()
            writer.stdout.close()
        with _open(path) as provider:
            there = {NAMESPACE.parse(key.label).generation for key in provider.list()}
            assert acknowledged <= there
            label = f"sallyport:main:user:{max(acknowledged)}"
            assert signature.verify(provider.public_key(label), b"m", provider.sign(label, b"m"))


def test_a_full_disk_leaves_the_old_file_whole(path, monkeypatch):
    with _open(path) as provider:
        made = provider.create(LABEL, Algorithm.ED25519)

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("hsm.file.os.fsync", full)
        with pytest.raises((OSError, HsmError)):
            provider.create("sallyport:main:user:2", Algorithm.ED25519)
        monkeypatch.undo()
    with _open(path) as provider:
        assert provider.list() == (made,)
