"""The whole story once, on real parts and throw-away state: `make demo`.

Real ssh, scp, sftp, rsync, git, sshd, Chromium and our own processes; free ports of the loopback; one
temporary folder. Every line with a tick was looked into, not assumed. Exit status 0 only when all held.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect

from scripts.demo_stage import Stage, StepFailed
from tests.support import sign_up
from tests.support.box import COMMANDS, Box, running_box
from tests.support.browser import Browser, chromium
from tests.support.stock_node import StockNode, running_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.box import Done

PASSWORD = "correct horse battery staple"  # noqa: S105 - of an account that lives for a minute
GENESIS = "0" * 64
LEAST_RECOVERY_CODES = 8
OWNER_ONLY = 0o600
SHELL_STATUS = 3
ASCIICAST = 2
EVENTS = (
    "user.create invite.use mfa.add node.create auth cert.create session.start resize exec session.end "
    "recording.complete"
)
PROMPT = r"[#$] "


@dataclass(kw_only=True)
class Demo:
    """The parts on stage."""

    stage: Stage
    box: Box
    node: StockNode
    browser: Browser

    def run(self, *words: str | Path, status: int = 0, stdin: str = "", show: bool = True) -> Done:
        """Run a command as a person types it, show it, and hold it to its exit status."""
        line = [str(word) for word in words]
        self.stage.command(shlex.join(line) + (f"   <<< {stdin.strip()!r}" if stdin else ""))
        done = self.box.run(*line, stdin=stdin)
        if show:
            self.stage.output(done.stdout + done.stderr)
        if done.returncode != status:
            raise StepFailed(f"exit status {done.returncode}, expected {status}: {done.stdout}{done.stderr}")
        return done

    def ask(self, *words: str) -> Any:
        """Return a command's answer as a program reads it; nothing is shown."""
        done = self.box.run(*words, "--format", "json")
        if done.returncode != 0:
            raise StepFailed(f"{shlex.join(words)}: {done.stderr}")
        return json.loads(done.stdout)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the newest events of a name."""
        events: list[dict[str, Any]] = self.ask("sallyctl", "events", "ls", "--type", name)["events"]
        return events

    @property
    def home(self) -> Path:
        """Where the person works."""
        return self.box.folder / "home"

    @property
    def target(self) -> str:
        """The node as plain ssh names it."""
        return f"{self.node.login}@web1.main"


def administrator_signs_up(demo: Demo) -> None:
    """The start's own link, with a security key."""
    demo.stage.step("1  The box has started; its first administrator signs up with a security key")
    demo.stage.output(demo.box.said)
    demo.browser.plug_in()
    signed_up = sign_up.with_key(demo.browser, demo.box.link, PASSWORD)
    demo.stage.holds("the page took a password and a WebAuthn registration", demo.browser.heading)
    demo.stage.holds("recovery codes were shown once", len(signed_up.recovery_codes) >= LEAST_RECOVERY_CODES)
    demo.browser.open(demo.box.link)
    demo.stage.holds(
        "the same link says that it was used", "used already" in demo.browser.text, demo.browser.text
    )
    demo.browser.open(f"{demo.box.url}/web/login")
    demo.browser.click("Sign in with a passkey")
    demo.browser.wait_for_heading("Nodes")
    demo.stage.holds("the key alone signs in, as a passkey", demo.browser.text)
    demo.stage.holds(
        "nothing on the pages broke their content security policy", not demo.browser.refused_by_policy()
    )
    demo.browser.forget()


def joe_signs_up(demo: Demo) -> sign_up.SignedUp:
    """An account, its link, an authenticator app."""
    demo.stage.step("2  The administrator invites joe; joe signs up with an authenticator app")
    added = demo.run("sallyctl", "users", "add", "joe", f"joe,{demo.node.login}")
    link = added.stdout.split()[-1]
    demo.browser.open(link[:-1] + ("A" if link[-1] != "A" else "B"))
    altered = demo.browser.text
    demo.stage.holds("an altered link is refused", "Use an authenticator app" not in altered, altered)
    joe = sign_up.with_app(demo.browser, link, PASSWORD)
    demo.stage.holds("joe chose a password and proved the app's code", joe.codes)
    demo.browser.forget()
    listed = demo.run("sallyctl", "users", "ls").stdout
    demo.stage.holds(
        "both accounts are listed with their factors", "webauthn" in listed and "joe" in listed, listed
    )
    return joe


