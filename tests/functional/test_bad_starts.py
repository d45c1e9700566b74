"""What a person sees when a start can't work: one clear sentence, a status, nothing damaged (D1, D2, D4)."""

import contextlib
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.box import Box, program
from tests.support.softhsm import MODULE, PIN, shared_store

pytestmark = pytest.mark.functional
SECONDS = 120
LABEL = "bad-starts"


@pytest.fixture
def box(tmp_path):
    """A configured box in a folder of its own, not started; stopped at the end if it runs then."""
    box = Box(folder=tmp_path / "b")
    box.folder.mkdir(mode=0o700)
    box.configure()
    yield box
    box.stop()


def refusal(box, *words, before=(), environment=None):
    """Start the box, which must fail; return its status and what it said but for readiness."""
    command = [*before, program("sallyport"), "start", "-c", str(box.config), *words]
    environment = {**box.environment, **(environment or {})}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment
    )
    said = [line for line in done.stderr.splitlines() if not line.endswith(" is ready")]
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return done.returncode, said


def refused_by(role, box, *words, **given):
    """Return the one sentence that a role said."""
    status, said = refusal(box, *words, **given)
    assert status == 1
    assert said[-1].startswith(f"sallyport: {role}")
    assert said[-1].endswith("did not start")
    (sentence,) = said[:-1]
    assert sentence.startswith(f"{role.partition('-')[0]}: ")
    return sentence.partition(": ")[2]


def edit(box, old, new):
    text = box.config.read_text()
    assert old in text
    box.config.write_text(text.replace(old, new, 1))


def line_of(box, text):
    return next(n for n, line in enumerate(box.config.read_text().splitlines(), 1) if text in line)


@contextlib.contextmanager
def taken(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()
        yield


class TestConfiguration:
    def test_each_mistake_is_told_with_file_line_key_and_what_was_expected(self, box):
        edit(box, "workers: 2", "workers: many")
        edit(box, "web_listen_addr:", "web_listen_adr:")
        edit(box, "invite_ttl: 1h", "invite_ttl: 1 hour")
        status, said = refusal(box)
        assert status == 2
        integer = "expected a valid integer, unable to parse string as an integer"
        expected = {
            "workers: many": f"proxy_service.workers: {integer}",
            "web_listen_adr": "proxy_service.web_listen_adr: unknown key, did you mean web_listen_addr?",
            "1 hour": "auth_service.invite_ttl: expected a duration such as 30s, 15m, 8h or 1h30m",
        }
        wanted = [f"{box.config}:{line_of(box, text)}:3: {rest}" for text, rest in expected.items()]
        assert sorted(said) == sorted(wanted)
        assert not box.data.exists()

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("proxy_service: [1\n", "2:1: not valid YAML"),
            ("sallyport: hello\n", "1:1: sallyport: expected a section"),
            ("- a\n", "1:1: the file: expected a section"),
            (
                "sallyport:\n  nodename: a\n  nodename: b\n",
                '3:3: not valid YAML: found duplicate key "nodename"',
            ),
            ("proxy_service:\n  listen_addr: 127.0.0.1:99999\n", "2:3: proxy_service.listen_addr: port"),
            (
                "auth_service:\n  authentication:\n    second_factors: [sms]\n",
                "3:22: auth_service.authentication",
            ),
            ("proxy_service:\n  https_key_file: /etc/key\n", "1:1: proxy_service: https_key_file and"),
            ("sallyport:\n  nodename: \xff\xfe\n".encode("latin-1"), " not valid YAML"),
        ],
    )
    def test_other_mistakes_have_their_place_too(self, box, text, expected):
        box.config.write_bytes(text if isinstance(text, bytes) else text.encode())
        status, said = refusal(box)
        assert status == 2
        assert said[0].startswith(f"{box.config}:{expected}")

    def test_a_file_that_is_not_there_is_named(self, box):
        box.config.unlink()
        assert refusal(box) == (2, [f"{box.config}: No such file or directory"])


