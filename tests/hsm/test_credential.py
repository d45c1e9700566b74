"""The PIN through systemd-creds: the real program where it is there, its arguments where it is not."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from hsm import credential
from hsm.credential import BoundTo, CredentialError
from hsm.secret import Secret

PIN = Secret("493817")
needs_program = pytest.mark.skipif(
    not shutil.which(credential.PROGRAM), reason="systemd-creds is not installed"
)


def test_the_pin_goes_through_a_pipe_and_never_through_arguments(tmp_path):
    seen = []

    def run(command, data):
        seen.append((command, data))
        return b"493817"

    credential.store(PIN, tmp_path / "pin", BoundTo.TPM2, run=run)
    assert credential.release(tmp_path / "pin", run=run) == PIN
    (encrypt, given), (decrypt, nothing) = seen
    assert encrypt[:3] == ("systemd-creds", "--name=signer-pin", "--with-key=tpm2")
    assert (given, nothing) == (b"493817", b"")
    assert not any("493817" in argument for argument in (*encrypt, *decrypt))


@needs_program
def test_the_real_program_gives_back_what_it_was_given(tmp_path):
    path = tmp_path / "pin"
    command = [
        credential.PROGRAM,
        f"--name={credential.NAME}",
        "--with-key=tpm2-absent",
        "encrypt",
        "-",
        str(path),
    ]
    subprocess.run(command, input=PIN.reveal(), check=True, capture_output=True)
    assert PIN.reveal() not in path.read_bytes()
    assert credential.release(path) == PIN
    (path.parent / "other").write_bytes(b"not a credential")
    with pytest.raises(CredentialError):
        credential.release(path.parent / "other")


def test_what_goes_wrong_is_told_without_the_pin(tmp_path):
    with pytest.raises(CredentialError) as refused:
        credential.run(("false",), PIN.reveal())
    assert "493817" not in str(refused.value)
    with pytest.raises(CredentialError, match="cannot be run"):
        credential.run(("/no/such/program",), b"")


def test_what_systemd_has_decrypted_is_read(tmp_path):
    assert credential.loaded(tmp_path) is None
    (tmp_path / credential.NAME).write_bytes(b"493817")
    assert credential.loaded(tmp_path) == PIN
