import base64
import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import SshSkErrorCode
from authenticators.ssh_sk import (
    ECDSA,
    ED25519,
    CounterAlarm,
    CounterState,
    SkPolicy,
    judge_counter,
    parse_sk_public_key,
    parse_sk_signature,
    verify_sk_signature,
)
from tests.support.refusals import outcome, refused

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/ssh_sk/openssh.json").read_text())["vectors"]
ACCEPTED = [vector for vector in VECTORS if "refused" not in vector["expect"]]
BY_NAME = {vector["name"]: vector for vector in VECTORS}
Code = SshSkErrorCode


def string(data):
    return struct.pack(">I", len(data)) + data


def mpint(value):
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def parts(vector):
    return (
        parse_sk_public_key(base64.b64decode(vector["public_key"])),
        parse_sk_signature(bytes.fromhex(vector["signature"])),
        bytes.fromhex(vector["signed"]),
    )


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: vector["name"])
def test_signatures_made_by_openssh_verify_and_tell_what_the_key_did(vector):
    key, signature, signed = parts(vector)
    proof = verify_sk_signature(key, signature, signed, SkPolicy(touch_required=False))
    told = {
        "key_type": key.key_type,
        "application": proof.application,
        "user_present": proof.user_present,
        "user_verified": proof.user_verified,
        "counter": proof.counter,
    }
    assert told == vector["expect"]


def test_a_signature_that_openssh_refuses_is_refused():
    (vector,) = [each for each in VECTORS if each not in ACCEPTED]
    with refused(Code(vector["expect"]["refused"])):
        verify_sk_signature(*parts(vector), SkPolicy(touch_required=False))


def test_certificates_made_by_openssh_tell_their_options():
    verified = parse_sk_public_key(base64.b64decode(BY_NAME["ecdsa-sk"]["certificate"]))
    assert (verified.key_type, verified.is_certificate, verified.verify_required) == (ECDSA, True, True)
    untouched = parse_sk_public_key(base64.b64decode(BY_NAME["ed25519-sk"]["certificate"]))
    assert (untouched.key_type, untouched.no_touch_required, untouched.verify_required) == (
        ED25519,
        True,
        False,
    )
    plain = parse_sk_public_key(base64.b64decode(BY_NAME["ecdsa-sk"]["public_key"]))
    assert verified.public_key == plain.public_key


def test_a_certificate_s_verify_required_holds_whatever_the_policy_says():
    _, signature, signed = parts(BY_NAME["ecdsa-sk"])
    certificate = parse_sk_public_key(base64.b64decode(BY_NAME["ecdsa-sk"]["certificate"]))
    with refused(Code.USER_NOT_VERIFIED):
        verify_sk_signature(certificate, signature, signed)


class Key:
    """A security key in software, with every byte of its signatures in the test's hand."""

    def __init__(self, key_type=ED25519, application="ssh:"):
        self.key_type, self.application = key_type, application
        ecdsa = key_type == ECDSA
        self.private = (
            ec.generate_private_key(ec.SECP256R1()) if ecdsa else ed25519.Ed25519PrivateKey.generate()
        )
        form = (Encoding.X962, PublicFormat.UncompressedPoint) if ecdsa else (Encoding.Raw, PublicFormat.Raw)
        self.raw = self.private.public_key().public_bytes(*form)

    @property
    def blob(self):
        curve = string(b"nistp256") if self.key_type == ECDSA else b""
        return string(self.key_type.encode()) + curve + string(self.raw) + string(self.application.encode())

    @property
    def public(self):
        return parse_sk_public_key(self.blob)

    def sign(self, message, *, flags=0x01, counter=7):
        tail = bytes([flags]) + counter.to_bytes(4, "big")
        signed = hashlib.sha256(self.application.encode()).digest() + tail + hashlib.sha256(message).digest()
        if self.key_type == ECDSA:
            inner = b"".join(
                map(mpint, decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256()))))
            )
        else:
            inner = self.private.sign(signed)
        return string(self.key_type.encode()) + string(inner) + tail


