"""Register, revocation, node timer, identity files and ledger, as an administrator meets them."""

import base64
import json
import re
import sqlite3
import subprocess
import time

import pytest

from appliance.client import Api, UnixTransport
from appliance.domain.operations import ssh
from hsm.signer.ledger import verify_ledger
from tests.support.custody import eventually, running_site

pytestmark = pytest.mark.functional
SECONDS = 10
"""Within how long a revocation has to end what runs: the pulse is every two seconds."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("revocation")
    folder.chmod(0o755)
    with running_site(folder) as one:
        yield one


@pytest.fixture(scope="module")
def unit(site):
    """The node's own folder, kept in step by the script that `nodes unit` writes."""
    folder = site.box.folder / "unit"
    site.ctl("nodes", "unit", "web1", f"--out={folder}")
    with (site.node.folder / "sshd_config").open("a") as file:
        file.write(f"RevokedKeys {folder}/krl\n")
    site.node.process.send_signal(1)
    time.sleep(0.5)
    return folder


def sync(site, folder):
    """Run the real script with the real curl against the real web process."""
    environment = {**site.box.environment, "SALLYPORT_FOLDER": str(folder), "SALLYPORT_NO_RELOAD": "1"}
    done = subprocess.run([folder / "sync"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def certificates(site, *words):
    return site.ask("certs", "ls", *words)["certificates"]


def live(site):
    return [one["id"] for one in site.ask("sessions", "ls", "--live")["sessions"]]


def test_the_register_is_searched_and_shown(site):
    (mine, *_) = [one for one in certificates(site, "--user=joe", "--valid") if one["authority"] == "user"]
    shown = site.ctl("certs", "show", mine["serial"])
    assert re.search(r"Person +joe", shown)
    assert mine["signed_digest"] in shown
    assert "no certificate has the serial 1" in site.ctl("certs", "show", "1", status=1)


def test_revoking_a_session_ends_it_within_seconds_and_no_other(site):
    with site.running_session() as doomed:
        (session,) = live(site)
        with site.running_session() as other:
            site.ctl("certs", "revoke", f"--session={session}", "--reason=test")
            assert doomed.ended_within(SECONDS) < SECONDS
            other.echo(b"still here\n")

    def ends():
        return site.ask("events", "ls", "--type=session.end", f"--session={session}")["events"]

    (end,) = eventually(ends)
    assert "the certificate was revoked" in json.dumps(end)


def test_a_nodes_sshd_refuses_a_revoked_session_certificate(site, unit):
    """Somebody has taken the proxy's key and certificate of one session: the node itself says no."""
    key = site.box.folder / "stolen"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    session, certificate = _session_certificate(site, key)
    key.with_name("stolen-cert.pub").write_text(certificate)
    words = ["ssh", "-F", "none", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    words += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-p", str(site.node.port)]
    words += [f"{site.node.login}@127.0.0.1", "echo in"]
    sync(site, unit)
    assert site.box.run(*words).stdout == "in\n"
    site.ctl("certs", "revoke", f"--session={session}")
    sync(site, unit)
    refused = site.box.run(*words)
    assert (refused.returncode, refused.stdout) == (255, "")
    asked = subprocess.run(
        ["ssh-keygen", "-Q", "-f", unit / "krl", f"{key}-cert.pub"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.stdout.strip().endswith("REVOKED")


def _session_certificate(site, key):
    """Ask the auth service for a session's certificate as the proxy does, by the proxy's own socket."""
    blob = base64.b64decode(key.with_suffix(".pub").read_text().split()[1])
    shown = base64.b64decode(site.key.with_name("joe-cert.pub").read_text().split()[1])
    evidence = ssh.SshEvidence(certificate=shown, source="127.0.0.1", session_hash=bytes(32))
    api = Api(UnixTransport(site.box.data / "run/proxy.sock"))
    try:
        request = ssh.ConnectRequest(evidence=evidence, node="web1", login=site.node.login, session_key=blob)
        answer = api.call("ssh.connect", request)
    finally:
        api.close()
    text = base64.b64encode(answer.certificate).decode()
    return answer.session, f"ssh-ed25519-cert-v01@openssh.com {text}\n"


def test_an_identity_file_opens_the_node_for_stock_ssh_and_its_bounds_are_told(site):
    out = site.home / "robot.pem"
    said = site.ctl("auth", "sign", "--user=joe", f"--out={out}", "--ttl=10m")
    assert "until" in said
    assert out.stat().st_mode & 0o777 == 0o600
    key = out.with_name("robot.pem-ssh")
    shown = site.box.run("ssh-keygen", "-L", "-f", f"{key}-cert.pub").stdout
    assert "user certificate" in shown
    config = (site.home / "ssh_config").read_text().replace(str(site.key), str(key))
    (site.home / "robot_config").write_text(config)
    assert str(key) in config
    done = site.box.run("ssh", "-F", "robot_config", f"{site.node.login}@web1.main", "echo robot")
    assert done.stdout == "robot\n", done.stderr
    longer = site.box.sallyctl("auth", "sign", "--user=joe", f"--out={out}2", "--ttl=31h")
    assert longer.returncode != 0
    assert "30" in longer.stderr
    again = site.box.sallyctl("auth", "sign", "--user=joe", f"--out={out}")
    assert again.returncode != 0
    assert "exists" in again.stderr


def test_authorities_are_printed_in_the_forms_their_users_read(site, tmp_path):
    user = site.ctl("auth", "export", "--type=user")
    assert re.fullmatch(r"cert-authority ssh-ed25519 \S+.* main\n+", user)
    assert re.fullmatch(r"ssh-ed25519 \S+.*\n+", site.ctl("auth", "export", "--type=openssh"))
    assert site.ctl("auth", "export", "--type=host").startswith("@cert-authority *.main ssh-ed25519 ")
    assert site.ctl("auth", "export", "--type=user", "--compat=1.0").startswith("@cert-authority *.main ")
    (tmp_path / "tls.pem").write_text(site.ctl("auth", "export", "--type=tls"))
    checked = site.box.run("openssl", "x509", "-in", tmp_path / "tls.pem", "-noout", "-subject")
    assert checked.returncode == 0
    both = site.ctl("auth", "export")
    assert "cert-authority ssh-ed25519" in both
    assert "@cert-authority" in both
    fingerprints = set(re.findall(r"SHA256:\S+", site.ctl("auth", "ls")))
    line = site.ctl("auth", "export", "--type=openssh")
    (tmp_path / "ca.pub").write_text(line)
    told = site.box.run("ssh-keygen", "-l", "-f", tmp_path / "ca.pub").stdout.split()[1]
    assert told in fingerprints


def test_revoking_a_person_ends_what_runs_and_shuts_ssh_and_api(site):
    assert "web1" in site.box.sally("ls").stdout
    with site.running_session() as doomed:
        site.ctl("certs", "revoke", "--user=joe", "--reason=left")
        assert doomed.ended_within(SECONDS) < SECONDS
    assert site.ssh("echo in").returncode == 255
    refused = site.box.sally("ls")
    assert refused.returncode != 0
    assert "web1" not in refused.stdout
    site.login()
    assert site.ssh("echo in").stdout == "in\n"


def test_the_ledger_names_a_certificate_that_left_the_register(site):
    assert "agrees with it" in site.ctl("hsm", "ledger", "verify")
    store = site.box.data / "auth/state.sqlite"
    serial = certificates(site, "--user=joe", "--valid")[0]["serial"]
    site.box.stop()
    database = sqlite3.connect(store)
    tables = [row[0] for row in database.execute("select name from sqlite_master where type='table'")]
    removed = 0
    for table in tables:
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
        if "key" in columns:
            gone = database.execute(f"delete from {table} where key like ?", (f"%certificates/%{serial}",))  # noqa: S608
            removed += gone.rowcount
    database.commit()
    database.close()
    assert removed == 1, tables
    site.box.start()
    found = site.ctl("hsm", "ledger", "verify", status=1)
    assert f"serial {serial}: signed, and not in the register" in found


def test_the_ledger_names_the_line_that_was_changed(site):
    site.box.stop()
    ledger = site.box.data / "signer/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b'"kind":"sign"' in line.replace(b" ", b""))
    number = json.loads(lines[at])["n"]
    lines[at] = lines[at].replace(b'"ca":"', b'"ca":"x', 1)
    ledger.write_bytes(b"".join(lines))
    differences = [str(one) for one in verify_ledger(ledger, "main").differences]
    assert differences[0].startswith(f"entry {number}: changed")
    with pytest.raises(AssertionError, match=rf"ledger\.jsonl: entry {number}: changed"):
        site.box.start()
