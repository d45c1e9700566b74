"""A certificate that a peer shows: worth something only if every part of it is right (C01 to C08, C24)."""

import base64
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from appliance.certificates.presented import claimed_user, judge
from appliance.domain.errors import Denied
from hsm.encoding import certificate as wire
from hsm.encoding.wire import string, text

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
HERE = "192.0.2.7"


def blob_of(key) -> bytes:
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


AUTHORITY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(reversed(range(32))))
PERSON = ed25519.Ed25519PrivateKey.from_private_bytes(b"p" * 32)
GOOD = wire.SshCertificate(
    kind=wire.CertificateKind.USER,
    nonce=bytes(32),
    public_key=blob_of(PERSON),
    serial=7,
    key_id="joe",
    principals=("root", "joe"),
    valid_after=SECONDS - 60,
    valid_before=SECONDS + 3600,
    critical_options=(),
    extensions=(("permit-pty", ""),),
    signing_key=blob_of(AUTHORITY),
)


def sign(data, by=AUTHORITY):
    return data + string(text("ssh-ed25519") + string(by.sign(data)))


def make(by=AUTHORITY, **changes):
    return sign(replace(GOOD, **changes).to_be_signed(), by)


def look(blob, *, source=HERE, now=NOW, authorities=(GOOD.signing_key,)):
    return judge(blob, authorities=authorities, source=source, now=now)


def refused(blob, reason, **given_):
    with pytest.raises(Denied) as error:
        look(blob, **given_)
    assert reason in error.value.reason
    assert error.value.reason not in str(error.value)


def test_a_good_one_says_who_it_is():
    found = look(make())
    assert (found.user, found.serial) == ("joe", 7)
    assert found.fingerprint.startswith("SHA256:")
    assert found.valid_before == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": wire.CertificateKind.HOST}, "host certificate in place"),
        ({"principals": ()}, "without principals"),
        ({"principals": ("",)}, "malformed name"),
        ({"principals": ("*",)}, "malformed name"),
        ({"principals": ("root ",)}, "malformed name"),
        ({"principals": ("Root",)}, "malformed name"),
        ({"principals": ("root\0",)}, "malformed name"),
        ({"principals": ("root,admin",)}, "malformed name"),
        ({"principals": ("root", "")}, "malformed name"),
        ({"key_id": ""}, "malformed name"),
        ({"key_id": "Joe"}, "malformed name"),
        ({"key_id": "\uff4aoe"}, "malformed name"),
        ({"key_id": "joe\n"}, "malformed name"),
        ({"key_id": "session=1 user=joe"}, "malformed name"),
        ({"valid_after": SECONDS + 1}, "not yet valid"),
        ({"valid_before": SECONDS}, "expired"),
        ({"valid_before": SECONDS - 1}, "expired"),
        ({"valid_before": 0}, "expired"),
        ({"critical_options": (("force-command", "id"),)}, "'force-command'"),
        ({"critical_options": (("verify-required", ""),)}, "'verify-required'"),
        ({"critical_options": (("x@example.com", ""),)}, "'x@example.com'"),
        ({"critical_options": (("", ""),)}, "''"),
    ],
)
def test_one_that_says_something_wrong_is_refused(changes, reason):
    refused(make(**changes), reason)


def test_the_last_second_counts_and_the_next_does_not():
    blob = make(valid_before=SECONDS + 1)
    assert look(blob, now=NOW + timedelta(microseconds=999_999))
    refused(blob, "expired", now=NOW + timedelta(seconds=1))


def test_the_first_second_counts_and_the_one_before_does_not():
    blob = make(valid_after=SECONDS)
    assert look(blob)
    refused(blob, "not yet valid", now=NOW - timedelta(microseconds=1))


def test_one_that_never_ends_is_no_certificate_of_ours():
    for end in (2**64 - 1, 2**63, 10**12):
        refused(make(valid_before=end), "")


def test_a_signature_by_somebody_else_under_our_name_is_refused():
    refused(make(by=STRANGER), "bad signature")


def test_another_authority_is_refused():
    refused(make(by=STRANGER, signing_key=blob_of(STRANGER)), "not trusted for people")


