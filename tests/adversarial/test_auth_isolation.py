"""No process holds what it needs not: not the token's module and PIN, nor anybody's secret in the open."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pyotp
import pytest

from appliance.client import Api, UnixTransport
from appliance.client.person.home import fresh_keys
from appliance.domain.decision import Factor
from appliance.domain.operations import people
from appliance.domain.operations.operation import Nothing
from tests.support.web_appliance import running_appliance

pytestmark = pytest.mark.functional
HERE = "192.0.2.7"
PASSWORD = "correct horse battery staple"
TOKEN_MODULES = {
    "hsm.file",
    "hsm.pkcs11",
    "hsm.piv",
    "hsm.registry",
    "hsm.signer.desk",
    "hsm.signer.server",
    "hsm.signer.token",
    "pkcs11",
    "smartcard",
}
NETWORK_MODULES = {"asyncssh", "cheroot", "flask", "httpx2", "appliance.broker", "appliance.store", "webui"}
DECIDING_MODULES = {"appliance.broker.broker", "appliance.store", "appliance.authn", "hsm.signer.client"}


def loaded(role: str) -> set[str]:
    """The modules a role's process has once it is imported whole."""
    listing = "json.dumps([name for name, module in sys.modules.items() if module])"
    code = f"import json, sys, appliance.roles.{role}; print({listing})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("role", ["auth", "proxy", "web", "supervisor"])
def test_no_other_process_than_the_signer_can_open_the_token(role):
    assert not loaded(role) & TOKEN_MODULES


@pytest.mark.parametrize("role", ["proxy", "web"])
def test_the_processes_at_the_edge_hold_nothing_that_decides(role):
    assert not loaded(role) & DECIDING_MODULES


def test_the_signer_holds_nothing_that_speaks_with_the_network():
    assert not loaded("signer") & NETWORK_MODULES


# a whole sign-up and sign-in on the real processes, and then a look everywhere


