"""The whole product as its people run it: `sallyport start`, and the three commands beside it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pyotp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.config.sample import sample
from tests.support.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = Path(sys.executable).parent
START_SECONDS, STOP_SECONDS, PROMPT_SECONDS = 60, 30, 20
Done = subprocess.CompletedProcess[str]


def program(name: str) -> str:
    """Return the path of one of our commands."""
    return str(COMMANDS / name)


@dataclass(kw_only=True)
class Box:
    """A box on free ports of the loopback, all its state under `folder`, and a person's home beside it."""

    folder: Path
    web: int = field(default_factory=free_port)
    ssh: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    overrides: dict[str, object] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "sallyport.yaml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def proxy(self) -> str:
        return f"localhost:{self.web}"

    @property
    def url(self) -> str:
        return f"https://{self.proxy}"

    @property
    def said(self) -> str:
        """All that `sallyport start` has printed so far."""
        return (self.folder / "start.log").read_text(errors="replace")

    @property
    def pin(self) -> str:
        """The cluster's pin as the administrator reads it from the start."""
        return re.findall(r"sha256:[0-9a-f]{64}", self.said)[-1]

    @property
    def link(self) -> str:
        """The first administrator's sign-up link."""
        return re.findall(r"https://\S+/web/invite/\S+", self.said)[-1]

    @property
    def spki(self) -> str:
        """Base64 SHA-256 of the web pages' public key, as Chromium's switch takes it."""
        chain = x509.load_pem_x509_certificates((self.data / "web/tls.crt").read_bytes())
        der = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    @property
    def environment(self) -> dict[str, str]:
        """What a person's terminal has: our commands on the path, a home of its own."""
        path = f"{COMMANDS}:{os.environ['PATH']}"
        home = {"HOME": str(self.folder / "home"), "SALLY_HOME": str(self.folder / "home/.sally")}
        kept = {
            key: value for key, value in os.environ.items() if key not in {"SSH_AUTH_SOCK", "SALLY_PROXY"}
        }
        return {**kept, **home, "PATH": path, "SALLYPORT_CONFIG": str(self.config), "TERM": "xterm"}

    def configure(self) -> None:
        """Write the commented configuration, as `make run` does, for these ports."""
        (self.folder / "home").mkdir(mode=0o700, parents=True, exist_ok=True)
        ours: dict[str, object] = {
            "sallyport.nodename": "box",
            "sallyport.data_dir": "data",
            "auth_service.listen_addr": f"127.0.0.1:{self.api}",
            "auth_service.public_addr": f"localhost:{self.api}",
            "proxy_service.listen_addr": f"127.0.0.1:{self.ssh}",
            "proxy_service.web_listen_addr": f"127.0.0.1:{self.web}",
            "proxy_service.public_addr": f"localhost:{self.web}",
            **self.overrides,
        }
        self.config.write_text(sample(ours))

    def start(self) -> None:
        """Start everything and wait until it serves."""
        command = [program("sallyport"), "start", "--config", str(self.config), "--welcome"]
        with (self.folder / "start.log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**self.environment, "PYTHONUNBUFFERED": "1"},
            )
        until = time.monotonic() + START_SECONDS
        while "Ctrl-C stops everything" not in self.said:
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the box did not start:\n{self.said}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop everything as Ctrl-C does; return the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status = self.process.wait(STOP_SECONDS)
        self.process = None
        return status

    def run(self, *command: str | Path, stdin: str = "", seconds: float = 60) -> Done:
        """Run a command as this box's person would, in their home."""
        return subprocess.run(
            [str(word) for word in command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd=self.folder / "home",
            env=self.environment,
        )

    def sallyctl(self, *words: str | Path) -> Done:
        """Run the administrator's command at the box's console."""
        return self.run(program("sallyctl"), *words)

    def sally(self, *words: str | Path) -> Done:
        """Run the person's command."""
        return self.run(program("sally"), *words)

    def login(self, user: str, password: str, code: str, *words: str) -> str:
        """Sign in at the prompts of a real terminal; return what the terminal showed."""
        arguments = ["login", f"--proxy={self.proxy}", f"--user={user}", f"--ca-pin={self.pin}", *words]
        child = pexpect.spawn(
            program("sally"),
            arguments,
            env=self.environment,
            encoding="utf-8",
            timeout=PROMPT_SECONDS,
            dimensions=(40, 200),
            cwd=str(self.folder / "home"),
        )
        shown = ""
        for prompt, answer in (("Password for", password), ("One-time code", code)):
            child.expect(f"{prompt}[^:]*: ?")
            shown += child.before + child.after
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        shown += child.before
        if child.exitstatus != 0:
            raise AssertionError(f"sally login ended with {child.exitstatus}: {shown}")
        return shown


@contextmanager
def running_box(folder: Path, **overrides: object) -> Iterator[Box]:
    """Run a fresh box; `overrides` are dotted configuration keys with `__` for the dot."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    box = Box(folder=folder, overrides={key.replace("__", "."): value for key, value in overrides.items()})
    box.configure()
    try:
        box.start()
        yield box
    finally:
        box.stop()


class OneTimeCodes:
    """A person's authenticator app, who never gives the same step's code twice."""

    def __init__(self, secret: str) -> None:
        self._totp = pyotp.TOTP(secret)
        self._last = 0

    def next(self) -> str:
        """Return a code that was not given before: of this step or the next, which a box accepts as well."""
        wanted = max(self._last + 1, self._step())
        while wanted > self._step() + 1:
            time.sleep(0.2)
        self._last = wanted
        return self._totp.at(wanted * self._totp.interval)

    def _step(self) -> int:
        return int(time.time()) // self._totp.interval  # noqa: TID251 - the box's clock is the true one