def test_nobody_is_trusted_when_there_is_no_authority():
    refused(make(), "not trusted", authorities=())


def test_one_that_the_person_signed_for_themselves_is_refused():
    refused(make(by=PERSON, signing_key=blob_of(PERSON)), "not trusted")


def test_a_signature_of_another_kind_is_refused():
    data = GOOD.to_be_signed()
    for kind in ("ssh-ed448", "rsa-sha2-256", "ecdsa-sha2-nistp256", "", "ssh-ed25519-cert-v01@openssh.com"):
        refused(data + string(text(kind) + string(AUTHORITY.sign(data))), "")
    refused(data + string(b""), "")


def with_options(raw):
    """A certificate whose critical options are these bytes, signed as if the authority had been fooled."""
    data = GOOD.to_be_signed()
    marker = string(b"") + string(text("permit-pty") + string(b""))
    assert data.count(marker) == 1
    return sign(data.replace(marker, string(raw) + marker[4:]))


def option(name, value):
    return text(name) + string(value)


@pytest.mark.parametrize(
    "raw",
    [
        option("source-address", text("0.0.0.0/0")) * 2,
        option("source-address", text("192.0.2.7")) + option("a", b""),
        option("source-address", text("0.0.0.0/0") + b"\0"),
        option("source-address", b"0.0.0.0/0"),
        text("source-address"),
        b"\0",
        b"\xff\xff\xff\xff",
    ],
)
def test_options_twice_out_of_order_or_with_something_behind_are_refused(raw):
    refused(with_options(raw), "malformed")


@pytest.mark.parametrize(
    ("allowed", "source", "fits"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.0/24", "192.0.2.7", True),
        ("10.0.0.0/8,192.0.2.0/24", "192.0.2.7", True),
        ("192.0.2.8", "192.0.2.7", False),
        ("10.0.0.0/8", "192.0.2.7", False),
        ("192.0.2.0/24", "::ffff:192.0.2.7", True),
        ("2001:db8::/64", "2001:db8::1", True),
        ("2001:db8::/64", "2001:db8:0:1::1", False),
        ("2001:db8::/64", "192.0.2.7", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("192.0.2.7/24", "192.0.2.7", False),
        ("192.0.2.7/33", "192.0.2.7", False),
        ("192.0.2.0/24,junk", "192.0.2.7", False),
        ("junk,192.0.2.0/24", "192.0.2.7", False),
        ("192.0.2.0/24,", "192.0.2.7", False),
        ("192.0.2.*", "192.0.2.7", False),
        ("!192.0.2.7", "192.0.2.7", False),
        ("3221225991", "192.0.2.7", False),
        ("", "192.0.2.7", False),
        ("192.0.2.7", "", False),
        ("192.0.2.7", "localhost", False),
    ],
)
def test_a_source_address_fits_or_the_certificate_is_refused(allowed, source, fits):
    blob = make(critical_options=(("source-address", allowed),))
    if fits:
        assert look(blob, source=source)
    else:
        refused(blob, "bound to", source=source)


def test_something_behind_the_end_is_refused():
    refused(make() + b"\0", "malformed")
    refused(make() + make(), "malformed")


def test_one_that_is_too_long_is_refused_quickly():
    began = time.monotonic()
    refused(make(principals=("root",) * 100_000), "malformed")
    assert time.monotonic() - began < 1


@given(st.integers(0, len(make()) - 1))
def test_no_cut_makes_it_good(length):
    refused(make()[:length], "malformed")


@given(st.integers(0, len(make()) - 1), st.integers(1, 255))
def test_no_altered_byte_makes_it_say_something_else(place, change):
    blob = bytearray(make())
    blob[place] ^= change
    with pytest.raises(Denied):
        look(bytes(blob))


@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_to_be_refused(data):
    refused(data, "malformed")
    assert claimed_user(data) == ""


def test_the_claimed_name_is_for_the_log_and_is_a_name():
    assert claimed_user(make(by=STRANGER)) == "joe"
    assert claimed_user(make(key_id="joe\n[forged line]")) == ""