def node_joins(demo: Demo) -> None:
    """A stock sshd: two files and two lines."""
    demo.stage.step("3  A machine with stock sshd becomes a node")
    out = demo.home / "for-web1"
    words = ["nodes", "add", "--openssh", "web1", f"--addr={demo.node.address}", "--labels=env=dev", "--yes"]
    demo.run("sallyctl", *words, f"--out={out}")
    demo.stage.tell("on web1, appended to sshd_config, then reloaded:")
    lines = demo.node.trust(next(out.glob("*user-ca.pub")), next(out.glob("*host-cert.pub")))
    demo.stage.output(lines)
    listed = demo.run("sallyctl", "nodes", "ls").stdout
    demo.stage.holds("the node is listed", "web1" in listed and "env=dev" in listed)


def joe_logs_in(demo: Demo, joe: sign_up.SignedUp) -> None:
    """Password and code in, certificates out."""
    demo.stage.step("4  joe signs in from the command line")
    box = demo.box
    demo.stage.command(f"sally login --proxy={box.proxy} --user=joe --ca-pin={box.pin}")
    if joe.codes is None:
        raise StepFailed("joe has no app")
    demo.stage.output(box.login("joe", joe.password, joe.codes.next()))
    key = next(demo.home.glob(".sally/*/joe"))
    demo.stage.holds("the key is joe's alone", key.stat().st_mode & 0o777 == OWNER_ONLY)
    shown = demo.run("ssh-keygen", "-L", "-f", f"{key}-cert.pub", show=False).stdout
    demo.stage.holds(
        "stock ssh-keygen reads the certificate", "user certificate" in shown and "joe" in shown, shown
    )
    demo.run("sally", "status")
    listed = demo.run("sally", "ls").stdout
    demo.stage.holds("joe sees the node", "web1" in listed, listed)
    config = demo.run("sally", "config").stdout
    (demo.home / "ssh_config").write_text(config)
    direct = [
        "ssh",
        "-F",
        "none",
        "-i",
        str(key),
        "-o",
        f"CertificateFile={key}-cert.pub",
        "-o",
        "BatchMode=yes",
    ]
    direct += [
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-p",
        str(demo.node.port),
    ]
    refused = demo.run(*direct, f"{demo.node.login}@127.0.0.1", "true", status=255).stderr
    demo.stage.holds(
        "that certificate does not open the node by itself", "Permission denied" in refused, refused
    )


def plain_ssh(demo: Demo) -> None:
    """A shell on a terminal, a command, and what is not allowed."""
    demo.stage.step("5  Plain ssh, with the configuration that sally printed")
    demo.stage.command(f"ssh -F ssh_config {demo.target}")
    words = ["-F", "ssh_config", demo.target]
    environment = demo.box.environment
    shell = pexpect.spawn("ssh", words, env=environment, encoding="utf-8", timeout=20, cwd=str(demo.home))
    shell.expect(PROMPT)
    first = shell.before + shell.after
    shell.sendline("echo the answer is $((6*7))")
    shell.expect("the answer is 42")
    seen = first + shell.before + shell.after
    shell.setwinsize(50, 120)
    shell.sendline("stty size")
    shell.expect("50 120")
    shell.sendline(f"exit {SHELL_STATUS}")
    shell.expect(pexpect.EOF)
    shell.close()
    demo.stage.output(seen + shell.before)
    demo.stage.holds("no question about host keys was asked", "authenticity" not in seen, seen)
    demo.stage.holds(
        "the shell's exit status came through", shell.exitstatus == SHELL_STATUS, shell.exitstatus
    )
    done = demo.run(
        "ssh", "-F", "ssh_config", demo.target, "cat; echo to stderr >&2; exit 5", stdin="hello\n", status=5
    )
    demo.stage.holds(
        "output, errors and status stay apart", (done.stdout, done.stderr) == ("hello\n", "to stderr\n")
    )
    refused = demo.run("ssh", "-F", "ssh_config", "nobody@web1.main", "id", status=255).stderr
    demo.stage.holds(
        "a login that joe's role does not allow is refused in words", "nobody" in refused, refused
    )
    reasons = [event["error"] for event in demo.events("auth") if event.get("login") == "nobody"]
    demo.stage.holds(f"the event log has the full reason: {reasons}", any(reasons))