KEYS = {key_type: Key(key_type) for key_type in (ED25519, ECDSA)}


def verify(key, message=b"m", policy=None, **signed):
    return verify_sk_signature(key.public, parse_sk_signature(key.sign(b"m", **signed)), message, policy)


@pytest.mark.parametrize("key", KEYS.values(), ids=["ed25519", "ecdsa"])
def test_presence_and_verification_are_demanded_by_the_policy(key):
    assert verify(key, policy=SkPolicy(verify_required=True), flags=0x05).user_verified
    with refused(Code.USER_NOT_PRESENT):
        verify(key, flags=0x04)
    with refused(Code.USER_NOT_VERIFIED):
        verify(key, policy=SkPolicy(verify_required=True), flags=0x01)
    assert not verify(key, policy=SkPolicy(touch_required=False), flags=0x00).user_present


@pytest.mark.parametrize("key", KEYS.values(), ids=["ed25519", "ecdsa"])
def test_another_message_another_key_or_changed_flags_are_a_bad_signature(key):
    with refused(Code.BAD_SIGNATURE):
        verify(key, message=b"other")
    with refused(Code.BAD_SIGNATURE):
        verify_sk_signature(Key(key.key_type).public, parse_sk_signature(key.sign(b"m")), b"m")
    signature = parse_sk_signature(key.sign(b"m"))
    for changed in (replace(signature, flags=0x05), replace(signature, counter=8)):
        with refused(Code.BAD_SIGNATURE):
            verify_sk_signature(key.public, changed, b"m")


def test_a_key_of_another_application_is_refused():
    assert verify(Key(application="ssh:lab"))
    with refused(Code.WRONG_APPLICATION):
        verify(Key(application="https://box.example"))
    with refused(Code.WRONG_APPLICATION):
        verify(Key(application="ssh:evil"), policy=SkPolicy(applications=frozenset({"ssh:"})))


def test_a_signature_of_the_other_kind_is_refused():
    with refused(Code.KEY_TYPE_MISMATCH):
        verify_sk_signature(KEYS[ECDSA].public, parse_sk_signature(KEYS[ED25519].sign(b"m")), b"m")


GOOD = KEYS[ED25519]
EC_SIGNATURE = KEYS[ECDSA].sign(b"m")


def ec_signature(r, s, extra=b""):
    return string(ECDSA.encode()) + string(r + s + extra) + b"\x01\0\0\0\x07"


