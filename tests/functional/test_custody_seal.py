"""A sealed start of the whole product: what needs a signature says so, and nothing else stops."""

import subprocess

import pytest

from tests.support.box import Box, program
from tests.support.custody import Site, add_node, eventually, sign_up
from tests.support.stock_node import running_node

pytestmark = pytest.mark.functional
PIN = "correct horse\n"


@pytest.fixture(scope="module")
def sealed_site(tmp_path_factory):
    """A box whose first start was sealed, unsealed by hand, with a person signed in."""
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "pin").write_text(PIN)
    box = Box(folder=folder / "box", overrides={"signer_service.unseal": "prompt"})
    box.folder.mkdir(mode=0o700)
    box.configure()
    with running_node(folder / "web1") as node:
        unsealing = subprocess.Popen(
            ["sh", "-c", UNSEAL_WHEN_ASKED, "sh", program("sallyctl"), str(folder / "pin"), str(box.folder)],
            env=box.environment,
        )
        try:
            box.start()
            assert unsealing.wait(30) == 0
            codes = sign_up(box, "joe", f"joe,{node.login}")
            add_node(box, node)
            site = Site(box=box, node=node, user="joe", codes=codes)
            site.login()
            yield site, folder / "pin"
        finally:
            unsealing.kill()
            unsealing.wait()
            box.stop()


UNSEAL_WHEN_ASKED = """
until grep -q 'waits: the token is sealed' "$3/start.log" 2>/dev/null; do sleep 0.2; done
exec "$1" unseal --pin-file "$2"
"""


def test_the_first_start_waits_for_the_pin_and_says_what_for(sealed_site):
    site, _ = sealed_site
    assert "auth waits: the token is sealed" in site.box.said
    assert not (site.box.data / "token" / "pin").exists()
    assert site.ssh("echo hello").stdout == "hello\n"


def test_sealed_while_running_only_signatures_stop(sealed_site):
    site, pin = sealed_site
    with site.running_session() as running:
        site.ctl("seal")
        assert "sealed" in site.ctl("seal-status", status=1)
        refused = site.ssh("echo hello")
        assert refused.returncode == 255
        assert "sealed" in refused.stderr
        assert "sealed" in site.ctl("auth", "rotate", "--type=user", status=5)
        assert "sealed" in site.ctl(
            "auth", "sign", "--user=joe", f"--out={site.box.folder}/joe.pem", status=5
        )
        running.echo(b"a session goes on\n")
        assert "web1" in site.box.sally("ls").stdout
        assert site.ask("events", "ls")["events"]
        page = site.box.run("curl", "-sk", f"{site.box.url}/web/login")
        assert "Sign in" in page.stdout
        wrong = site.box.folder / "wrong"
        wrong.write_text("not the pin")
        assert "pin_refused" in site.ctl("unseal", "--pin-file", wrong, status=1)
        site.ctl("unseal", "--pin-file", pin)
        running.echo(b"and on\n")
    assert site.ssh("echo hello").stdout == "hello\n"


def test_a_restart_over_existing_keys_serves_all_but_signatures_until_it_is_unsealed(sealed_site):
    site, pin = sealed_site
    site.box.stop()
    site.box.start()
    assert "sealed" in site.ctl("seal-status", status=1)
    assert "web1" in site.box.sally("ls").stdout
    assert site.ask("events", "ls")["events"]
    assert "Sign in" in site.box.run("curl", "-sk", f"{site.box.url}/web/login").stdout
    assert site.ssh("echo hello").returncode == 255
    site.ctl("unseal", "--pin-file", pin)
    eventually(lambda: site.ssh("echo hello").stdout == "hello\n", 30)