class TestPorts:
    @pytest.mark.parametrize(("name", "role"), [("web", "web"), ("ssh", "proxy-0"), ("api", "auth")])
    def test_a_busy_port_is_named(self, box, name, role):
        port = getattr(box, name)
        with taken(port):
            sentence = refused_by(role, box)
        assert sentence == f"can't listen on 127.0.0.1:{port}: Address already in use"
        box.start()
        assert box.stop() == 0

    def test_a_second_start_leaves_the_first_alone(self, box):
        box.start()
        try:
            assert refused_by("signer", box) == "ledger: another signer has the ledger open"
            assert box.sallyctl("status").returncode == 0
        finally:
            assert box.stop() == 0


class TestDataFolder:
    def test_one_that_others_can_read_is_refused_untouched(self, box):
        box.data.mkdir(mode=0o755)
        assert refused_by("signer", box) == f"{box.data} is open to other users: chmod 700 {box.data}"
        assert list(box.data.iterdir()) == []

    def test_a_file_in_its_place_is_called_that(self, box):
        box.data.write_text("mine")
        assert refused_by("signer", box) == f"{box.data} can't be used: expected a folder, it is a file"
        assert box.data.read_text() == "mine"

    def test_one_whose_sockets_would_have_no_name_is_refused(self, box):
        edit(box, "data_dir: data", "data_dir: " + "x" * 120)
        assert "bytes too long: sockets lie under it" in refused_by("signer", box)


@pytest.fixture(scope="module")
def softhsm():
    store = shared_store()
    store.make_token(LABEL)
    return store


def use_token(box, pin, *, label=LABEL, module=MODULE):
    """Have the box keep its keys in a PKCS#11 token; returns the file with the PIN."""
    file = box.folder / "pin"
    file.write_text(f"{pin}\n")
    file.chmod(0o600)
    text = box.config.read_text()
    token = (
        f'    provider: pkcs11\n    uri: "pkcs11:token={label}?module-path={module}"\n    pin_file: {file}\n'
    )
    text = re.sub(r"(?m)^    provider: file\n", token, text)
    box.config.write_text(re.sub(r"(?m)^    # (path|pin_file):\n", "", text))
    return file


class TestToken:
    def test_a_module_that_is_not_there_is_named(self, box):
        use_token(box, PIN, module="/usr/lib/nosuch.so")
        assert refused_by("signer", box).endswith("/usr/lib/nosuch.so cannot be loaded as a PKCS#11 module")

    def test_a_token_that_is_not_there_is_named(self, box, softhsm):
        use_token(box, PIN, label="other")
        sentence = refused_by("signer", box, environment=softhsm.environment)
        assert sentence == "pkcs11:token=other: the token is not there"

    def test_a_wrong_pin_is_called_that_and_the_right_one_works_afterwards(self, box, softhsm):
        file = use_token(box, "0000")
        sentence = refused_by("signer", box, environment=softhsm.environment)
        assert sentence.startswith("pkcs11:token=bad-starts: the token refused the PIN")
        file.write_text(PIN)
        box.start()
        assert "openssh" in box.sallyctl("auth", "ls").stdout
        assert box.stop() == 0

    def test_a_pin_file_that_others_can_read_is_refused(self, box):
        file = use_token(box, PIN)
        file.chmod(0o644)
        assert refused_by("signer", box) == f"{file} is open to other users: chmod 600 {file}"

    def test_the_pass_phrase_of_the_key_file_wrong_or_gone(self, box):
        box.start()
        keys = box.sallyctl("auth", "ls").stdout
        assert box.stop() == 0
        pin = box.data / "token/pin"
        right = pin.read_text()
        pin.write_text("not it\n")
        assert refused_by("signer", box).endswith("the passphrase of the key file is wrong")
        pin.unlink()
        assert "is missing: the token can't be opened" in refused_by("signer", box)
        pin.write_text(right)
        pin.chmod(0o600)
        box.start()
        assert box.sallyctl("auth", "ls").stdout == keys
        assert box.stop() == 0