BAD_SIGNATURES = {
    "nothing": (b"", Code.MALFORMED),
    "another type": (string(b"ssh-ed25519") + string(bytes(64)), Code.UNSUPPORTED_KEY_TYPE),
    "webauthn": (string(b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com"), Code.UNSUPPORTED_KEY_TYPE),
    "no counter": (GOOD.sign(b"m")[:-1], Code.MALFORMED),
    "trailing byte": (GOOD.sign(b"m") + b"\0", Code.MALFORMED),
    "short Ed25519": (string(ED25519.encode()) + string(bytes(63)) + b"\x01\0\0\0\x07", Code.MALFORMED),
    "negative": (ec_signature(string(b"\x80"), mpint(1)), Code.MALFORMED),
    "zero": (ec_signature(string(b""), mpint(1)), Code.MALFORMED),
    "long form": (ec_signature(string(b"\0\x01"), mpint(1)), Code.MALFORMED),
    "huge": (ec_signature(mpint(2**300), mpint(1)), Code.MALFORMED),
    "three numbers": (ec_signature(mpint(1), mpint(1), mpint(1)), Code.MALFORMED),
    "name no UTF-8": (string(b"\xff"), Code.MALFORMED),
}


@pytest.mark.parametrize("name", BAD_SIGNATURES)
def test_a_signature_of_another_form_is_refused(name):
    blob, code = BAD_SIGNATURES[name]
    with refused(code):
        parse_sk_signature(blob)


def ec_key(curve=b"nistp256", point=KEYS[ECDSA].raw):
    return string(ECDSA.encode()) + string(curve) + string(point) + string(b"ssh:")


BAD_KEYS = {
    "another type": (string(b"ssh-ed25519") + string(bytes(32)), Code.UNSUPPORTED_KEY_TYPE),
    "another curve": (ec_key(curve=b"nistp384"), Code.BAD_PUBLIC_KEY),
    "compressed": (ec_key(point=b"\x02" + KEYS[ECDSA].raw[1:33]), Code.BAD_PUBLIC_KEY),
    "off the curve": (ec_key(point=b"\x04" + bytes(64)), Code.BAD_PUBLIC_KEY),
    "small order": (string(ED25519.encode()) + string(bytes(32)) + string(b"ssh:"), Code.BAD_PUBLIC_KEY),
    "trailing": (GOOD.blob + b"\0", Code.MALFORMED),
    "cut": (GOOD.blob[:-1], Code.MALFORMED),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_public_key_of_another_form_is_refused(name):
    blob, code = BAD_KEYS[name]
    with refused(code):
        parse_sk_public_key(blob)


def test_a_certificate_that_names_an_option_twice_is_refused():
    blob = base64.b64decode(BY_NAME["ecdsa-sk"]["certificate"])
    one = string(b"verify-required") + string(b"")
    assert string(one) in blob
    with refused(Code.MALFORMED):
        parse_sk_public_key(blob.replace(string(one), string(one + one)))


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_with_a_code(junk):
    assert isinstance(outcome(parse_sk_public_key, junk), SshSkErrorCode)
    assert isinstance(outcome(parse_sk_signature, junk), SshSkErrorCode)


@given(st.integers(0, 500), st.integers(1, 255), st.sampled_from(["public_key", "certificate"]))
def test_a_changed_byte_never_crashes(position, change, member):
    blob = bytearray(base64.b64decode(BY_NAME["ecdsa-sk"][member]))
    blob[position % len(blob)] ^= change
    result = outcome(parse_sk_public_key, bytes(blob))
    assert isinstance(result, SshSkErrorCode) or result.key_type == ECDSA


def test_a_counter_has_to_grow():
    state = judge_counter(CounterState(), 5)
    assert state.highest == 5
    assert judge_counter(state, 6).highest == 6
    for received in (5, 4, 0):
        assert judge_counter(state, received) == CounterAlarm(highest=5, received=received)
    assert not judge_counter(state, 5)


def test_a_key_without_a_counter_raises_no_alarm():
    assert judge_counter(CounterState(), 0) == CounterState()


def test_connections_opened_together_may_arrive_out_of_order_once():
    state = judge_counter(CounterState(), 10)
    state = judge_counter(state, 8, late=4)
    assert state.highest == 10
    assert isinstance(judge_counter(state, 8, late=4), CounterAlarm)
    assert isinstance(judge_counter(state, 10, late=4), CounterAlarm)
    assert isinstance(judge_counter(state, 5, late=4), CounterAlarm)
    moved = judge_counter(state, 11, late=4)
    for seen in (10, 8):
        assert isinstance(judge_counter(moved, seen, late=4), CounterAlarm)
    assert judge_counter(moved, 9, late=4)


@given(st.lists(st.integers(0, 60) | st.integers(0, 2**32 - 1), max_size=40), st.integers(0, 32))
def test_no_counter_is_ever_accepted_twice(received, late):
    state, accepted = CounterState(), []
    for counter in received:
        judged = judge_counter(state, counter, late=late)
        if isinstance(judged, CounterState) and counter:
            accepted.append(counter)
        if isinstance(judged, CounterState):
            state = judged
    assert len(accepted) == len(set(accepted))
    assert state.seen < 2**32
