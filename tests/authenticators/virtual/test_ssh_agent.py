"""OpenSSH's own tools use a virtual key through the agent protocol."""

import base64
import os
import subprocess

import pytest

from authenticators.virtual import ssh
from authenticators.virtual.faults import FaultPlan, RefuseTouch
from authenticators.virtual.interaction import at_once
from authenticators.virtual.profile import EDDSA, ES256
from authenticators.virtual.transports.ssh_agent import FAILURE, Agent, AgentSocket
from tests.support.virtual_keys import make_key


def run(*command, agent, **kwargs):
    return subprocess.run(
        command,
        env={**os.environ, "SSH_AUTH_SOCK": str(agent)},
        capture_output=True,
        timeout=30,
        check=False,
        **kwargs,
    )


@pytest.mark.parametrize("algorithm", [EDDSA, ES256])
def test_ssh_keygen_signs_through_the_agent_and_verifies(tmp_path, algorithm):
    key = make_key()
    identity = ssh.enrol(key, application="ssh:", algorithm=algorithm, user="joe")
    with AgentSocket(agent=Agent(key=key), path=tmp_path / "agent").serving() as path:
        listed = run("ssh-add", "-L", agent=path).stdout.split()
        assert base64.b64decode(listed[1]) == identity.blob
        public = tmp_path / "key.pub"
        public.write_bytes(b" ".join(listed[:2]))
        signed = run("ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(public), agent=path, input=b"attack")
    assert signed.returncode == 0, signed.stderr
    (tmp_path / "signature").write_bytes(signed.stdout)
    (tmp_path / "allowed").write_bytes(b"joe " + b" ".join(listed[:2]))
    verified = run(
        "ssh-keygen", "-Y", "verify", "-n", "file", "-I", "joe", "-f", str(tmp_path / "allowed"),
        "-s", str(tmp_path / "signature"), agent="", input=b"attack",
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_refused_touch_is_a_failure():
    key = make_key(faults=FaultPlan.always(RefuseTouch()))
    identity = ssh.enrol(key, application="ssh:", algorithm=EDDSA, user="joe")
    request = b"\x0d" + ssh.string(identity.blob) + ssh.string(b"data") + bytes(4)
    assert at_once(Agent(key=key).answer(request)) == FAILURE


@pytest.mark.parametrize("request_", [b"", b"\x0d", b"\x0d\xff\xff\xff\xff", b"\x11", b"\x0d" + bytes(12)])
def test_nonsense_is_a_failure(request_):
    assert at_once(Agent(key=make_key()).answer(request_)) == FAILURE


def test_the_socket_is_closed_to_others(tmp_path):
    with AgentSocket(agent=Agent(key=make_key()), path=tmp_path / "agent").serving() as path:
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
