"""A running worker of the proxy in a thread of its own, and stock clients set up to use it."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.proxy.config import Limits, Penalties, Startups, WorkerConfig
from appliance.proxy.worker import Worker, make_host_key, running
from appliance.recording.ticks import SYSTEM_TICKS
from tests.support.authority import CLUSTER, MemoryAuthority, Node, SystemClock
from tests.support.sshd import Sshd, running_sshd
from tests.support.sshd import make_host_key as make_node_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOMY = Limits(
    arrivals_per_second=1000,
    arrivals_burst=1000,
    pulse=0.2,
    penalties=Penalties(threshold=1e9),
    startups=Startups(start=1000, full=2000),
    startups_per_source=1000,
)
"""For tests that come often from one address and are not about that."""


class WorkerThread:
    """Runs `running` on an event loop of its own."""

    def __init__(self, config: WorkerConfig, authority: MemoryAuthority) -> None:
        self._config, self._authority = config, authority
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._problem: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.worker: Worker | None = None
        self.loop_errors: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run, name="proxy-worker")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the border of the thread
            self._problem = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.loop.set_exception_handler(lambda _, context: self.loop_errors.append(context))
        async with running(self._config, self._authority, clock=SystemClock(), ticks=SYSTEM_TICKS) as worker:
            self.worker = worker
            self._ready.set()
            await self._stop.wait()

    def start(self) -> Worker:
        self._thread.start()
        self._ready.wait(20)
        if self._problem is not None or self.worker is None:
            raise RuntimeError("the worker did not start") from self._problem
        return self.worker

    def stop(self) -> None:
        if self.loop is not None and self._stop is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        if self._problem is not None:
            raise RuntimeError("the worker failed") from self._problem
        if self.loop_errors:
            raise RuntimeError(f"errors on the worker's loop: {self.loop_errors}")

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """Run something on the worker's loop and return its result."""

        async def run() -> Any:
            return call()

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)


@dataclass(kw_only=True)
class Bastion:
    """A worker, the authority it asks, the node behind it, and the person `joe`."""

    folder: Path
    authority: MemoryAuthority
    thread: WorkerThread
    port: int
    node: Sshd
    user: str = "joe"

    def certify(self, *principals: str, user: str | None = None, name: str = "id", **given: Any) -> Path:
        """Write a fresh key with a certificate; returns the key's path."""
        key, paper = self.authority.person(
            user or self.user, *(principals or (user or self.user, self.node.login)), **given
        )
        path = self.folder / name
        path.write_bytes(key.export_private_key())
        path.chmod(0o600)
        (self.folder / f"{name}-cert.pub").write_bytes(paper.export_certificate())
        return path

    def ssh_config(self, identity: Path | None = None, extra: str = "") -> Path:
        """Write an OpenSSH client configuration as `sally config` prints it."""
        identity = identity or self.folder / "id"
        known = self.folder / "known_hosts"
        line = self.authority.host.export_public_key().decode().strip()
        known.write_text(f"@cert-authority *.{CLUSTER},[127.0.0.1]:{self.port},bastion {line}\n")
        path = self.folder / "ssh_config"
        path.write_text(
            f"Host bastion\n  HostName 127.0.0.1\n  Port {self.port}\n  User {self.user}\n"
            "  HostKeyAlias bastion\n"
            f"Host *.{CLUSTER}\n  ProxyCommand ssh -F {path} -W %h:%p bastion\n  User {self.node.login}\n"
            f"Host *\n  IdentityFile {identity}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
            f"  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n  {extra}\n"
        )
        return path

    def run(
        self, *command: str, stdin: bytes = b"", timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client; its output is in the result."""
        return subprocess.run(
            [str(part) for part in command],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            cwd=self.folder,
        )

    def ssh(
        self, *words: str, stdin: bytes = b"", target: str = f"web1.{CLUSTER}", options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """Run stock ssh to the node through the bastion."""
        return self.run("ssh", "-F", str(self.folder / "ssh_config"), *options, target, *words, stdin=stdin)

    def settled(self) -> MemoryAuthority:
        """Wait until all sessions have ended, and auth has all that is to be told of them."""
        assert self.thread.worker is not None
        edge = self.thread.worker.edge
        self.eventually(
            lambda: not len(edge.sessions) and not edge.reporter.waiting and not edge.spool.waiting
        )
        return self.authority

    def eventually(self, what: Callable[[], Any], seconds: float = 10) -> Any:
        """Wait until something is true, and return it."""
        until = time.monotonic() + seconds
        while not (found := what()):
            if time.monotonic() > until:
                raise AssertionError(f"did not happen within {seconds} s")
            time.sleep(0.02)
        return found


@contextmanager
def running_bastion(folder: Path, *, limits: Limits = ROOMY, **settings: Any) -> Iterator[Bastion]:
    """Run a node and a worker in front of it."""
    authority = MemoryAuthority()
    folder.mkdir(parents=True, exist_ok=True)
    node_line = make_node_key(folder / "node")
    host_certificate = authority.host_certificate(node_line, f"web1.{CLUSTER}")
    openssh_line = authority.openssh.export_public_key().decode()
    extra = settings.pop("sshd_extra", ())
    with running_sshd(
        folder / "node", user_authority=openssh_line, host_certificate=host_certificate, extra=extra
    ) as node:
        authority.nodes["web1"] = Node("web1", node.address)
        authority.logins["joe"] = {node.login, "joe"}
        make_host_key(folder / "host_key")
        config = WorkerConfig(
            proxy_id="test-worker",
            listen=("127.0.0.1", 0),
            host_key=folder / "host_key",
            spool=folder / "spool",
            limits=limits,
            **settings,
        )
        thread = WorkerThread(config, authority)
        worker = thread.start()
        bastion = Bastion(
            folder=folder, authority=authority, thread=thread, port=worker.address[1], node=node
        )
        bastion.certify()
        bastion.ssh_config()
        try:
            yield bastion
        finally:
            thread.stop()
