"""The real appliance on throw-away state: every process that `sallyport start` runs, and a person signed in.

Nothing stands in for anything: the person `joe` signs up over the sockets that the web pages use, the node
is added at the console. Only the role that allows unrecorded streams is written into the store before the
start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp

from appliance.broker import state
from appliance.client import Api, UnixTransport
from appliance.client.person.home import FreshKeys, fresh_keys
from appliance.domain.decision import Factor
from appliance.domain.operations import nodes, people
from appliance.roles.layout import Layout
from appliance.store.sqlite import SqliteBackend
from appliance.system import SystemClock
from bench.frame import BenchError
from bench.meter import Meter, metered
from bench.ssh.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CLUSTER, NODE, PERSON = "bench", "web1", "joe"
PASSWORD = "a long enough pass phrase"  # noqa: S105 - of a person who exists for a minute
SOURCE = "127.0.0.1"
START_SECONDS = 90
CONNECTIONS = 20_000
CONFIG = """\
sallyport:
  nodename: bench
  data_dir: {folder}/data
  connection_limits: {{max_connections: {connections}, max_users: {connections}}}
auth_service:
  cluster_name: {cluster}
  listen_addr: 127.0.0.1:{api}
  public_addr: localhost:{api}
proxy_service:
  listen_addr: 127.0.0.1:{ssh}
  web_listen_addr: 127.0.0.1:{web}
  public_addr: localhost:{web}
  workers: 1
"""
STREAMS = {
    "kind": "role",
    "version": "v7",
    "metadata": {"name": "streams"},
    "spec": {
        "options": {"port_forwarding": True, "direct_destinations": [f"{NODE}:*"]},
        "allow": {"logins": ["{{internal.logins}}"], "node_labels": {"*": "*"}},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running appliance. `meter` counts all its processes, `edge` the SSH worker alone."""

    port: int
    console: Api
    web: Api
    meter: Meter
    edge: Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person's key and certificate, as files that ssh takes."""

    key: Path
    certificate: Path


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """Start the appliance; stop it with the block."""
    folder.mkdir(mode=0o700)
    port = free_port()
    config = folder / "sallyport.yaml"
    text = CONFIG.format(
        folder=folder,
        cluster=CLUSTER,
        connections=CONNECTIONS,
        ssh=port,
        web=free_port(),
        api=free_port(),
    )
    config.write_text(text, encoding="utf-8")
    layout = Layout(folder / "data")
    _write_role(layout)
    with ExitStack() as stack:
        process = stack.enter_context(_started(config, folder / "log"))
        edge = _worker(process.pid)
        meter = metered("appliance", [process.pid, *(pid for pid in _below(process.pid) if pid != edge)])
        stack.callback(meter.close)
        stack.callback(_stop, process)
        console, web = (Api(UnixTransport(path)) for path in (layout.console, layout.web))
        stack.callback(console.close)
        stack.callback(web.close)
        yield Running(port=port, console=console, web=web, meter=meter, edge=meter.part("edge", [edge]))


def _write_role(layout: Layout) -> None:
    for place in (layout.root, layout.auth):
        place.mkdir(mode=0o700)
    backend = SqliteBackend.open(layout.auth / "state.sqlite", clock=SystemClock())
    document = state.RoleDocument(name=STREAMS["metadata"]["name"], document=json.dumps(STREAMS))  # type: ignore[index]
    state.over(backend).roles.create(document)
    backend.close()


@contextmanager
def _started(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "appliance.cli.sallyport", "start", "-c", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        _wait_ready(process, log)
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if "web is ready" in log.read_text(errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise BenchError(f"the appliance did not start: {log.read_text(errors='replace')[-500:]}")


def _below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(one) for one in children.split()]


def _worker(supervisor: int) -> int:
    """Return the process that serves SSH."""
    for pid in _below(supervisor):
        if b"appliance.roles.proxy" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise BenchError("the appliance has no SSH worker")


def add_node(appliance: Running, address: str, host_key: str) -> nodes.NodeAdded:
    """Add the node; return what its sshd shall trust and show."""
    request = nodes.NodeAddOpenssh(name=NODE, address=address, host_key=host_key, labels={"env": "bench"})
    added: nodes.NodeAdded = appliance.console.call("nodes.add_openssh", request)
    return added


def sign_in(appliance: Running, folder: Path, login: str) -> Identity:
    """Make the person, sign them up and in, and write their key and certificate."""
    recovery_code = _signed_up(appliance, login)
    begun = appliance.web.call("login.begin", people.LoginBegin(user=PERSON, source=SOURCE))
    proofs = (people.PasswordProof(password=PASSWORD), people.CodeProof(code=recovery_code))
    accepted = appliance.web.call(
        "login.prove", people.LoginProve(attempt=begun.attempt, source=SOURCE, proofs=proofs)
    )
    keys = fresh_keys()
    issued: people.IssuedCredentials = appliance.web.call(
        "login.issue",
        people.CredentialsRequest(
            attempt=accepted.attempt,
            source=SOURCE,
            ssh_public_key=keys.ssh_blob,
            tls_public_key=keys.tls_public,
        ),
    )
    return _written(folder, keys, issued.ssh_certificate)


def _signed_up(appliance: Running, login: str) -> str:
    """Sign the person up with an authenticator app; return a recovery code, which is a second factor."""
    request = people.UserCreate(name=PERSON, logins=(login,), roles=("access", "streams"))
    link: people.InviteLink = appliance.console.call("users.create", request)
    token = link.url.rpartition("/")[2]
    offer = appliance.web.call("invites.begin", people.EnrolBegin(token=token, factor=Factor.TOTP))
    proof = people.CodeProof(code=pyotp.TOTP(offer.secret).now())
    finish = people.EnrolFinish(token=token, password=PASSWORD, device_name="bench", proof=proof)
    enrolled: people.Enrolled = appliance.web.call("invites.finish", finish)
    return enrolled.recovery_codes[0]


def _written(folder: Path, keys: FreshKeys, certificate: str) -> Identity:
    key, paper = folder / "joe", folder / "joe-cert.pub"
    key.touch(mode=0o600)
    key.write_bytes(keys.ssh_private)
    paper.write_text(f"{certificate.strip()}\n", encoding="ascii")
    return Identity(key=key, certificate=paper)
