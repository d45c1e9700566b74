"""A worker as a process of its own, so that its memory can be measured and it can be killed.

`python -m tests.support.worker_process FOLDER` reads `setup.json` and the authorities' keys from the
folder, prints its port, and writes what its (in-memory) authority got into `FOLDER/got` when it ends.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from appliance.domain.role import RecordingMode, SessionOptions
from appliance.proxy.config import WorkerConfig
from appliance.proxy.worker import make_host_key, run_worker
from appliance.recording.ticks import SYSTEM_TICKS
from tests.support.authority import CLUSTER, MemoryAuthority, Node, SystemClock
from tests.support.bastion import ROOMY, Bastion
from tests.support.sshd import Sshd, running_sshd
from tests.support.sshd import make_host_key as make_node_key

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
AUTHORITIES = ("user", "openssh", "host")


@dataclass(kw_only=True)
class ProcessBastion(Bastion):
    """A bastion whose worker is another process; `thread` is not there."""

    process: subprocess.Popen[str]

    def rss(self) -> int:
        """Resident memory of the worker in bytes, now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the worker is gone")

    def peak(self, seconds: float) -> int:
        """The most resident memory within some seconds."""
        until, most = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            most = max(most, self.rss())
            time.sleep(0.1)
        return most

    def stop(self) -> None:
        """Stop the worker and wait until it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self) -> None:
        """Run the worker again on the same folder."""
        self.stop()
        self.process = _start(self.folder)
        self.port = _port(self.process)
        self.ssh_config()

    def got(self) -> dict[str, Any]:
        """What the authority of the worker has got; the worker must have ended."""
        return json.loads((self.folder / "got" / "facts.json").read_text())


def _start(folder: Path) -> subprocess.Popen[str]:
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker_process", str(folder)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
        )


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the worker did not start")
    return int(line)


@contextmanager
def running_process(folder: Path, **options: Any) -> Iterator[ProcessBastion]:
    """Run a node, and a worker process in front of it; `options` as `SessionOptions` has them."""
    authority = MemoryAuthority()
    folder.mkdir(parents=True, exist_ok=True)
    for name in AUTHORITIES:
        (folder / f"{name}.key").write_bytes(getattr(authority, name).export_private_key())
    node_line = make_node_key(folder / "node")
    certificate = authority.host_certificate(node_line, f"web1.{CLUSTER}")
    openssh_line = authority.openssh.export_public_key().decode()
    make_host_key(folder / "host_key")
    with running_sshd(folder / "node", user_authority=openssh_line, host_certificate=certificate) as node:
        (folder / "setup.json").write_text(
            json.dumps({"address": node.address, "login": node.login, "options": options})
        )
        yield from _serve(folder, authority, node)


def _serve(folder: Path, authority: MemoryAuthority, node: Sshd) -> Iterator[ProcessBastion]:
    process = _start(folder)
    bastion = ProcessBastion(
        folder=folder, authority=authority, thread=None, port=_port(process), node=node, process=process
    )
    bastion.certify()
    bastion.ssh_config()
    try:
        yield bastion
    finally:
        bastion.stop()


def _authority(folder: Path) -> MemoryAuthority:
    setup = json.loads((folder / "setup.json").read_text())
    keys = {name: asyncssh.read_private_key(folder / f"{name}.key") for name in AUTHORITIES}
    given = setup["options"]
    mode = RecordingMode(given.pop("recording", "strict"))
    given["direct_destinations"] = tuple(given.get("direct_destinations", ()))
    return MemoryAuthority(
        **keys,
        nodes={"web1": Node("web1", setup["address"])},
        logins={"joe": {setup["login"], "joe"}},
        options=SessionOptions(max_session_ttl=timedelta(hours=8), recording=mode, **given),
    )


def _keep(folder: Path, authority: MemoryAuthority) -> None:
    got = folder / "got"
    got.mkdir(exist_ok=True)
    for session, data in authority.recordings.items():
        (got / f"{session}.rec").write_bytes(data)
    facts = {
        "facts": [[fact.session, fact.event, dict(fact.fields)] for fact in authority.facts],
        "ends": [[end.session, end.reason] for end in authority.ends],
        "finished": {session: finish.lost for session, finish in authority.finished.items()},
    }
    (got / "facts.json").write_text(json.dumps(facts))


async def _main(folder: Path) -> None:
    authority, stop = _authority(folder), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = WorkerConfig(
        proxy_id="process",
        listen=("127.0.0.1", 0),
        host_key=folder / "host_key",
        spool=folder / "spool",
        limits=replace(ROOMY, pulse=1.0),
    )
    ready = lambda worker: print(worker.address[1], flush=True)  # noqa: E731
    await run_worker(config, authority, clock=SystemClock(), ticks=SYSTEM_TICKS, stop=stop, ready=ready)
    _keep(folder, authority)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    asyncio.run(_main(Path(sys.argv[1])))
