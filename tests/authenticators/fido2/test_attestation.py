import hashlib
import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import AttestationErrorCode
from authenticators.fido2.android_key import read_der
from authenticators.fido2.attestation import AttestationKind, assess
from authenticators.fido2.public_key import SUPPORTED
from authenticators.fido2.relying_party import RelyingParty, User
from tests.support.attestations import (
    ALL_APPLICATIONS,
    ORIGIN_GENERATED,
    PURPOSE_SIGN,
    Attested,
    Maker,
    aaguid_extension,
    der,
    key_description,
)
from tests.support.refusals import outcome, refused
from tests.support.webauthn import NOW, ForgedKey, envelope

MAKER = Maker()
ATTESTED = Attested(key=ForgedKey())
OTHER = ec.generate_private_key(ec.SECP256R1()).public_key()
CLIENT_DATA_HASH = ATTESTED.client_data_hash

GOOD = {
    "packed": (ATTESTED.packed(MAKER), AttestationKind.BASIC),
    "packed self": (ATTESTED.packed_self(), AttestationKind.SELF),
    "fido-u2f": (ATTESTED.u2f(MAKER), AttestationKind.BASIC),
    "apple": (ATTESTED.apple(MAKER), AttestationKind.ANONYMIZATION_CA),
    "android-key": (ATTESTED.android(MAKER), AttestationKind.BASIC),
    "none": (ATTESTED.credential("none", {}), AttestationKind.NONE),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_statement_is_reported_with_its_kind_and_path(name):
    credential, kind = GOOD[name]
    report = assess(credential)
    assert report.kind is kind
    assert report.aaguid == UUID(bytes=ATTESTED.key.aaguid)
    assert bool(report.trust_path) == (kind not in {AttestationKind.NONE, AttestationKind.SELF})


def statement_of(credential):
    return cbor.decode(credential.attestation_object)["attStmt"]


def with_statement(name, **members):
    credential, _ = GOOD[name]
    statement = {
        key: value for key, value in (statement_of(credential) | members).items() if value is not None
    }
    return ATTESTED.credential(name.split()[0], statement)


Code = AttestationErrorCode
BAD = {
    "packed, other signature": (with_statement("packed", sig=ATTESTED.key.sign(b"x")), Code.BAD_SIGNATURE),
    "packed, other algorithm": (with_statement("packed", alg=-257), Code.MALFORMED),
    "packed, SHA-1": (with_statement("packed", alg=-65535), Code.MALFORMED),
    "packed, ECDAA": (with_statement("packed", ecdaaKeyId=b"x"), Code.MALFORMED),
    "packed, no signature": (with_statement("packed", sig=None), Code.MALFORMED),
    "packed, empty path": (with_statement("packed", x5c=[]), Code.MALFORMED),
    "packed, junk certificate": (with_statement("packed", x5c=[b"junk"]), Code.BAD_CERTIFICATE),
    "packed, other AAGUID": (
        ATTESTED.packed(MAKER, extensions=(aaguid_extension(bytes(16)),)),
        Code.AAGUID_MISMATCH,
    ),
    "packed, other unit": (ATTESTED.packed(MAKER, unit="Authenticator"), Code.MALFORMED),
    "self, other signature": (with_statement("packed self", sig=ATTESTED.key.sign(b"x")), Code.BAD_SIGNATURE),
    "self, other algorithm": (with_statement("packed self", alg=-8), Code.MALFORMED),
    "u2f, two certificates": (ATTESTED.u2f(MAKER, extra=(MAKER.root,)), Code.MALFORMED),
    "u2f, other signature": (with_statement("fido-u2f", sig=ATTESTED.key.sign(b"x")), Code.BAD_SIGNATURE),
    "apple, other key": (ATTESTED.apple(MAKER, public_key=OTHER), Code.BAD_CERTIFICATE),
    "apple, other nonce": (
        replace(GOOD["apple"][0], client_data_json=ATTESTED.client_data_json + b" "),
        Code.MALFORMED,
    ),
    "apple, no nonce": (
        ATTESTED.credential("apple", {"x5c": [MAKER.leaf(ATTESTED.key.private.public_key())]}),
        Code.MALFORMED,
    ),
    "android, other key": (ATTESTED.android(MAKER, public_key=OTHER), Code.MALFORMED),
    "android, other signature": (
        with_statement("android-key", sig=ATTESTED.key.sign(b"x")),
        Code.BAD_SIGNATURE,
    ),
    "android, other challenge": (ATTESTED.android(MAKER, key_description(bytes(32))), Code.MALFORMED),
    "android, for all apps": (
        ATTESTED.android(MAKER, key_description(CLIENT_DATA_HASH, software=ALL_APPLICATIONS)),
        Code.MALFORMED,
    ),
    "android, imported": (
        ATTESTED.android(
            MAKER,
            key_description(CLIENT_DATA_HASH, hardware=PURPOSE_SIGN + der("bf853e", der("02", b"\x02"))),
        ),
        Code.MALFORMED,
    ),
    "android, also decrypts": (
        ATTESTED.android(
            MAKER,
            key_description(
                CLIENT_DATA_HASH,
                hardware=der("a1", der("31", der("02", b"\x01"), der("02", b"\x02"))) + ORIGIN_GENERATED,
            ),
        ),
        Code.MALFORMED,
    ),
    "android, only in software": (
        ATTESTED.android(
            MAKER, key_description(CLIENT_DATA_HASH, software=PURPOSE_SIGN + ORIGIN_GENERATED, hardware=b"")
        ),
        Code.MALFORMED,
    ),
    "android, junk description": (ATTESTED.android(MAKER, b"\x30\x82"), Code.MALFORMED),
    "none with a statement": (ATTESTED.credential("none", {"x": 1}), Code.MALFORMED),
    "a format nobody knows": (ATTESTED.credential("android-safetynet", {}), Code.UNSUPPORTED_FORMAT),
    "no evidence": (replace(GOOD["packed"][0], attestation_object=b""), Code.NO_ATTESTATION),
    "broken evidence": (replace(GOOD["packed"][0], attestation_object=b"\xa0"), Code.MALFORMED),
    "another stored key": (
        replace(GOOD["packed"][0], public_key=ForgedKey().public_cose),
        Code.EVIDENCE_MISMATCH,
    ),
    "another stored id": (replace(GOOD["packed"][0], credential_id=b"x"), Code.EVIDENCE_MISMATCH),
    "another stored AAGUID": (replace(GOOD["packed"][0], aaguid=UUID(int=1)), Code.EVIDENCE_MISMATCH),
}


@pytest.mark.parametrize("name", BAD)
def test_a_statement_that_breaks_a_rule_is_refused(name):
    credential, code = BAD[name]
    with refused(code):
        assess(credential)


FILE = json.loads((Path(__file__).parents[2] / "vectors/webauthn/level3.json").read_text())
TPM = next(vector for vector in FILE["vectors"] if vector["name"] == "tpm-es256")


def tpm_credential(**changes):
    """Return the TPM vector with its `safe` byte mended, signed again with the vector's key."""
    made = {key: bytes.fromhex(value) for key, value in TPM["registration"].items()}
    rp = RelyingParty(
        rp_id="example.org", name="x", origins=frozenset({FILE["origin"]}), algorithms=tuple(SUPPORTED)
    )
    user = User(handle=b"u", name="u", display_name="U")
    _, state = rp.begin_registration(user=user, now=NOW, challenge=made["challenge"])
    response = envelope(
        made["credential_id"],
        clientDataJSON=made["clientDataJSON"],
        attestationObject=made["attestationObject"],
    )
    credential = rp.complete_registration(state, response, now=NOW).credential
    whole = dict(cbor.decode(credential.attestation_object))
    info = bytearray(whole["attStmt"]["certInfo"])
    extra_data_end = 8 + int.from_bytes(info[6:8], "big")
    extra_data_end += 2 + int.from_bytes(info[extra_data_end : extra_data_end + 2], "big")
    info[extra_data_end + 16] = 1
    key = ec.derive_private_key(int.from_bytes(made["attestation_private_key"], "big"), ec.SECP256R1())
    mended = bytes(info)
    statement = whole["attStmt"] | {"certInfo": mended, "sig": key.sign(mended, ec.ECDSA(hashes.SHA256()))}
    whole["attStmt"] = statement | changes
    return replace(credential, attestation_object=cbor.encode(whole))


def test_a_tpm_statement_is_reported():
    assert assess(tpm_credential()).kind is AttestationKind.ATTESTATION_CA


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ver": "1.2"}, Code.MALFORMED),
        ({"alg": -65535}, Code.MALFORMED),
        ({"pubArea": b"x"}, Code.MALFORMED),
        ({"certInfo": b"x"}, Code.MALFORMED),
        ({"sig": ATTESTED.key.sign(b"x")}, Code.BAD_SIGNATURE),
        ({"x5c": [MAKER.leaf(OTHER)]}, Code.MALFORMED),
    ],
)
def test_a_tpm_statement_that_breaks_a_rule_is_refused(changes, code):
    with refused(code):
        assess(tpm_credential(**changes))


