"""What only a PIV card does: slots, a PIN that locks, attestation, other applets."""

from __future__ import annotations

import pytest
from cryptography import x509

from hsm import piv_card
from hsm.encoding import signature
from hsm.errors import KeyExists, NoSuchKey, PinLocked, PinRefused, TokenFault, TokenGone, Unsupported
from hsm.naming import Namespace
from hsm.provider import Algorithm, AttestationKind
from hsm.secret import Secret
from tests.support.piv_bench import FIRMWARE, SERIAL, Card, PivBench

LABEL = "sallyport:main:user:1"
NAMESPACE = Namespace(cluster="main")


@pytest.fixture
def bench():
    return PivBench.make()


@pytest.fixture
def provider(bench):
    with bench.open("123456", NAMESPACE) as opened:
        yield opened


def test_a_wrong_pin_is_tried_once_each_time_and_never_to_the_last(bench):
    for left in (2, 1):
        with pytest.raises(PinRefused) as refused:
            bench.open("000000", NAMESPACE)
        assert refused.value.tries_left == left
    for pin in ("000000", "123456"):
        with pytest.raises(PinRefused, match="kept for a person"):
            bench.open(pin, NAMESPACE)
    assert bench.card.tries == 1


def test_a_locked_card_says_so(bench):
    bench.card.tries = 0
    with pytest.raises(PinLocked):
        bench.open("123456", NAMESPACE)


def test_a_pin_of_impossible_length_costs_no_try(bench):
    with pytest.raises(PinRefused):
        bench.open("12345", NAMESPACE)
    assert bench.card.tries == 3


def test_a_pin_changed_meanwhile_costs_one_try_and_not_more(bench, provider):
    provider.create(LABEL, Algorithm.P256)
    bench.card.pin = b"999999"
    bench.card.power_off()
    for _ in range(3):
        with pytest.raises(PinRefused):
            provider.sign(LABEL, b"m")
    assert bench.card.tries == 2


def test_pulled_in_the_middle_of_a_signature_and_put_back(bench, provider):
    made = provider.create(LABEL, Algorithm.P256)
    bench.card.signatures_until_pulled = 2
    assert provider.sign(LABEL, b"m")
    assert provider.sign(LABEL, b"m")
    for _ in range(2):
        with pytest.raises(TokenGone):
            provider.sign(LABEL, b"m")
    bench.put_back()
    assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_another_applet_selected_by_another_program_is_no_obstacle(bench, provider):
    made = provider.create(LABEL, Algorithm.ED25519)
    bench.card.power_off()
    assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_slots_that_others_use_stay_as_they_are(bench, provider):
    card = bench.card
    for slot in (0x82, 0x9A):
        bench.open("123456", NAMESPACE, slots=(slot,)).create("sallyport:main:host:1", Algorithm.P256)
        card.objects.pop(piv_card._object(slot))
    card.objects[piv_card._object(0x83)] = b"\x70\x03abc\x71\x01\x00"
    keys, objects = dict(card.keys), dict(card.objects)
    assert provider.list() == ()
    provider.create(LABEL, Algorithm.P256)
    assert {slot for slot in card.keys if slot not in keys} == {0x84}
    provider.delete(LABEL)
    assert (card.keys, card.objects) == (keys, objects)


def test_a_label_that_was_written_for_another_key_is_a_fault(bench, provider):
    provider.create(LABEL, Algorithm.P256)
    other = PivBench.make()
    other.open("123456", NAMESPACE).create(LABEL, Algorithm.P256)
    bench.card.keys[0x82] = other.card.keys[0x82]
    with pytest.raises(TokenFault, match="does not hold the key"):
        provider.list()


def test_a_full_range_and_a_used_label_are_refused(bench):
    with bench.open("123456", NAMESPACE, slots=(0x82,)) as provider:
        provider.create(LABEL, Algorithm.P256)
        assert provider.probe().free_slots == 0
        with pytest.raises(Unsupported, match="no slot is free"):
            provider.create("sallyport:main:user:2", Algorithm.P256)
        with pytest.raises(KeyExists):
            provider.create(LABEL, Algorithm.P256)


def test_without_or_with_a_wrong_management_key_nothing_is_made(bench):
    with bench.open("123456", NAMESPACE, management_key=None) as provider, pytest.raises(Unsupported):
        provider.create(LABEL, Algorithm.P256)
    wrong = Secret(bytes(24))
    with bench.open("123456", NAMESPACE, management_key=wrong) as provider, pytest.raises(PinRefused):
        provider.create(LABEL, Algorithm.P256)
    assert not bench.card.keys


def test_another_yubikey_does_not_get_the_pin(bench):
    with pytest.raises(TokenGone, match="is plugged in, not"):
        bench.open("123456", NAMESPACE, serial=7)
    assert bench.card.tries == 3
    with bench.open("123456", NAMESPACE, serial=SERIAL) as provider:
        assert provider.probe().serial == str(SERIAL)


def test_the_attestation_names_device_and_policies_and_leads_to_the_owners_root(provider):
    provider.create(LABEL, Algorithm.P256)
    attested = provider.attest(LABEL)
    assert attested.kind is AttestationKind.CERTIFICATE
    assert str(SERIAL) in attested.statement
    assert ".".join(map(str, FIRMWARE)) in attested.statement
    leaf, attesting = map(x509.load_der_x509_certificate, attested.certificates)
    leaf.verify_directly_issued_by(attesting)


def test_an_attestation_under_an_unknown_root_is_refused(bench):
    with bench.open("123456", NAMESPACE, trusted=(Card().root,)) as provider:
        provider.create(LABEL, Algorithm.P256)
        with pytest.raises(TokenFault, match="trusted root"):
            provider.attest(LABEL)


def test_an_attestation_of_another_key_is_refused(bench, provider, monkeypatch):
    provider.create(LABEL, Algorithm.P256)
    provider.create("sallyport:main:user:2", Algorithm.P256)
    honest = piv_card.attest
    monkeypatch.setattr(piv_card, "attest", lambda card, slot: honest(card, 0x83))
    with pytest.raises(TokenFault, match="another key"):
        provider.attest(LABEL)


def test_an_attestation_signed_by_another_card_is_refused(bench, provider):
    provider.create(LABEL, Algorithm.P256)
    bench.card.f9 = Card().f9
    with pytest.raises(TokenFault, match="chain does not hold"):
        provider.attest(LABEL)


def test_a_card_that_is_not_there_is_gone_and_a_missing_key_is_missing(bench, provider):
    with pytest.raises(NoSuchKey):
        provider.sign(LABEL, b"m")
    bench.pull()
    with pytest.raises(TokenGone):
        provider.list()
