"""The ceremony of a sealed start: real commands, a real signer, python-yubico's real code on virtual keys."""

from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner

from appliance.cli import holders
from appliance.cli.console import Console
from appliance.cli.sallyctl import cli
from authenticators.virtual.transports.python_yubico import plugged
from hsm import sealing
from hsm.errors import HsmError
from hsm.signer.protocol import SealState
from tests.support.signer import make_config, running_signer
from tests.support.virtual_keys import make_key

PIN = "1234"
CONFIG = "sallyport:\n  data_dir: {folder}\nsigner_service:\n  unseal: yubikeys\n"


class Drawer:
    """The holders' keys, and which one is plugged in."""

    def __init__(self, monkeypatch):
        self.keys = {name: make_key() for name in ("ann", "bob", "eve")}
        self._stack = ExitStack()
        self._asked = holders.click.prompt
        self.comes: list[str] = []
        monkeypatch.setattr(holders.click, "prompt", self._prompt)

    def _prompt(self, text, **settings):
        """A hand that plugs in the key of whoever is asked for, or of another one where `comes` says so."""
        if "plug in your YubiKey" not in text:
            return self._asked(text, **settings)
        name = self.comes.pop(0) if self.comes else text.partition(":")[0]
        self._stack.close()
        self._stack.enter_context(plugged(self.keys[name]))
        return ""

    def close(self):
        self._stack.close()


@pytest.fixture
def drawer(monkeypatch):
    one = Drawer(monkeypatch)
    yield one
    one.close()


@contextmanager
def signer(folder, pin=None):
    """A signer at the place where the commands look for it, sealed unless a PIN is given."""
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    config = make_config(folder)
    doors = tuple(replace(door, path=folder / "run" / f"signer-{door.caller}.sock") for door in config.doors)
    (folder / "auth.sock").unlink(missing_ok=True)
    with running_signer(folder, pin=pin, config=replace(config, doors=doors)) as running:
        yield running


@pytest.fixture
def box(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "signer").mkdir(mode=0o700)
    (tmp_path / "sallyport.yaml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "pin").write_text(PIN + "\n")
    with signer(tmp_path):
        yield tmp_path


def sallyctl(box, *words, typed=()):
    """Run the command; returns its result."""
    answers = "".join(f"{line}\n" for line in typed)
    return CliRunner().invoke(cli, ["-c", str(box / "sallyport.yaml"), *words], input=answers)


def state(box):
    console = Console(box / "sallyport.yaml")
    try:
        return console.signer.status().state
    finally:
        console.close()


def set_up(box, threshold=2):
    done = sallyctl(
        box,
        "seal",
        "setup",
        "--holders=ann,bob,eve",
        f"--threshold={threshold}",
        "--program",
        "--pin-file",
        str(box / "pin"),
    )
    assert done.exit_code == 0, done.output
    return (box / "signer" / "seal.json").read_text()


def test_two_of_three_holders_open_what_one_cannot(box, drawer):
    set_up(box)
    assert sallyctl(box, "seal").exit_code == 0
    assert sallyctl(box, "seal-status").exit_code == 1
    alone = sallyctl(box, "unseal", "--yubikey", typed=["ann"])
    assert alone.exit_code != 0
    assert state(box) is SealState.SEALED
    done = sallyctl(box, "unseal", "--yubikey", typed=["eve", "bob"])
    assert done.exit_code == 0, done.output
    assert state(box) is SealState.OPEN
    assert sallyctl(box, "seal-status").exit_code == 0


def test_after_a_release_the_holders_who_came_have_new_challenges(box, drawer):
    before = sealing.load(set_up(box))
    sallyctl(box, "seal")
    assert sallyctl(box, "unseal", "--yubikey", typed=["ann", "bob"]).exit_code == 0
    after = sealing.load((box / "signer" / "seal.json").read_text())
    changed = {name for name in drawer.keys if before.holder(name) != after.holder(name)}
    assert changed == {"ann", "bob"}
    sallyctl(box, "seal")
    assert sallyctl(box, "unseal", "--yubikey", typed=["ann", "eve"]).exit_code == 0


def test_a_wrong_key_a_stranger_and_the_same_key_twice_open_nothing(box, drawer):
    set_up(box)
    sallyctl(box, "seal")
    drawer.comes = ["eve"]
    done = sallyctl(box, "unseal", "--yubikey", typed=["ann", "mallory"])
    assert "that is not the key of 'ann'" in done.output
    assert "'mallory' is not a holder" in done.output
    assert state(box) is SealState.SEALED
    drawer.comes = ["ann", "ann", "bob"]
    done = sallyctl(box, "unseal", "--yubikey", typed=["ann", "bob"])
    assert "That is the key of ann" in done.output
    assert done.exit_code == 0


def test_the_seal_holds_neither_pin_nor_secret_and_a_changed_one_opens_nothing(box, drawer):
    text = set_up(box)
    assert PIN.encode().hex() not in text
    (box / "signer" / "seal.json").write_text(text.replace('"threshold": 2', '"threshold": 1'))
    sallyctl(box, "seal")
    done = sallyctl(box, "unseal", "--yubikey", typed=["ann"])
    assert done.exit_code != 0
    assert state(box) is SealState.SEALED


def test_a_wrong_pin_is_never_shared_out(box, drawer):
    sallyctl(box, "unseal", "--pin-file", str(box / "pin"))
    (box / "pin").write_text("9999")
    console = Console(box / "sallyport.yaml")
    console.signer.create_key("user", 1)
    console.close()
    done = sallyctl(
        box, "seal", "setup", "--holders=ann,bob", "--threshold=2", "--pin-file", str(box / "pin")
    )
    assert isinstance(done.exception, HsmError)
    assert "pin_refused" in str(done.exception)
    assert not (box / "signer" / "seal.json").exists()


@pytest.mark.parametrize(
    ("names", "threshold"),
    [("ann", 1), ("ann,ann", 1), ("ann,bob", 3), ("ann,bob", 0), ("a,b,c,d,e,f,g,h", 2)],
)
def test_odd_numbers_of_holders_are_refused_before_anything_is_sealed(box, names, threshold):
    sallyctl(box, "unseal", "--pin-file", str(box / "pin"))
    sallyctl(box, "seal", "setup", f"--holders={names}", f"--threshold={threshold}", "--pin-file", "/none")
    assert state(box) is SealState.OPEN


def test_systemd_creds_keeps_and_releases_the_pin(box, monkeypatch):
    from appliance.config import load  # noqa: PLC0415
    from appliance.roles import pin  # noqa: PLC0415
    from appliance.roles.layout import Layout  # noqa: PLC0415
    from hsm import credential  # noqa: PLC0415

    try:
        credential.run(("systemd-creds", "--with-key=host", "encrypt", "-", "-"), b"x")
    except credential.CredentialError as error:
        pytest.skip(f"no systemd-creds here: {error}")
    done = sallyctl(box, "seal", "store", "--with-key=host", "--pin-file", str(box / "pin"))
    assert done.exit_code == 0, done.output
    (box / "sallyport.yaml").write_text(CONFIG.format(folder=box).replace("yubikeys", "systemd-creds"))
    config = load(box / "sallyport.yaml")
    released = pin.released(config, Layout(box))
    assert released is not None
    assert released.reveal_text() == PIN
    Layout(box).credential.write_bytes(b"changed")
    assert pin.released(config, Layout(box)) is None