def copies(demo: Demo) -> None:
    """scp, sftp, rsync and git over the same way."""
    demo.stage.step("6  scp, sftp, rsync and git")
    home, far = demo.home, demo.box.folder / "on-the-node"
    far.mkdir()
    (home / "report.bin").write_bytes(os.urandom(3_000_000))
    wanted = _sha256(home / "report.bin")
    demo.run("scp", "-q", "-F", "ssh_config", "report.bin", f"{demo.target}:{far}/by-scp")
    demo.run("scp", "-q", "-F", "ssh_config", f"{demo.target}:{far}/by-scp", "back.bin")
    demo.stage.holds(
        "scp: the same SHA-256 there and back",
        {_sha256(far / "by-scp"), _sha256(home / "back.bin")} == {wanted},
    )
    batch = f"put report.bin {far}/by-sftp\nget {far}/by-sftp again.bin\n"
    demo.run("sftp", "-q", "-b", "-", "-F", "ssh_config", demo.target, stdin=batch, show=False)
    demo.stage.holds("sftp: the same", {_sha256(far / "by-sftp"), _sha256(home / "again.bin")} == {wanted})
    demo.run("rsync", "-a", "-e", "ssh -F ssh_config", "report.bin", f"{demo.target}:{far}/by-rsync")
    demo.stage.holds("rsync: the same", _sha256(far / "by-rsync") == wanted)
    demo.run("git", "init", "-q", "--bare", "-b", "main", far / "repository.git", show=False)
    clone = [
        "-c",
        "core.sshCommand=ssh -F ssh_config",
        "clone",
        "-q",
        f"{demo.target}:{far}/repository.git",
        "cloned",
    ]
    demo.run("git", *clone)
    demo.stage.holds("git cloned over ssh", (home / "cloned/.git").is_dir())


def replay(demo: Demo) -> None:
    """Sessions, the replay of what was typed, the chained log."""
    demo.stage.step("7  What was recorded")
    demo.run("sallyctl", "sessions", "ls")
    found = demo.ask("sallyctl", "sessions", "ls")["sessions"]
    demo.stage.holds(
        "every session has ended and has its recording",
        all(one["recording_size"] for one in found if one["login"] != "nobody"),
        found,
    )
    shell = min(
        (one for one in found if one["login"] == demo.node.login), key=lambda one: str(one["started_at"])
    )
    played = demo.run("sally", "play", "--speed=0", shell["id"]).stdout
    demo.stage.holds(
        "the replay shows what was typed and what came",
        "6*7" in played and "the answer is 42" in played,
        played,
    )
    demo.run("sally", "play", "--cast=shell.cast", shell["id"])
    head = json.loads((demo.home / "shell.cast").read_text().splitlines()[0])
    demo.stage.holds("it is an asciicast, version 2", head["version"] == ASCIICAST, head)
    demo.run("sallyctl", "events", "ls", "--limit=12")
    missing = [name for name in EVENTS.split() if not demo.events(name)]
    demo.stage.holds(f"the log has {EVENTS}", not missing, missing)
    count = _chained(demo.box.data / "log")
    demo.stage.holds(f"each of its {count} lines carries the hash of the one before", count > 0)


def starts_again(demo: Demo) -> None:
    """The same state, the same certificate."""
    demo.stage.step("8  Ctrl-C, and the same command again")
    demo.stage.holds("it stopped cleanly", demo.box.stop() == 0)
    demo.box.start()
    done = demo.run("ssh", "-F", "ssh_config", demo.target, "echo still here")
    demo.stage.holds("joe's certificate opens the node as before", done.stdout == "still here\n")
    demo.run("sally", "logout")
    demo.stage.holds("after logout no key is left", not list(demo.home.glob(".sally/*/joe*")))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _chained(folder: Path) -> int:
    """Return how many lines follow each other by their hashes; the hash is RFC 6962's of a leaf."""
    before, count = GENESIS, 0
    for path in sorted(folder.glob("[0-9]*.log")):
        for line in path.read_bytes().splitlines():
            if json.loads(line)["prev"] != before:
                raise StepFailed(f"{path.name}, line {count + 1}: the chain is broken")
            before, count = hashlib.sha256(b"\0" + line).hexdigest(), count + 1
    return count


def play(folder: Path) -> None:
    """Bring the parts on stage, and play."""
    stage = Stage(hidden={f"{COMMANDS}/": "", f"{folder}/box/home": "~", str(folder): "…"})
    stage.tell("starting sshd, the box and Chromium …")
    with ExitStack() as stack:
        node = stack.enter_context(running_node(folder / "web1"))
        box = stack.enter_context(running_box(folder / "box"))
        browser = stack.enter_context(chromium(folder / "profile", trusted_spki=box.spki))
        demo = Demo(stage=stage, box=box, node=node, browser=browser)
        administrator_signs_up(demo)
        joe = joe_signs_up(demo)
        node_joins(demo)
        joe_logs_in(demo, joe)
        stories: list[Callable[[Demo], None]] = [plain_ssh, copies, replay, starts_again]
        for story in stories:
            story(demo)
    stage.step(f"Done: {stage.claims} claims held")


def main() -> int:
    """Play it; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="sallyport-demo-") as folder:
        try:
            play(Path(folder))
        except (StepFailed, AssertionError, pexpect.ExceptionPexpect) as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