def two_days_ago():
    """Return the environment in which a program believes that; skips where libfaketime is not there."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed: scripts/setup test")
    return {"LD_PRELOAD": str(library), "FAKETIME": "-2d"}


class TestClock:
    def test_one_that_went_back_is_told_with_both_times_and_a_person_can_accept_it(self, box):
        box.start()
        assert box.stop() == 0
        sentence = refused_by("auth", box, environment=two_days_ago())
        assert re.fullmatch(
            r"the clock says [\d :-]+ UTC, but the last event is of [\d :-]+ UTC: set the clock, "
            r"or start once with --accept-clock if the earlier time was the wrong one",
            sentence,
        )
        start(box, "--accept-clock", environment=two_days_ago())
        assert box.stop() == 0
        box.start()
        assert box.stop() == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB, in a mount namespace that commands enter by what is yielded."""
    folder = tmp_path / "disk"
    folder.mkdir()
    holder = subprocess.Popen(
        ["unshare", "--mount", "--map-root-user", "sh", "-c",
         f"mount -t tmpfs -o size=24m,mode=700 tmpfs {folder} && echo mounted && exec sleep 600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    if holder.stdout.readline() != "mounted\n":
        pytest.skip(f"no mount namespaces here: {holder.stderr.read()}")
    try:
        yield folder, ("nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(holder.pid))
    finally:
        holder.terminate()
        holder.wait(10)
        holder.stdout.close()
        holder.stderr.close()


class TestFullDisk:
    def test_a_start_on_one_says_so_and_works_once_there_is_room(self, box, small_disk):
        disk, enter = small_disk
        edit(box, "data_dir: data", f"data_dir: {disk}/data")
        subprocess.run(
            [*enter, "dd", "if=/dev/zero", f"of={disk}/filler", "bs=64k"], capture_output=True, check=False
        )
        sentence = refused_by("signer", box, before=enter)
        assert "No space left on device" in sentence or "full" in sentence
        subprocess.run([*enter, "rm", f"{disk}/filler"], check=True)
        start(box, before=enter)
        self.fill_while_it_runs(box, disk, enter)

    def fill_while_it_runs(self, box, disk, enter):
        """Go on with a running box: filling the disk stops what needs it, and loses nothing."""

        def sallyctl(*words):
            command = [*enter, program("sallyctl"), *words]
            return subprocess.run(command, capture_output=True, text=True, env=box.environment, check=False)

        assert sallyctl("users", "add", "ann").returncode == 0
        subprocess.run(
            [*enter, "dd", "if=/dev/zero", f"of={disk}/filler", "bs=4k"], capture_output=True, check=False
        )
        refused = sallyctl("users", "add", "joe")
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
        subprocess.run([*enter, "rm", f"{disk}/filler"], check=True)
        added = eventually(lambda: sallyctl("users", "add", "kim"))
        assert added.returncode == 0, added.stderr
        listed = sallyctl("users", "ls").stdout
        assert "ann" in listed
        assert "kim" in listed
        assert box.stop() == 0


def start(box, *words, before=(), environment=None):
    """Start the box in an unusual place, and wait until it serves."""
    log = (box.folder / "start.log").open("wb")
    box.process = subprocess.Popen(
        [*before, program("sallyport"), "start", "-c", str(box.config), *words],
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        env={**box.environment, **(environment or {})},
    )
    log.close()
    until = time.monotonic() + SECONDS
    while "web is ready" not in box.said:
        assert box.process.poll() is None, box.said
        assert time.monotonic() < until, box.said
        time.sleep(0.1)


def eventually(attempt, seconds=15):
    until = time.monotonic() + seconds
    while (done := attempt()).returncode != 0 and time.monotonic() < until:
        time.sleep(0.5)
    return done
