"""Certificates per second through the signer, beside the bare token and `ssh-keygen -s`, in one run.

What is compared:

- *ours*: from a client's socket back to it, with `WINDOW` requests under way on one connection: parsed,
  limited, linted, entered in the ledger and synced to the disk, signed, verified, linted again, answered.
- *bare*: the same provider's `sign` over as many bytes as a certificate has, again and again in one thread;
  no ledger, no verification. For the file this is one call of `cryptography`.
- *ssh-keygen*: one process a certificate, which is what a script would do, with its CA key in a plain
  file, whatever token ours has. Ours cannot be faster than its token: where `bare` is below 50 times
  `ssh-keygen`, so is every signer.

`p99_ms` asks at a steady rate. Each answer waits for a sync of the ledger of its own then, so
`sync_p99_ms` gives the time of a bare sync on the same disk at the same rate, right after it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.frame import Better, Plan, Row, interleaved, percentile, ratio_row, value_row
from hsm import uri
from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.errors import HsmError
from hsm.file import Cost, FileProvider
from hsm.naming import Namespace
from hsm.pkcs11 import Pkcs11Provider
from hsm.secret import Secret
from hsm.signer import codec
from hsm.signer.client import SignerClient
from hsm.signer.desk import Memory
from hsm.signer.ledger import Ledger
from hsm.signer.limits import DEFAULT_AUTH, LimitTable, Rate
from hsm.signer.protocol import Ca, Option, SignUserCertificate
from hsm.signer.server import Door, SignerConfig, SignerServer
from hsm.signer.token import Token
from hsm.softkey import generate

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
CLUSTER, LABEL, PIN = "bench", "sallyport:bench:openssh:1", Secret("1234")
SECONDS, QUICK_SECONDS, WINDOW = 1.5, 0.5, 96
PACED_RATE, PACED_SECONDS = 100, 5.0


@dataclass(frozen=True, slots=True)
class Backend:
    """A token to measure: its name, how it is opened, its CA key's algorithm."""

    name: str
    open: Callable[[Secret], FileProvider | Pkcs11Provider]
    algorithm: Algorithm


def _backends(folder: Path) -> list[Backend]:
    namespace = Namespace(cluster=CLUSTER)
    cheap = Cost(memory=64, passes=1, lanes=1)
    found = [
        Backend(
            "file",
            lambda pin: FileProvider.open(folder / "keys", pin, namespace, cost=cheap),
            Algorithm.ED25519,
        )
    ]
    for algorithm in (Algorithm.P256, Algorithm.ED25519):
        where = uri.parse(f"pkcs11:token={algorithm}?module-path={MODULE}")
        opener = lambda pin, where=where: Pkcs11Provider(uri=where, pin=pin, namespace=namespace)  # noqa: E731
        found.append(Backend(f"softhsm_{algorithm}", opener, algorithm))
    return found


def _make_tokens(folder: Path) -> None:
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    for algorithm in (Algorithm.P256, Algorithm.ED25519):
        command = [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            algorithm,
            "--pin",
            "1234",
            "--so-pin",
            "5678",
        ]
        subprocess.run(command, check=True, capture_output=True)


def _request() -> SignUserCertificate:
    now = int(time.time())  # noqa: TID251  # the wall clock that the signer compares with
    return SignUserCertificate(
        ca=Ca.OPENSSH,
        generation=1,
        public_key=public_key.dump(generate(Algorithm.ED25519).public_key()),
        key_id="joe sid=0123456789abcdef",
        principals=("root",),
        valid_after=now - 60,
        valid_before=now + 300,
        critical_options=(Option(name="source-address", value="127.0.0.1/32"),),
        extensions=(Option(name="permit-pty"),),
    )


def _limits() -> LimitTable:
    open_wide = {
        ca: replace(limits, rate=Rate(per_second=1e9, burst=10**9))
        for ca, limits in DEFAULT_AUTH.certificates.items()
    }
    return LimitTable({"auth": replace(DEFAULT_AUTH, certificates=open_wide)})


def _serve(folder: Path, backend: Backend) -> None:
    clock = time.time  # noqa: TID251  # the composition root of this process
    memory = Memory()
    ledger = Ledger.open(folder / "ledger.jsonl", CLUSTER, clock=clock, seen=memory.see)
    door = Door(caller="auth", path=folder / "auth.sock", uids=frozenset({os.getuid()}))
    config = SignerConfig(cluster=CLUSTER, doors=(door,), limits=_limits())
    SignerServer(config, Token(backend.open, PIN), ledger, memory, clock).serve()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have used (proc(5), stat, fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    threads = Path(f"/proc/{pid}/task").iterdir()  # a child is listed under the thread that started it
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    return own + sum(_cpu_seconds(int(child)) for child in children)


@contextmanager
def _signer(folder: Path, backend: Backend) -> Iterator[int]:
    folder.mkdir()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(folder, backend))
    process.start()
    client = SignerClient(folder / "auth.sock")
    try:
        _wait(client)
        client.ensure_key(Ca.OPENSSH, 1, backend.algorithm)
        yield int(process.pid or 0)
    finally:
        client.close()
        process.terminate()
        process.join()


def _wait(client: SignerClient) -> None:
    for _ in range(500):
        try:
            if client.status().state == "open":
                return
        except HsmError:
            pass
        time.sleep(0.02)
    raise RuntimeError("the signer does not answer")