class Story:
    """What was secret in it, and where the processes are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, bytes] = {}

    def keep(self, name: str, text: str | bytes) -> None:
        self.secrets[name] = text if isinstance(text, bytes) else text.encode()

    @property
    def processes(self) -> dict[str, Path]:
        """Role to its folder under /proc."""
        found = {}
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and (role := self._role(process)):
                found[role] = process
        return found

    def _role(self, process: Path) -> str:
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return ""
        module = next((word for word in words if word.startswith("appliance.roles.")), "")
        mine = any(word.startswith(str(self.folder)) for word in words)
        return module.rpartition(".")[2] if mine else ""

    def leaks(self, data: bytes, *, but: tuple[str, ...] = ()) -> list[str]:
        return [name for name, secret in self.secrets.items() if name not in but and secret in data]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with running_appliance(folder) as appliance:
        story = Story(folder)
        web = Api(UnixTransport(folder / "data/run/web.sock"))
        try:
            tell(story, appliance.console, web)
            yield story
        finally:
            web.close()


def tell(story: Story, console: Api, web: Api) -> None:
    """Sign up, sign in for certificates and for a browser, guess wrong; keep all that was secret."""
    story.keep("pin", (story.folder / "data/token/pin").read_bytes().strip())
    link = console.call("users.create", people.UserCreate(name="joe", logins=("root",)))
    token = link.url.rpartition("/")[2]
    story.keep("link", token)
    story.keep("password", PASSWORD)
    offer = web.call("invites.begin", people.EnrolBegin(token=token, factor=Factor.TOTP))
    story.keep("seed", offer.secret)
    story.keep("raw seed", base64.b32decode(offer.secret))
    totp = pyotp.TOTP(offer.secret)
    proof = people.CodeProof(code=totp.now())
    request = people.EnrolFinish(token=token, password=PASSWORD, device_name="phone", proof=proof)
    for number, code in enumerate(web.call("invites.finish", request).recovery_codes):
        story.keep(f"recovery code {number}", code)
    for number, purpose in enumerate((certificates, browser)):
        code = people.CodeProof(code=story.secrets[f"recovery code {number}"].decode())
        begun = web.call("login.begin", people.LoginBegin(user="joe", source=HERE))
        proofs = (people.PasswordProof(password=PASSWORD), code)
        web.call("login.prove", people.LoginProve(attempt=begun.attempt, source=HERE, proofs=proofs))
        purpose(story, web, begun.attempt)
    guess(story, web)


def certificates(story: Story, web: Api, attempt: str) -> None:
    keys = fresh_keys()
    story.keep("ssh key", keys.ssh_private.splitlines()[2])
    story.keep("tls key", keys.tls_private.splitlines()[1])
    web.call(
        "login.issue",
        people.CredentialsRequest(
            attempt=attempt, source=HERE, ssh_public_key=keys.ssh_blob, tls_public_key=keys.tls_public
        ),
    )


def browser(story: Story, web: Api, attempt: str) -> None:
    token = web.call("web_sessions.create", people.WebSessionCreate(attempt=attempt, source=HERE)).token
    story.keep("cookie", token)
    assert web.for_web_session(token).call("me.show", Nothing()).user == "joe"


def guess(story: Story, web: Api) -> None:
    """A wrong password is a secret too: it is the right one with a slip, or that of another place."""
    story.keep("wrong password", "incorrect horse battery staple"[2:] + "!")
    for user in ("joe", "My Mistyped Passphrase"):
        begun = web.call("login.begin", people.LoginBegin(user=user, source=HERE))
        proof = people.PasswordProof(password=story.secrets["wrong password"].decode())
        with pytest.raises(Exception, match="wrong"):
            web.call("login.prove", people.LoginProve(attempt=begun.attempt, source=HERE, proofs=(proof,)))
    story.keep("password typed as a name", "My Mistyped Passphrase")


def test_no_secret_is_in_any_processes_arguments_or_environment(story):
    assert story.processes.keys() >= {"signer", "auth", "web"}
    for role, process in story.processes.items():
        for file in ("cmdline", "environ", "comm"):
            assert not story.leaks((process / file).read_bytes()), (role, file)


def test_no_secret_is_in_a_log_an_event_or_the_ledger(story):
    texts = [
        story.folder / "log.txt",
        *(story.folder / "data/log").glob("*"),
        *(story.folder / "data/signer").glob("*"),
    ]
    files = [one for one in texts if one.is_file()]
    assert any(one.suffix == ".log" for one in files)
    for file in files:
        assert not story.leaks(file.read_bytes()), file.name


def test_no_secret_is_in_the_store_in_the_open(story):
    stored = [one for one in (story.folder / "data/auth").rglob("*") if one.is_file()]
    assert any(one.name == "state.sqlite" for one in stored)
    for file in stored:
        assert not story.leaks(file.read_bytes()), file.name


def test_only_the_signer_has_the_token_open_or_its_library_loaded(story):
    token = str(story.folder / "data/token")
    for role, process in story.processes.items():
        if role == "signer":
            continue
        held = {str(one.readlink()) for one in (process / "fd").iterdir() if one.is_symlink()}
        assert not any(one.startswith(token) for one in held), role
        maps = (process / "maps").read_text()
        assert "pkcs11" not in maps, role
        assert token not in maps, role


def test_what_is_kept_is_closed_to_other_accounts(story):
    data = story.folder / "data"
    assert data.stat().st_mode & 0o077 == 0
    for file in data.rglob("*"):
        if file.name.endswith(("pin", "keys", ".key", "seed.key", "api.pem", "state.sqlite", "host_key")):
            assert file.stat().st_mode & 0o077 == 0, file


def test_the_log_is_under_the_tokens_signature_from_the_first_minute(story):
    lines = (story.folder / "data/log/checkpoints.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["note"].startswith("main/audit\n")
