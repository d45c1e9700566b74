"""Certificates per second through the signer, beside the bare token and `ssh-keygen -s`, in one run.

`rows()` measures interleaved rounds: bare token call, signer end to end (its own process, a client
process that keeps requests under way), `ssh-keygen -s`. A ratio compares neighbours of one round; the
row's median is over the rounds. `python -m bench.signer` prints them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
ROUNDS, SECONDS, WINDOW = 5, 1.5, 96
PACED_RATE, PACED_SECONDS = 100, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: `ratio` or `value`, with unit, median and spread over the rounds."""

    median: float
    min: float
    max: float
    unit: str
    note: str
    ratio: float | None = None
    value: float | None = None


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
    """Return the CPU time that a process has used (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
        folder / "ca",
        "-I",
        "joe",
        "-n",
        "root",
        "-V",
        "+5m",
        folder / "user.pub",
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


def _row(values: list[float], unit: str, note: str, *, ratio: bool = False) -> Row:
    middle = statistics.median(values)
    figure = {"ratio": middle} if ratio else {"value": middle}
    return Row(median=middle, min=min(values), max=max(values), unit=unit, note=note, **figure)


def rows() -> dict[str, Row]:
    """Measure everything and return the rows by their names."""
    folder = Path(tempfile.mkdtemp(prefix="bench-signer-"))
    try:
        _make_tokens(folder)
        found = dict[str, Row]()
        for backend in _backends(folder):
            found |= _measure(folder, backend)
        return found
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, backend: Backend) -> dict[str, Row]:
    name, own = backend.name, folder / backend.name
    with _signer(own, backend) as pid:
        socket_path = own / "auth.sock"
        _in_child(_load, socket_path, 0.3)
        before = _cpu_seconds(pid)
        rounds = [
            (
                _in_child(_bare, backend, SECONDS),
                _in_child(_load, socket_path, SECONDS),
                _ssh_keygen(folder, SECONDS / 2),
            )
            for _ in range(ROUNDS)
        ]
        used = (_cpu_seconds(pid) - before) / sum(signer * SECONDS for _, signer, _ in rounds) * 1e6
        waits = sorted(_paced(socket_path))
    per_second = f"{WINDOW} requests under way on one connection; ledger synced, every signature verified"
    p99 = waits[int(len(waits) * 0.99)]
    latency = Row(
        value=p99,
        median=statistics.median(waits),
        min=waits[0],
        max=waits[-1],
        unit="ms",
        note="p99; median is p50",
    )
    return {
        f"{name}.certificates_per_second": _row([signer for _, signer, _ in rounds], "1/s", per_second),
        f"{name}.bare_per_second": _row(
            [bare for bare, _, _ in rounds], "1/s", "provider.sign in one thread"
        ),
        f"{name}.ratio_bare": _row(
            [signer / bare for bare, signer, _ in rounds], "x", "goal 0.6", ratio=True
        ),
        f"{name}.ratio_ssh_keygen": _row([s / k for _, s, k in rounds], "x", "goal 50", ratio=True),
        f"{name}.cpu_us_per_certificate": _row([used], "us", "CPU time of the signer process, by the kernel"),
        f"{name}.p99_at_{PACED_RATE}_per_second": latency,
    }


if __name__ == "__main__":
    json.dump({name: asdict(row) for name, row in rows().items()}, sys.stdout, indent=1)
