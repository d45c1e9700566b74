"""Verification beside the token, in a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hsm import softkey
from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.encoding.signature import Signature
from hsm.encoding.wire import string
from hsm.signer import verifying
from hsm.signer.verifying import READY, Verifying, serve

KEYS = {algorithm: softkey.generate(algorithm) for algorithm in Algorithm}


@dataclass(frozen=True)
class Made:
    """A claim with a number to know it by."""

    number: int
    key: bytes
    message: bytes
    signature: Signature


def make(number, *, right=True, algorithm=Algorithm.ED25519):
    message = b"message %d" % number
    made = softkey.sign(KEYS[algorithm], message if right else b"another")
    return Made(number, public_key.dump(KEYS[algorithm].public_key()), message, made)


@pytest.fixture
def beside():
    """A `Verifying` whose process is there."""
    found = Verifying()
    until = time.monotonic() + 30
    while not found._is_ready():
        assert time.monotonic() < until
        time.sleep(0.01)
    yield found
    found.close()


def _numbers(verifier, count=40):
    return [
        (made.number, verdict)
        for made, verdict in verifier.beside(make(number, right=number % 3 != 0) for number in range(count))
    ]


EXPECTED = [(number, number % 3 != 0) for number in range(40)]


def test_verdicts_come_in_order_whoever_gives_them(beside):
    assert _numbers(beside) == EXPECTED
    in_line = Verifying()
    in_line._asked = True  # as if it could not be started
    assert _numbers(in_line) == EXPECTED


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_is_verified_there_as_here(beside, algorithm):
    right, wrong = make(1, algorithm=algorithm), make(2, right=False, algorithm=algorithm)
    other = replace(right, key=make(3, algorithm=_next(algorithm)).key)
    no_key = replace(right, key=b"not a key")
    assert [verdict for _, verdict in beside.beside([right, wrong, other, no_key])] == [True] + [False] * 3
    assert [beside._here(made) for made in (right, wrong, other, no_key)] == [True] + [False] * 3


def _next(algorithm):
    order = list(Algorithm)
    return order[(order.index(algorithm) + 1) % len(order)]


def test_the_next_chunk_is_made_while_the_one_before_is_under_way(beside):
    made = []

    def making():
        for number in range(24):
            made.append(number)
            yield make(number)

    first = next(beside.beside(making()))
    assert first[0].number == 0
    assert len(made) == 2 * verifying.CHUNK


def test_a_process_that_is_killed_costs_no_verdict_and_no_wrong_one(beside, caplog):
    assert _numbers(beside) == EXPECTED
    os.kill(beside._process.pid, signal.SIGKILL)
    assert _numbers(beside) == EXPECTED
    assert "verified in line" in caplog.text
    assert not beside._is_ready()


def test_a_process_that_hangs_is_given_up(beside):
    beside._socket.settimeout(0.2)
    os.kill(beside._process.pid, signal.SIGSTOP)
    assert _numbers(beside) == EXPECTED
    os.kill(beside._process.pid, signal.SIGCONT)


def test_one_that_cannot_be_started_is_done_without(monkeypatch, caplog):
    def refuse(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    verifier = Verifying()
    assert _numbers(verifier) == EXPECTED
    assert "no more processes" in caplog.text
    verifier.close()


def test_an_answer_that_is_neither_yes_nor_no_is_a_no(beside):
    ours, theirs = socket.socketpair()
    beside._socket.close()
    beside._socket = ours
    theirs.sendall(b"\x01\x02\xff")
    assert [verdict for _, verdict in beside.beside([make(1), make(2), make(4)])] == [True, False, False]
    theirs.close()


def test_it_ends_with_the_other_side_and_sees_no_environment(beside):
    process = beside._process
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    names = {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry}
    assert names <= {b"PYTHONPATH", b"LC_CTYPE"}
    beside.close()
    assert process.returncode == 0


def test_the_other_side_answers_a_chunk_with_a_byte_for_each():
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    assert ours.recv(1) == READY
    claims = b"".join(
        string(made.key) + string(made.message) + string(made.signature.raw)
        for made in (make(1), make(2, right=False), make(4, algorithm=Algorithm.P256))
    )
    ours.sendall(string(claims))
    assert ours.recv(10) == b"\x01\x00\x01"
    ours.close()
    thread.join(10)
    theirs.close()
    assert not thread.is_alive()
