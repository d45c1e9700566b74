"""Rotation of every authority: stock ssh, a node kept in step by its timer, a session that goes on."""

import re
import subprocess

import pytest

from tests.support.custody import eventually, running_site

pytestmark = pytest.mark.functional
KINDS = ("user", "openssh", "host", "tls")
PHASES = ("init", "update_clients", "update_servers", "standby")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotation")
    folder.chmod(0o755)
    with running_site(folder) as one:
        unit = one.box.folder / "unit"
        one.ctl("nodes", "unit", "web1", f"--out={unit}")
        lines = f"TrustedUserCAKeys {unit}/user-ca.pub\nHostCertificate {unit}/host-cert.pub\n"
        kept = [
            line
            for line in (one.node.folder / "sshd_config").read_text().splitlines()
            if not line.startswith(("TrustedUserCAKeys", "HostCertificate"))
        ]
        (one.node.folder / "sshd_config").write_text("\n".join(kept) + "\n" + lines)
        yield one


def timer_fires(site):
    """Run the node's script as its systemd timer does, with a systemctl that reloads this very sshd."""
    tools = site.box.folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "systemctl").write_text(f"#!/bin/sh\nkill -HUP {site.node.process.pid}\n")
    (tools / "sshd").write_text(f'#!/bin/sh\nexec /usr/sbin/sshd "$@" -f {site.node.folder}/sshd_config\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    environment = {**site.box.environment, "SALLYPORT_FOLDER": str(site.box.folder / "unit")}
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    done = subprocess.run(
        [site.box.folder / "unit/sync"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def signs(site, kind):
    """Return the fingerprint of the key that signs, and whether others are trusted."""
    lines = [line for line in site.ctl("auth", "ls").splitlines() if line.startswith(kind)]
    return next(re.search(r"SHA256:\S+", line).group() for line in lines if "still trusted" not in line)


def served_by(site):
    """Return the fingerprint line of the authority behind the web pages' certificate."""
    chain = site.box.run(
        "openssl",
        "s_client",
        "-connect",
        f"localhost:{site.box.web}",
        "-showcerts",
        "-servername",
        "localhost",
    ).stdout
    return re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", chain, re.DOTALL)[-1]


def works(site):
    done = site.ssh("echo hello")
    return done.stdout == "hello\n"


def rotate(site, phase):
    for kind in KINDS:
        site.ctl("auth", "rotate", f"--type={kind}", f"--phase={phase}")


def test_through_all_phases_of_all_authorities_a_session_goes_on_and_new_ones_open(site):
    """The person does nothing but sign in once a day: here after init and after update_clients."""
    before = {kind: signs(site, kind) for kind in KINDS}
    with site.running_session() as running:
        for phase in PHASES:
            rotate(site, phase)
            running.echo(phase.encode() + b"\n")
            timer_fires(site)
            if phase in {"init", "update_clients"}:
                site.sign_in_again()
            if phase == "update_servers":
                eventually(lambda: served_by(site) in site.ctl("auth", "export", "--type=tls"), 30)
            eventually(lambda: works(site), 70)
            assert "web1" in site.box.sally("ls").stdout
            running.echo(b"and on\n")
    assert all(signs(site, kind) != before[kind] for kind in KINDS)
    assert "agrees with it" in site.ctl("hsm", "ledger", "verify")


@pytest.mark.parametrize("reached", [1, 2, 3])
def test_a_roll_back_at_each_phase_leaves_everything_as_it_was(site, reached):
    before = signs(site, "openssh")
    with site.running_session() as running:
        for phase in (*PHASES[:reached], "rollback"):
            site.ctl("auth", "rotate", "--type=openssh", f"--phase={phase}")
            timer_fires(site)
            assert works(site), phase
        site.ctl("auth", "rotate", "--type=openssh", "--phase=standby")
        timer_fires(site)
        running.echo(b"still here\n")
    assert works(site)
    assert signs(site, "openssh") == before


def test_a_phase_that_does_not_follow_is_refused_with_those_that_do(site):
    said = site.ctl("auth", "rotate", "--type=user", "--phase=standby", status=1)
    assert "expected init" in said
