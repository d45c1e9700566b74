"""The test vectors of WebAuthn Level 3, each with what it must come to."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from authenticators.errors import AttestationErrorCode, WebAuthnErrorCode
from authenticators.fido2.attestation import assess
from authenticators.fido2.ceremony import AuthenticationState
from authenticators.fido2.public_key import SUPPORTED
from authenticators.fido2.relying_party import Authenticated, RelyingParty, User
from authenticators.fido2.trust import verify_chain
from tests.support.refusals import outcome
from tests.support.webauthn import NOW, envelope

FILE = json.loads((Path(__file__).parents[2] / "vectors/webauthn/level3.json").read_text())
ROOT = bytes.fromhex(FILE["attestation_ca_cert"])
ACCEPTED = [each for each in FILE["vectors"] if each["expect"]["framed_by_top_origin"] == "accepted"]
USER = User(handle=b"user", name="user", display_name="User")


def relying_party(*top_origins):
    return RelyingParty(
        rp_id=FILE["rp_id"],
        name="Vectors",
        origins=frozenset({FILE["origin"]}),
        top_origins=frozenset(top_origins),
        algorithms=tuple(SUPPORTED),
    )


def register(rp, vector):
    made = {name: bytes.fromhex(value) for name, value in vector["registration"].items()}
    _, state = rp.begin_registration(user=USER, now=NOW, challenge=made["challenge"])
    response = envelope(
        made["credential_id"],
        clientDataJSON=made["clientDataJSON"],
        attestationObject=made["attestationObject"],
    )
    return rp.complete_registration(state, json.dumps(response), now=NOW)


def authenticate(rp, vector, credential):
    made = {name: bytes.fromhex(value) for name, value in vector["authentication"].items()}
    state = AuthenticationState(
        challenge=made["challenge"],
        issued=NOW,
        expires=NOW + timedelta(seconds=60),
        scope="",
        user_handle=USER.handle,
        user_verification="preferred",
        allow=(credential.credential_id,),
        app_id=None,
    )
    response = envelope(
        credential.credential_id,
        clientDataJSON=made["clientDataJSON"],
        authenticatorData=made["authenticatorData"],
        signature=made["signature"],
    )
    return rp.complete_authentication(state, json.dumps(response), lookup=lambda _: credential, now=NOW)


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda vector: vector["name"])
@pytest.mark.parametrize("framing", ["unframed", "framed_by_top_origin"])
def test_a_vector_comes_to_what_its_file_expects(vector, framing):
    rp = relying_party() if framing == "unframed" else relying_party(FILE["top_origin"])
    expected = vector["expect"][framing]
    registered = outcome(register, rp, vector)
    if expected != "accepted":
        assert registered is WebAuthnErrorCode(expected)
        return
    assert registered.attestation_format == vector["expect"]["format"]
    assert registered.credential.credential_id.hex() == vector["registration"]["credential_id"]
    assert isinstance(authenticate(rp, vector, registered.credential), Authenticated)


def test_all_fifteen_vectors_are_there():
    assert len(FILE["vectors"]) == 15


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: vector["name"])
def test_the_attestation_of_a_vector_comes_to_what_its_file_expects(vector):
    credential = register(relying_party(FILE["top_origin"]), vector).credential
    report = outcome(assess, credential)
    if isinstance(report, AttestationErrorCode):
        assert report == vector["expect"]["attestation"]
        return
    assert report.kind == vector["expect"]["attestation"]
    assert report.format == vector["expect"]["format"]
    if report.trust_path:
        assert verify_chain(report.trust_path, [ROOT], moment=NOW) == ROOT