def test_a_tpm_statement_for_another_registration_is_refused():
    credential = tpm_credential()
    with refused(Code.BAD_SIGNATURE):
        assess(replace(credential, client_data_json=credential.client_data_json + b" "))


@given(
    st.sampled_from(["packed", "fido-u2f", "apple", "android-key", "tpm"]),
    st.dictionaries(
        st.sampled_from(["alg", "sig", "x5c", "ver", "certInfo", "pubArea"]),
        st.binary(max_size=9)
        | st.integers(-300, 300)
        | st.lists(st.binary(max_size=9), max_size=2)
        | st.text(max_size=3),
    ),
)
def test_any_statement_is_refused_with_a_code(fmt, statement):
    assert isinstance(outcome(assess, ATTESTED.credential(fmt, statement)), AttestationErrorCode)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_statement_with_any_byte_changed_never_proves_another_hash(position, change):
    credential, _ = GOOD["packed"]
    encoded = bytearray(credential.attestation_object)
    encoded[position % len(encoded)] ^= change
    result = outcome(assess, replace(credential, attestation_object=bytes(encoded)))
    # A change in the certificate's own signature is left to the check of the chain.
    assert isinstance(result, AttestationErrorCode) or result.kind is AttestationKind.BASIC


@given(st.binary(max_size=40))
def test_der_is_read_or_refused(data):
    try:
        elements = read_der(data)
    except (ValueError, IndexError):
        return
    assert sum(len(each.value) + 2 for each in elements) <= len(data)


def test_the_client_data_hash_is_the_one_of_the_stored_bytes():
    assert hashlib.sha256(GOOD["packed"][0].client_data_json).digest() == CLIENT_DATA_HASH
