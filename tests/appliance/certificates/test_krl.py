"""The KRL writer, judged by `ssh-keygen -Q` on real certificates."""

import subprocess
from pathlib import Path

import asyncssh
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.certificates import krl

LARGEST = 2**64 - 1
near = st.integers(1, 40)
serials = st.frozensets(near | st.integers(LARGEST - 3, LARGEST) | st.integers(1, LARGEST), max_size=30)


@pytest.fixture(scope="module")
def authorities():
    return [asyncssh.generate_private_key("ssh-ed25519") for _ in range(2)]


def certificate(authority, serial, path: Path) -> Path:
    subject = asyncssh.generate_private_key("ssh-ed25519")
    made = authority.generate_user_certificate(subject, "joe", serial=serial, principals=["joe"])
    path.write_bytes(made.export_certificate())
    return path


def refused(folder: Path, data: bytes, paths: list[Path]) -> list[bool]:
    """Ask ssh-keygen of each certificate whether the list refuses it."""
    (folder / "krl").write_bytes(data)
    command = ["ssh-keygen", "-Q", "-f", str(folder / "krl"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answers = done.stdout.splitlines()
    assert len(answers) == len(paths), done
    return [answer.endswith("REVOKED") for answer in answers]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(revoked=serials, asked=serials)
def test_ssh_keygen_refuses_exactly_the_serials_of_the_list(revoked, asked, authorities, tmp_path):
    own, other = authorities
    data = krl.write({own.public_data: revoked}, version=1, generated=1, comment="test")
    probes = sorted(revoked | asked | {1, LARGEST})
    paths = [certificate(own, serial, tmp_path / f"{serial}-cert.pub") for serial in probes]
    assert refused(tmp_path, data, paths) == [serial in revoked for serial in probes]
    foreign = certificate(other, probes[0], tmp_path / "other-cert.pub")
    assert refused(tmp_path, data, [foreign]) == [False]


def test_serials_of_two_authorities_are_kept_apart(authorities, tmp_path):
    one, two = authorities
    data = krl.write({one.public_data: [7], two.public_data: [8, 9]}, version=1, generated=1, comment="")
    places = [(one, 7), (one, 8), (two, 7), (two, 8), (two, 9)]
    paths = [certificate(by, serial, tmp_path / f"{n}-cert.pub") for n, (by, serial) in enumerate(places)]
    assert refused(tmp_path, data, paths) == [True, False, False, True, True]


def test_an_empty_list_is_a_list_that_refuses_nothing(authorities, tmp_path):
    data = krl.write({}, version=0, generated=1, comment="")
    assert refused(tmp_path, data, [certificate(authorities[0], 1, tmp_path / "1-cert.pub")]) == [False]


def test_consecutive_serials_take_the_room_of_two_numbers(authorities):
    key = authorities[0].public_data
    few = krl.write({key: range(1, 3)}, version=1, generated=1, comment="")
    many = krl.write({key: range(1, 100_000)}, version=1, generated=1, comment="")
    assert len(many) == len(few)
