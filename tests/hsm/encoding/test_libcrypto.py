"""Verification by the system's libcrypto says what `cryptography` says."""

from __future__ import annotations

import ctypes
import gc
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm import softkey
from hsm.algorithm import Algorithm
from hsm.encoding import libcrypto
from hsm.encoding.libcrypto import verifier
from hsm.encoding.signature import verify_with

MESSAGE = b"what was signed" * 30
KEYS = {algorithm: softkey.generate(algorithm) for algorithm in Algorithm}
MADE = {algorithm: softkey.sign(key, MESSAGE) for algorithm, key in KEYS.items()}
NATIVE = {algorithm: verifier(key.public_key()) for algorithm, key in KEYS.items()}


def test_the_library_is_there_so_that_these_tests_test_it():
    ctypes.CDLL(libcrypto.LIBRARY)
    assert type(NATIVE[Algorithm.P256].__self__).__name__ == "_NativeKey"


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_right_signature_passes_and_one_over_other_bytes_does_not(algorithm):
    check = NATIVE[algorithm]
    assert check(MESSAGE, MADE[algorithm])
    assert not check(MESSAGE + b"!", MADE[algorithm])
    assert not check(b"", MADE[algorithm])


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signature_of_another_key_or_algorithm_does_not_pass(algorithm):
    for other in set(Algorithm) - {algorithm}:
        assert not NATIVE[algorithm](MESSAGE, MADE[other])
    stranger = softkey.generate(algorithm)
    assert not NATIVE[algorithm](MESSAGE, softkey.sign(stranger, MESSAGE))


@settings(max_examples=100)
@given(algorithm=st.sampled_from(list(Algorithm)), bit=st.integers(0, 511), zero=st.booleans())
def test_a_changed_signature_does_not_pass_here_as_little_as_there(algorithm, bit, zero):
    made = MADE[algorithm]
    raw = bytearray(len(made.raw) if zero else made.raw)
    raw[bit // 8] ^= 1 << bit % 8
    changed = replace(made, raw=bytes(raw))
    assert not NATIVE[algorithm](MESSAGE, changed)
    assert not verify_with(KEYS[algorithm].public_key(), MESSAGE, changed)


def test_a_refusal_leaves_no_error_behind_for_other_users_of_the_library():
    assert not NATIVE[Algorithm.RSA3072](MESSAGE, softkey.sign(softkey.generate(Algorithm.RSA3072), MESSAGE))
    peek = ctypes.PyDLL(libcrypto.LIBRARY).ERR_peek_error
    peek.restype = ctypes.c_ulong
    assert peek() == 0


def test_where_the_library_is_not_there_cryptography_does_it():
    check = verifier(KEYS[Algorithm.P256].public_key(), "libcrypto.so.of-no-system")
    assert check.func is verify_with
    assert check(MESSAGE, MADE[Algorithm.P256])
    assert not check(MESSAGE + b"!", MADE[Algorithm.P256])


def test_threads_share_a_verifier_and_keys_come_and_go():
    wrong = []

    def work():
        for _ in range(30):
            check = verifier(KEYS[Algorithm.P256].public_key())
            wrong.extend([1] * (not check(MESSAGE, MADE[Algorithm.P256])))
            wrong.extend([2] * NATIVE[Algorithm.ED25519](MESSAGE + b"!", MADE[Algorithm.ED25519]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not wrong
