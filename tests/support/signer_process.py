"""A signer as a process of its own, for tests that kill it or make its module crash.

Run: `python -m tests.support.signer_process FOLDER TOKEN_URI_OR_file [CRASH_AT]`. With CRASH_AT the
signature of that number is a real segmentation fault.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from hsm import uri
from hsm.errors import HsmError
from hsm.naming import Namespace
from hsm.pkcs11 import Pkcs11Provider
from hsm.signer.client import SignerClient
from hsm.signer.desk import Memory
from hsm.signer.ledger import Ledger
from hsm.signer.server import SignerServer
from hsm.signer.token import Token
from tests.support.signer import CLUSTER, PIN, file_opener, make_config


class Crashing:
    """A provider that works until the signature of a certain number."""

    def __init__(self, inner, crash_at):
        self._inner, self._left = inner, crash_at

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def sign(self, label, message):
        self._left -= 1
        if self._left == 0:
            ctypes.string_at(0)
        return self._inner.sign(label, message)


def main(folder, token, crash_at=0):
    folder = Path(folder)

    def open_token(pin):
        if token == "file":
            provider = file_opener(folder)(pin)
        else:
            provider = Pkcs11Provider(uri=uri.parse(token), pin=pin, namespace=Namespace(cluster=CLUSTER))
        return Crashing(provider, int(crash_at)) if crash_at else provider

    memory = Memory()
    ledger = Ledger.open(folder / "ledger.jsonl", CLUSTER, clock=time.time, seen=memory.see)  # noqa: TID251
    token_holder = Token(open_token, PIN)
    SignerServer(make_config(folder), token_holder, ledger, memory, time.time).serve()  # noqa: TID251


@contextmanager
def process(folder, token="file", *, crash_at=0, env=None):
    """Start one, wait until it answers, give (process, client); end it by SIGTERM if it still lives."""
    command = [sys.executable, "-m", "tests.support.signer_process", str(folder), token]
    running = subprocess.Popen([*command, str(crash_at)] if crash_at else command, env=env)
    client = SignerClient(folder / "auth.sock")
    try:
        _wait_until_ready(client, running)
        yield running, client
    finally:
        client.close()
        running.terminate()
        running.wait(20)


def _wait_until_ready(client, running):
    for _ in range(400):
        try:
            if client.status().state == "open":
                return
        except HsmError:
            assert running.poll() is None, "the signer process ended"
        time.sleep(0.02)
    raise AssertionError("the signer does not answer")


if __name__ == "__main__":
    main(*sys.argv[1:])
