"""One suite for every backend that keeps keys: the encrypted file, PKCS#11 on SoftHSM 2, PIV on a card."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from hsm import uri
from hsm.encoding import public_key, signature
from hsm.errors import KeyExists, Malformed, NoSuchKey, NotOurs, PinRefused, Unsupported
from hsm.file import FileProvider
from hsm.naming import Namespace
from hsm.pkcs11 import Pkcs11Provider
from hsm.provider import Algorithm, AttestationKind, Attester, Deleter, KeyProvider, Prober
from hsm.secret import Secret
from tests.support import softhsm
from tests.support.piv_bench import PivBench
from tests.support.signer import CHEAP

NAMESPACE = Namespace(cluster="main")
LABEL = "sallyport:main:user:1"
OTHER = "sallyport:main:host:1"
FAST = (Algorithm.P256, Algorithm.P384, Algorithm.ED25519)


@dataclass(frozen=True)
class Backend:
    """How a backend is opened again, and what is known of it."""

    open: Callable[..., KeyProvider]
    pin: str
    wrong_pin: str


def _file(tmp_path):
    def open_it(pin="1234", namespace=NAMESPACE):
        return FileProvider.open(tmp_path / "keys", Secret(pin), namespace, cost=CHEAP)

    return Backend(open_it, "1234", "4321")


def _softhsm(tmp_path):
    store, label = softhsm.shared_store(), softhsm.fresh_label()
    store.make_token(label)

    def open_it(pin="1234", namespace=NAMESPACE):
        return Pkcs11Provider(uri=uri.parse(store.uri(label)), pin=Secret(pin), namespace=namespace)

    return Backend(open_it, "1234", "4321")


def _piv(tmp_path):
    bench = PivBench.make()

    def open_it(pin="123456", namespace=NAMESPACE):
        return bench.open(pin, namespace)

    return Backend(open_it, "123456", "654321")


@pytest.fixture(params=[_file, _softhsm, _piv], ids=["file", "softhsm", "piv"])
def backend(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def provider(backend):
    with backend.open() as opened:
        yield opened


@pytest.mark.parametrize("algorithm", FAST)
def test_a_new_key_signs_and_the_signature_verifies(provider, algorithm):
    made = provider.create(LABEL, algorithm)
    signed = provider.sign(LABEL, b"message")
    assert made.algorithm is algorithm
    assert signature.verify(made.public_key, b"message", signed)
    assert not signature.verify(made.public_key, b"another message", signed)


@pytest.mark.parametrize("algorithm", FAST)
def test_the_ssh_forms_are_read_by_other_software(provider, algorithm):
    made = provider.create(LABEL, algorithm)
    line = public_key.openssh_line(made.public_key).encode()
    assert load_ssh_public_key(line) == public_key.load(made.public_key)
    wire = provider.sign(LABEL, b"message").ssh
    assert signature.verify(made.public_key, b"message", signature.parse_ssh(algorithm, wire))


def test_an_rsa_key_signs_where_the_token_has_rsa(provider):
    try:
        made = provider.create(LABEL, Algorithm.RSA3072)
    except Unsupported:
        assert Algorithm.RSA3072 not in provider.probe().algorithms
        return
    assert signature.verify(made.public_key, b"message", provider.sign(LABEL, b"message"))


@pytest.mark.parametrize("size", [0, 1, 65_536])
def test_a_message_may_have_any_length(provider, size):
    made = provider.create(LABEL, Algorithm.P256)
    assert signature.verify(made.public_key, b"x" * size, provider.sign(LABEL, b"x" * size))


def test_keys_are_still_there_after_closing_and_opening(backend):
    with backend.open() as provider:
        made = provider.create(LABEL, Algorithm.P256)
    with backend.open() as provider:
        assert provider.list() == (made,)
        assert provider.public_key(LABEL) == made.public_key
        assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_create_never_overwrites(provider):
    made = provider.create(LABEL, Algorithm.P256)
    with pytest.raises(KeyExists):
        provider.create(LABEL, Algorithm.P256)
    assert provider.public_key(LABEL) == made.public_key


def test_two_providers_on_one_token_see_each_others_keys_and_neither_overwrites(backend):
    with backend.open() as one, backend.open() as other:
        made = one.create(LABEL, Algorithm.P256)
        assert other.public_key(LABEL) == made.public_key
        with pytest.raises(KeyExists):
            other.create(LABEL, Algorithm.P256)
        other.create(OTHER, Algorithm.P256)
        assert {key.label for key in one.list()} == {LABEL, OTHER}


def test_a_key_that_is_not_there_is_named_in_the_error(provider):
    for act in (provider.public_key, lambda label: provider.sign(label, b"m")):
        with pytest.raises(NoSuchKey, match=LABEL):
            act(LABEL)


@pytest.mark.parametrize(
    "label",
    ["", "x", "sallyport:other:user:1", "sallyport:main:user:0", "sallyport:main:user:1 ", "sallyport:main:"],
)
def test_labels_outside_of_the_range_are_refused(provider, label):
    for act in (
        provider.public_key,
        lambda it: provider.sign(it, b""),
        lambda it: provider.create(it, Algorithm.P256),
    ):
        with pytest.raises(NotOurs):
            act(label)


def test_another_clusters_keys_on_the_same_token_are_not_seen(backend):
    theirs = Namespace(cluster="other")
    with backend.open(namespace=theirs) as provider:
        provider.create("sallyport:other:user:1", Algorithm.P256)
    with backend.open() as provider:
        assert provider.list() == ()
        provider.create(LABEL, Algorithm.P256)
    with backend.open(namespace=theirs) as provider:
        assert [key.label for key in provider.list()] == ["sallyport:other:user:1"]


def test_a_wrong_pin_is_refused_and_the_right_one_still_works(backend):
    backend.open().close()
    with pytest.raises(PinRefused) as refused:
        backend.open(backend.wrong_pin)
    assert backend.wrong_pin not in str(refused.value)
    backend.open().close()


def test_deleting_takes_only_that_key(provider):
    assert isinstance(provider, Deleter)
    provider.create(LABEL, Algorithm.P256)
    kept = provider.create(OTHER, Algorithm.P256)
    provider.delete(LABEL)
    assert provider.list() == (kept,)
    with pytest.raises(NoSuchKey):
        provider.delete(LABEL)


def test_it_says_what_it_is_and_where_a_key_was_made(provider):
    assert isinstance(provider, Prober)
    assert isinstance(provider, Attester)
    provider.create(LABEL, Algorithm.P256)
    probe, attested = provider.probe(), provider.attest(LABEL)
    assert Algorithm.P256 in probe.algorithms
    assert probe.model
    assert probe.serial
    assert attested.statement
    assert bool(attested.certificates) == (attested.kind is AttestationKind.CERTIFICATE)
    assert probe.hardware or attested.kind in {AttestationKind.SOFTWARE, AttestationKind.ATTRIBUTES}


def test_many_threads_may_sign_at_once(provider):
    made = provider.create(LABEL, Algorithm.P256)
    wrong = []

    def sign(number):
        for turn in range(10):
            message = f"{number}/{turn}".encode()
            if not signature.verify(made.public_key, message, provider.sign(LABEL, message)):
                wrong.append(message)

    threads = [threading.Thread(target=sign, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_public_key_of_another_kind_is_not_loaded():
    with pytest.raises(Malformed):
        public_key.load(b"\x00\x00\x00\x07ssh-dss")
