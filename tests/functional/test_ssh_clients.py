"""Clients that are not OpenSSH, unmodified, through the bastion."""

import io
import subprocess

import paramiko
import pytest

from tests.support.bastion import running_bastion

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


def paramiko_key(bastion):
    key = paramiko.Ed25519Key.from_private_key_file(str(bastion.folder / "id"))
    key.load_certificate(str(bastion.folder / "id-cert.pub"))
    return key


class Trusting(paramiko.MissingHostKeyPolicy):
    """paramiko knows no host certificates; the host key is not what is tested here."""

    def missing_host_key(self, client, hostname, key):
        pass


@pytest.fixture
def client(bastion):
    with paramiko.SSHClient() as outer, paramiko.SSHClient() as inner:
        for one in (outer, inner):
            one.set_missing_host_key_policy(Trusting())
        given = {"pkey": paramiko_key(bastion), "look_for_keys": False, "allow_agent": False}
        outer.connect("127.0.0.1", bastion.port, username="joe", **given)
        channel = outer.get_transport().open_channel("direct-tcpip", ("web1.main", 22), ("127.0.0.1", 1))
        inner.connect("web1.main", username=bastion.node.login, sock=channel, **given)
        yield inner


def test_paramiko_runs_a_command(client):
    _, out, err = client.exec_command("echo out; echo err >&2; exit 4")
    assert (out.read(), err.read(), out.channel.recv_exit_status()) == (b"out\n", b"err\n", 4)


def test_paramiko_copies_by_sftp(client, tmp_path):
    data = bytes(range(256)) * 2000
    with client.open_sftp() as sftp:
        sftp.putfo(io.BytesIO(data), f"{tmp_path}/x")
        back = io.BytesIO()
        sftp.getfo(f"{tmp_path}/x", back)
    assert back.getvalue() == data


def test_paramiko_gets_a_terminal(client):
    channel = client.invoke_shell(term="xterm", width=90, height=30)
    channel.sendall(b"stty size; exit\n")
    received = b""
    while data := channel.recv(4096):
        received += data
    assert b"30 90" in received


def putty(bastion, *words, program="plink", stdin=b""):
    key, ppk = bastion.folder / "id", bastion.folder / "id.ppk"
    if not ppk.exists():
        subprocess.run(["puttygen", str(key), "-o", str(ppk)], check=True, timeout=30)
    fingerprint = bastion.run("ssh-keyscan", "-p", str(bastion.port), "127.0.0.1").stdout.split()[2].decode()
    (bastion.folder / "scan.pub").write_text(f"ssh-ed25519 {fingerprint}\n")
    shown = bastion.run("ssh-keygen", "-lf", str(bastion.folder / "scan.pub")).stdout.split()[1].decode()
    options = (
        "-batch",
        "-P",
        str(bastion.port),
        "-i",
        str(ppk),
        "-cert",
        str(bastion.folder / "id-cert.pub"),
    )
    return bastion.run(program, *options, "-hostkey", shown, *words, stdin=stdin)


def test_plink_runs_a_command_on_the_node_named_in_the_user_name(bastion):
    done = putty(bastion, f"{bastion.node.login}@web1@127.0.0.1", "echo out; echo err >&2; exit 4")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 4)


def test_psftp_copies(bastion, tmp_path):
    source = tmp_path / "a"
    source.write_bytes(b"putty" * 50000)
    batch = f"put {source} {tmp_path}/b\nget {tmp_path}/b {tmp_path}/c\n".encode()
    done = putty(bastion, f"{bastion.node.login}@web1@127.0.0.1", program="psftp", stdin=batch)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c").read_bytes() == source.read_bytes()
