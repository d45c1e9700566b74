"""A signer on throw-away state: in a thread of the test, or as a process that can be killed."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hsm.file import Cost, FileProvider
from hsm.naming import Namespace
from hsm.secret import Secret
from hsm.signer.client import SignerClient
from hsm.signer.desk import Memory
from hsm.signer.ledger import Ledger
from hsm.signer.limits import DEFAULT_LIMITS, LimitTable
from hsm.signer.server import Door, SignerConfig, SignerServer
from hsm.signer.token import Token

CLUSTER = "main"
PIN = Secret("1234")
CHEAP = Cost(memory=64, passes=1, lanes=1)


def file_opener(folder: Path):
    """An encrypted file whose passphrase costs nothing."""
    return lambda pin: FileProvider.open(folder / "keys", pin, Namespace(cluster=CLUSTER), cost=CHEAP)


@dataclass
class RunningSigner:
    """A signer that serves, and its two clients."""

    folder: Path
    server: SignerServer
    auth: SignerClient
    console: SignerClient

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger.jsonl"


def make_config(folder: Path, limits: LimitTable = DEFAULT_LIMITS, **changes) -> SignerConfig:
    me = frozenset({os.getuid()})
    doors = (
        Door(caller="auth", path=folder / "auth.sock", uids=me),
        Door(caller="console", path=folder / "console.sock", uids=me),
    )
    return replace(SignerConfig(cluster=CLUSTER, doors=doors, limits=limits), **changes)


@contextmanager
def running_signer(
    folder: Path,
    *,
    opener=None,
    pin=PIN,
    clock=time.time,  # noqa: TID251  # this is where the clock is handed in
    config=None,
):
    """Serve in a thread until the block ends."""
    memory = Memory()
    ledger = Ledger.open(folder / "ledger.jsonl", CLUSTER, clock=clock, seen=memory.see)
    token = Token(opener or file_opener(folder), pin)
    server = SignerServer(config or make_config(folder), token, ledger, memory, clock)
    thread = threading.Thread(target=server.serve)
    thread.start()
    assert server.ready.wait(10)
    auth, console = SignerClient(folder / "auth.sock"), SignerClient(folder / "console.sock")
    try:
        yield RunningSigner(folder, server, auth, console)
    finally:
        auth.close()
        console.close()
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
