"""The whole product on a PKCS#11 token and on a YubiKey's PIV applet; starts that a token does not allow."""

import shutil

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from authenticators.virtual import attestation as vendor
from authenticators.virtual.state import DEFAULT_MANAGEMENT_KEY
from tests.support.box import Box
from tests.support.custody import put_token, sign_up, site_on
from tests.support.softhsm import MODULE, SoftHsm, shared_store
from tests.support.virtual_keys import make_key
from tests.support.vpcd import missing_parts, private_pcscd

pytestmark = pytest.mark.functional


def secret(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def reaches_the_node(site):
    done = site.ssh("echo hello")
    assert done.stdout == "hello\n", done.stderr
    assert site.ctl("hsm", "preflight")
    assert "agrees with it" in site.ctl("hsm", "ledger", "verify")


@pytest.mark.skipif(not MODULE.exists(), reason="missing: softhsm2")
def test_sign_up_login_and_rotation_on_softhsm(tmp_path):
    store = shared_store()
    store.make_token("box")
    pin = secret(tmp_path, "pin", "1234\n")
    token = f"{{provider: pkcs11, uri: '{store.uri('box')}', profile: softhsm, pin_file: {pin}}}"
    with site_on(tmp_path, token) as site:
        reaches_the_node(site)
        listed = site.ask("hsm", "ls")
        assert {key["ca"] for key in listed} == {"user", "openssh", "host", "tls", "audit"}
        for phase in ("init", "update_clients", "update_servers"):
            site.ctl("auth", "rotate", "--type=user", f"--phase={phase}")
        reaches_the_node(site)
        assert len(site.ask("hsm", "ls")) == len(listed) + 1


@pytest.mark.skipif(bool(missing_parts()), reason=f"missing: {missing_parts()}")
def test_sign_up_login_and_attestation_on_a_yubikeys_piv_applet(tmp_path, monkeypatch):
    roots = tmp_path / "roots.pem"
    roots.write_bytes(vendor.test_root().certificate.public_bytes(Encoding.PEM))
    pin = secret(tmp_path, "pin", "123456\n")
    management = secret(tmp_path, "management", DEFAULT_MANAGEMENT_KEY.hex() + "\n")
    key = make_key()
    token = (
        f"{{provider: piv, serial: {key.state.serial}, pin_file: {pin}, "
        f"management_key_file: {management}, attestation_roots: {roots}}}"
    )
    with private_pcscd(tmp_path / "pcscd") as pcscd, pcscd.insert(key):
        monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(pcscd.socket_path))
        with site_on(tmp_path, token) as site:
            reaches_the_node(site)
            attested = site.ctl("hsm", "attest", "user")
            assert attested.startswith("certificate: YubiKey")
            assert str(key.state.serial) in attested


def refused_start(folder, token):
    """Start a box that must not start; returns what it said."""
    box = Box(folder=folder / "box")
    shutil.rmtree(box.folder, ignore_errors=True)
    box.folder.mkdir(mode=0o700)
    box.configure()
    put_token(box, token)
    with pytest.raises(AssertionError, match="did not start"):
        box.start()
    box.stop()
    return box


@pytest.mark.skipif(not MODULE.exists(), reason="missing: softhsm2")
def test_a_start_on_a_token_without_the_mechanisms_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("SOFTHSM2_CONF", raising=False)
    store = SoftHsm.make(tmp_path)
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    store.make_token("poor")
    with (tmp_path / "softhsm2.conf").open("a") as file:
        file.write("slots.mechanisms = CKM_SHA256,CKM_AES_KEY_GEN\n")
    pin = secret(tmp_path, "pin", "1234\n")
    box = refused_start(tmp_path, f"{{provider: pkcs11, uri: '{store.uri('poor')}', pin_file: {pin}}}")
    assert "has none of the algorithms that are used here: nothing was changed" in box.said
    assert '"kind":"key"' not in (box.data / "signer/ledger.jsonl").read_text().replace(" ", "")


def test_a_start_with_a_mistake_in_the_limits_names_its_place(tmp_path):
    box = Box(folder=tmp_path / "box")
    box.folder.mkdir(mode=0o700)
    box.configure()
    text = box.config.read_text().replace(
        "  limits: {}", "  limits: {auth: {certificates: {user: {longest_lif: 1h}}}}"
    )
    box.config.write_text(text)
    with pytest.raises(AssertionError, match=r"signer_service\.limits\.auth\.certificates\.user: no setting"):
        box.start()
    box.stop()


def test_the_signers_own_limits_hold_whatever_the_auth_service_asks_for(tmp_path):
    text = "{provider: file}\n  limits: {auth: {certificates: {user: {longest_life: 1h}}}}"
    box = Box(folder=tmp_path / "box")
    box.folder.mkdir(mode=0o700)
    box.configure()
    box.config.write_text(box.config.read_text().replace("  limits: {}\n", ""))
    put_token(box, text)
    try:
        box.start()
        sign_up(box, "joe", "joe")
        refused = box.sallyctl("auth", "sign", "--user=joe", "--out", str(tmp_path / "a.pem"), "--ttl=2h")
        assert refused.returncode == 3, refused.stdout
        assert "the signer refused" in refused.stderr
        allowed = box.sallyctl("auth", "sign", "--user=joe", "--out", str(tmp_path / "b.pem"), "--ttl=50m")
        assert allowed.returncode == 0, allowed.stderr
    finally:
        box.stop()
