"""What `sallyport start` runs: the roles as child processes, in order, watched and restarted.

A child says that it is ready by systemd's protocol (see `notify`), so the same processes run unchanged as
units of
systemd on the appliance. A child that dies is started again, with a growing pause; one that can't start at
all
stops the whole, with its reason as the last line.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.config import Config, ConfigError, load

ORDER = ("signer", "auth", "proxy", "web")
START_SECONDS = 60.0
STOP_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STABLE_SECONDS = 60.0
"""A child that ran so long begins again with the first pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run. `settings` are dotted keys that go before the file's."""

    config: Path
    settings: dict[str, str]
    roles: tuple[str, ...]
    accept_clock: bool = False


@dataclass(slots=True)
class Child:
    """One process, its readiness socket, and how often it has died."""

    name: str
    command: list[str]
    notices: socket.socket
    address: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    restart_at: float = 0.0
    reason: str = ""
    told: bool = False
    """Whether the process itself has said why it can't start."""
    waiting: str = ""
    """What it said last that it waits for."""
    extended: float = 0.0
    """Until when it asked to be waited for (EXTEND_TIMEOUT_USEC of sd_notify(3))."""

    def start(self) -> None:
        """Start the process."""
        environment = {**os.environ, "NOTIFY_SOCKET": self.address}
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL)
        self.started = time.monotonic()

    def wait_ready(self, seconds: float, stopping: Callable[[], bool] = bool) -> bool:
        """Return whether it became ready; false when it died or took too long, with `reason` set."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stopping():
            readable, _, _ = select.select([self.notices], [], [], 0.1)
            if readable and self._heard(self.notices.recv(65536).decode(errors="replace")):
                return True
            until = max(until, self.extended)
            if self.told:
                return False
            if self.process is not None and self.process.poll() is not None and not readable:
                self.reason = f"ended with status {self.process.returncode}"
                return False
        self.reason = f"not ready after {seconds:.0f} s"
        return False

    def _heard(self, text: str) -> bool:
        for line in text.splitlines():
            if line.startswith("STATUS=failed: "):
                self.told = True
            if line.startswith("STATUS=waiting: ") and line != self.waiting:
                self.waiting = line
                _say(f"sallyport: {self.name} waits: {line.removeprefix('STATUS=waiting: ')}")
            if line.startswith("EXTEND_TIMEOUT_USEC="):
                self.extended = time.monotonic() + int(line.partition("=")[2]) / 1_000_000
        return "READY=1" in text.splitlines()

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def collect(self, until: float) -> None:
        """Wait for its end, and end it when it takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Supervisor:
    """The children of one machine."""

    plan: Plan
    config: Config
    folder: Path
    on_ready: Callable[[Config], None]
    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def run(self) -> int:
        """Start all, watch until told to stop; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            if not self._start_all():
                return 0 if self.stopping else 1
            self.on_ready(self.config)
            while not self.stopping:
                self._watch()
        finally:
            self._end_all()
        return 0

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _start_all(self) -> bool:
        for name in (name for name in ORDER if name in self.plan.roles):
            for worker in range(self.config.proxy_service.workers if name == "proxy" else 1):
                child = self._child(name, worker)
                self.children.append(child)
                child.start()
                if not child.wait_ready(START_SECONDS, lambda: self.stopping) or self.stopping:
                    self._give_up(child)
                    return False
            _say(f"sallyport: {name} is ready")
        return True

    def _give_up(self, child: Child) -> None:
        """Let the child say why, if it knows, and say who it was."""
        if self.stopping:
            return
        if child.told:
            child.collect(time.monotonic() + STOP_SECONDS)
        _say(f"sallyport: {child.name} did not start" + (f": {child.reason}" if child.reason else ""))

    def _child(self, name: str, worker: int) -> Child:
        label = f"{name}-{worker}" if name == "proxy" else name
        address = str(self.folder / f"{label}.sock")
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        notices.bind(address)
        command = [sys.executable, "-m", f"appliance.roles.{name}", "--config", str(self.plan.config)]
        command += ["--worker", str(worker)]
        command += ["--accept-clock"] * self.plan.accept_clock
        for key, value in self.plan.settings.items():
            command += ["--set", f"{key}={value}"]
        return Child(name=label, command=command, notices=notices, address=address)

    def _watch(self) -> None:
        time.sleep(0.2)
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._mourn(child, now)
            if child.process is None and now >= child.restart_at:
                child.start()

    def _mourn(self, child: Child, now: float) -> None:
        status = child.process.returncode if child.process else 0
        if now - child.started > STABLE_SECONDS:
            child.pause = FIRST_PAUSE
        _say(f"sallyport: {child.name} ended with status {status}, starting it again in {child.pause:g} s")
        child.process = None
        child.restart_at = now + child.pause
        child.pause = min(child.pause * 2, LONGEST_PAUSE)

    def _end_all(self) -> None:
        """End in the opposite order, so that whoever depends on another is gone before it."""
        until = time.monotonic() + STOP_SECONDS
        for child in reversed(self.children):
            child.stop()
            child.collect(until)
            child.notices.close()


def supervise(plan: Plan, on_ready: Callable[[Config], None]) -> int:
    """Run the plan; `on_ready` is called once, when all children serve. Returns the exit status."""
    try:
        config = load(plan.config, plan.settings)
    except ConfigError as error:
        _say(str(error))
        return 2
    with tempfile.TemporaryDirectory(prefix="sallyport-") as folder:
        return Supervisor(plan=plan, config=config, folder=Path(folder), on_ready=on_ready).run()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