def _load(path: Path, seconds: float) -> float:
    """Keep requests under way on one connection for so long; return certificates per second."""
    frame, deframer, under_way, done, number = (
        codec.write_request(10**9, _request()),
        codec.Deframer(),
        0,
        0,
        10**9,
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        begin = time.monotonic()
        while under_way or time.monotonic() - begin < seconds:
            if time.monotonic() - begin < seconds:
                batch = bytearray()
                for _ in range(WINDOW - under_way):
                    number += 1
                    batch += frame.replace(b"1000000000", str(number).encode(), 1)
                under_way = WINDOW
                connection.sendall(batch)
            answers = deframer.feed(connection.recv(1 << 18))
            if any(b'"error"' in answer for answer in answers):
                raise RuntimeError(answers[0].decode())
            done += len(answers)
            under_way -= len(answers)
        return done / (time.monotonic() - begin)


def _bare(backend: Backend, seconds: float) -> float:
    """Call the provider's token directly, with a certificate's worth of bytes."""
    with backend.open(PIN) as provider:
        message, done, begin = bytes(400), 0, time.monotonic()
        while time.monotonic() - begin < seconds:
            provider.sign(LABEL, message)
            done += 1
        return done / (time.monotonic() - begin)


def _in_child(act: Callable[..., float], *arguments: object) -> float:
    """Run a measurement in a forked process, so that no module or thread of an earlier one is about."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: sender.send(act(*arguments)))
    child.start()
    result: float = receiver.recv()
    child.join()
    return result


def _ssh_keygen(folder: Path, seconds: float) -> float:
    """Sign with `ssh-keygen -s`, one process a certificate, which is what a script would do."""
    for name in ("ca", "user"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    command = [
        "ssh-keygen",
        "-q",
        "-s",
        str(folder / "ca"),
        "-I",
        "joe",
        "-n",
        "root",
        "-V",
        "+5m",
        str(folder / "user.pub"),
    ]
    done, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        subprocess.run(command, check=True, capture_output=True)
        done += 1
    return done / (time.monotonic() - begin)


def _paced(path: Path) -> list[float]:
    """Ask at a steady rate and return each answer's time in milliseconds, from when it was due."""
    client, request, waits = SignerClient(path), _request(), list[float]()
    begin = time.monotonic()
    for turn in range(int(PACED_RATE * PACED_SECONDS)):
        due = begin + turn / PACED_RATE
        time.sleep(max(0.0, due - time.monotonic()))
        client.sign_user_certificate(request)
        waits.append((time.monotonic() - due) * 1000)
    client.close()
    return waits


def _syncs(folder: Path) -> list[float]:
    """Write and sync a ledger line's worth at the same steady rate; milliseconds, from when it was due."""
    waits = list[float]()
    with (folder / "syncs").open("wb", buffering=0) as file:
        begin = time.monotonic()
        for turn in range(int(PACED_RATE * PACED_SECONDS)):
            due = begin + turn / PACED_RATE
            time.sleep(max(0.0, due - time.monotonic()))
            file.write(bytes(500))
            os.fdatasync(file.fileno())
            waits.append((time.monotonic() - due) * 1000)
    return waits


def rows(plan: Plan) -> dict[str, Row]:
    """Measure every backend and return the rows by their names."""
    folder = Path(tempfile.mkdtemp(prefix="bench-signer-"))
    try:
        _make_tokens(folder)
        return {
            name: row
            for backend in _backends(folder)
            for name, row in _measure(folder, backend, plan).items()
        }
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, backend: Backend, plan: Plan) -> dict[str, Row]:
    own, seconds = folder / backend.name, QUICK_SECONDS if plan.quick else SECONDS
    with _signer(own, backend) as pid:
        path = own / "auth.sock"
        _in_child(_load, path, 0.3)
        before = _cpu_seconds(pid)
        load = partial(_in_child, _load, path, seconds)
        bare = interleaved(plan.rounds, load, partial(_in_child, _bare, backend, seconds))
        used = (_cpu_seconds(pid) - before) / sum(ours * seconds for ours, _ in bare) * 1e6
        keygen = interleaved(plan.rounds, load, partial(_ssh_keygen, folder, seconds))
        waits, syncs = _paced(path), _syncs(own)
    found = {
        "per_second": value_row([ours for ours, _ in bare], "1/s", f"{WINDOW} requests under way"),
        "ratio_bare": ratio_row(bare, better=Better.MORE, unit="1/s", note="goal 0.6"),
        "ratio_ssh_keygen": ratio_row(keygen, better=Better.MORE, unit="1/s", note="goal 50"),
        "cpu_us": value_row([used], "us", "CPU time of the signer's processes for a certificate"),
        "p99_ms": _latency(waits, "goal 5"),
        "sync_p99_ms": _latency(syncs, "a bare write and sync on the same disk"),
    }
    return {f"{backend.name}.{name}": row for name, row in found.items()}


def _latency(waits: list[float], note: str) -> Row:
    p99, p50 = percentile(waits, 99), percentile(waits, 50)
    note = f"p99 at {PACED_RATE} requests a second, p50 {p50:.3g} ms; {note}"
    return Row(value=p99, median=p99, min=min(waits), max=max(waits), unit="ms", note=note)
