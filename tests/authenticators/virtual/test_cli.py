import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from cryptography import x509

from authenticators.virtual.attestation import test_root as vendor_root
from authenticators.virtual.cli import commands, main
from authenticators.virtual.errors import ProfileError
from authenticators.virtual.usb.redirection import Redirection


def invoke(*arguments):
    return CliRunner().invoke(commands, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.json"
    assert invoke("new", path).exit_code == 0
    return path


def test_a_key_is_made_and_shown(key_file):
    shown = json.loads(invoke("show", key_file, "--format", "json").output)
    assert shown["model"] == "modern 5.7.1"
    assert shown["fido pin"] == "not set"
    assert str(shown["serial"]) in invoke("show", key_file).output


def test_an_unknown_model_is_a_readable_error(tmp_path, monkeypatch, capsys):
    with pytest.raises(ProfileError, match="there are modern"):
        invoke("new", tmp_path / "key.json", "--model", "gold")
    monkeypatch.setattr(sys, "argv", ["sallyport-vkey", "new", str(tmp_path / "key.json"), "--model", "gold"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "no model 'gold'" in capsys.readouterr().err


def test_the_models_and_the_root_are_printed():
    assert "fingerprint" in invoke("models").output
    printed = x509.load_pem_x509_certificate(invoke("root").output.encode())
    assert printed == vendor_root().certificate


def start(*arguments):
    code = "from authenticators.virtual.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0, process.stderr.read()
    process.stderr.close()


def test_the_agent_serves_an_ssh_key_until_it_is_stopped(key_file, tmp_path):
    path = tmp_path / "agent"
    process = start("agent", key_file, "--socket", path, "--enrol", "ed25519", "--user", "joe")
    assert "SSH_AUTH_SOCK" in process.stderr.readline()
    listed = subprocess.run(
        ["ssh-add", "-L"], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, capture_output=True, check=True
    )
    assert listed.stdout.startswith(b"sk-ssh-ed25519@openssh.com ")
    stop(process)
    assert not path.exists()
    assert "joe@ssh:" in invoke("show", key_file).output


def test_the_usb_server_greets_a_guest_and_shows_its_device(key_file):
    process = start("usbredir", key_file)
    where = process.stderr.readline().split(" at ")[1].split(";")[0]
    host, port = where.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as guest:
        hello = bytes(Redirection().outgoing)
        guest.sendall(hello)
        received = b""
        end = time.monotonic() + 10
        while b"\x50\x10\x07\x04" not in received and time.monotonic() < end:
            received += guest.recv(4096)
    assert b"\x50\x10\x07\x04" in received
    stop(process)


def test_a_fault_that_can_t_be_read_is_refused_before_anything_is_plugged(key_file):
    process = start("usbredir", key_file, "--fault", "burn")
    assert process.wait(timeout=10) == 1
    assert "no fault 'burn'" in process.stderr.read()
    process.stderr.close()
