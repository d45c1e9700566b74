"""A whole box, a node that trusts it, and a person signed in: the ground of the custody tests."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pexpect

from appliance.client import Api, UnixTransport
from appliance.domain.decision import Factor
from appliance.domain.operations import people
from tests.support.box import Box, OneTimeCodes, program, running_box
from tests.support.stock_node import StockNode, running_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = "correct horse battery staple"


@dataclass(kw_only=True)
class Site:
    """The parts. `codes` are the app of `user`."""

    box: Box
    node: StockNode
    user: str
    codes: OneTimeCodes

    @property
    def home(self) -> Path:
        return self.box.folder / "home"

    def ctl(self, *words: str | Path, status: int = 0) -> str:
        """Run `sallyctl` at the console and hold it to its status; returns what it printed."""
        done = self.box.sallyctl(*words)
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def ask(self, *words: str | Path) -> Any:
        """Return the answer of `sallyctl` as a program reads it."""
        done = self.box.sallyctl(*words, "--format", "json")
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def login(self) -> None:
        """Sign in at the prompts, and write the ssh_config that `sally config` prints."""
        self.box.login(self.user, PASSWORD, self.codes.next())
        (self.home / "ssh_config").write_text(self.box.sally("config").stdout)

    def sign_in_again(self) -> None:
        """Sign in as on any other day: the cluster is known, and nobody gives its pin again."""
        words = ["login", f"--proxy={self.box.proxy}", f"--user={self.user}"]
        child = pexpect.spawn(
            program("sally"), words, env=self.box.environment, timeout=20, cwd=str(self.home)
        )
        for prompt, answer in (("Password for", PASSWORD), ("One-time code", self.codes.next())):
            child.expect(prompt)
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, child.before

    @property
    def key(self) -> Path:
        """The person's SSH key; the certificate lies beside it."""
        return next(self.home.glob(f".sally/*/{self.user}"))

    def command(self, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line of stock ssh to the node."""
        return ["ssh", "-F", "ssh_config", *options, f"{self.node.login}@web1.main", *words]

    def ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run stock ssh to the node through the bastion."""
        return self.box.run(*self.command(*words))

    @contextmanager
    def running_session(self) -> Iterator[Running]:
        """Keep a shell command running on the node."""
        process = subprocess.Popen(
            self.command("cat"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home,
            env=self.box.environment,
        )
        running = Running(process)
        try:
            running.echo(b"begins\n")
            yield running
        finally:
            process.kill()
            process.communicate()


@dataclass(frozen=True)
class Running:
    """A session with `cat` at its other end."""

    process: subprocess.Popen[bytes]

    def echo(self, line: bytes) -> None:
        """Send a line and wait until it comes back."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        assert self.process.stdout.readline() == line, self.process.stderr

    def ended_within(self, seconds: float) -> float:
        """Return after how many seconds it ended by itself."""
        begin = time.monotonic()
        self.process.wait(seconds)
        return time.monotonic() - begin


def sign_up(box: Box, user: str, logins: str, roles: str = "access") -> OneTimeCodes:
    """Make an account and sign it up by the web process's own door: password and app."""
    added = box.sallyctl("users", "add", user, logins, f"--roles={roles}")
    assert added.returncode == 0, added.stderr
    token = added.stdout.split()[-1].rpartition("/")[2]
    web = Api(UnixTransport(box.data / "run/web.sock"))
    try:
        offer = web.call("invites.begin", people.EnrolBegin(token=token, factor=Factor.TOTP))
        codes = OneTimeCodes(offer.secret)
        proof = people.CodeProof(code=codes.next())
        web.call(
            "invites.finish",
            people.EnrolFinish(token=token, password=PASSWORD, device_name="phone", proof=proof),
        )
    finally:
        web.close()
    return codes


def add_node(box: Box, node: StockNode) -> Path:
    """Make the node trust the cluster; returns the folder its files are in."""
    out = box.folder / "for-web1"
    words = ["nodes", "add", "--openssh", "web1", f"--addr={node.address}", "--labels=env=dev", "--yes"]
    done = box.sallyctl(*words, f"--out={out}")
    assert done.returncode == 0, done.stdout + done.stderr
    node.trust(next(out.glob("*user-ca.pub")), next(out.glob("*host-cert.pub")))
    return out


def put_token(box: Box, token: str) -> None:
    """Write another token, as YAML in one line, into the box's configuration."""
    text = box.config.read_text()
    changed = re.sub(r"^  token:\n(?:    .*\n)+", f"  token: {token}\n", text, flags=re.MULTILINE)
    assert changed != text
    box.config.write_text(changed)


@contextmanager
def site_on(folder: Path, token: str) -> Iterator[Site]:
    """Run everything on this token, with joe signed in."""
    box = Box(folder=folder / "box")
    box.folder.mkdir(mode=0o700)
    box.configure()
    put_token(box, token)
    with running_node(folder / "web1") as node:
        try:
            box.start()
            codes = sign_up(box, "joe", f"joe,{node.login}")
            add_node(box, node)
            site = Site(box=box, node=node, user="joe", codes=codes)
            site.login()
            yield site
        finally:
            box.stop()


@contextmanager
def running_site(folder: Path, user: str = "joe", **overrides: object) -> Iterator[Site]:
    """Run everything, with the person signed in."""
    with ExitStack() as stack:
        node = stack.enter_context(running_node(folder / "web1"))
        box = stack.enter_context(running_box(folder / "box", **overrides))
        codes = sign_up(box, user, f"{user},{node.login}")
        add_node(box, node)
        site = Site(box=box, node=node, user=user, codes=codes)
        site.login()
        yield site


def eventually(what: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until something is true, and return it."""
    until = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > until:
            raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(0.1)
    return found
