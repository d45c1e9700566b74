"""An approval is a WebAuthn assertion that anyone with the public key can check again, years later."""

import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.domain import codec
from appliance.requests.canonical import request_digest, review_digest
from appliance.requests.model import AccessRequest, RequestState, SignedReview, Verdict
from appliance.requests.use import approvals_to_verify, approved_by
from authenticators.fido2.ceremony import derive_challenge
from authenticators.fido2.wire import decode_base64url, encode_base64url
from tests.support.requests import KNOWN, asked, reviewed
from tests.support.roles import NOW, role
from tests.support.webauthn import JOE, RP, ForgedKey, enrolled

SIGNED = KNOWN | {"elevated-access": role("elevated-access", approval="signed")}
NONCE = bytes(range(16))
KEYS = {name: ForgedKey(credential_id=f"key of {name}".encode()) for name in ("alice", "ivan")}


def assertion(request, name, verdict=Verdict.APPROVE):
    """Go through the relying party's ceremony as the reviews page does."""
    key = KEYS[name]
    credential = enrolled(key)
    challenge = derive_challenge(digest=review_digest(request_digest(request), name, verdict), nonce=NONCE)
    _, state = RP.begin_authentication(
        now=NOW, credentials=[credential], user_handle=JOE.handle, challenge=challenge, scope="review"
    )
    answer = key.authenticate(state.challenge)
    finder = {credential.credential_id: credential}.get
    assert RP.complete_authentication(state, answer, lookup=finder, now=NOW, scope="review")
    given = {field: decode_base64url(value) for field, value in answer["response"].items()}
    return SignedReview(
        nonce=NONCE,
        credential_id=key.credential_id,
        authenticator_data=given["authenticatorData"],
        client_data_json=given["clientDataJSON"],
        signature=given["signature"],
    )


def verified(request):
    """Check every approval with nothing but public keys, as an auditor or the signer does."""
    good = set()
    for one in approvals_to_verify(request):
        challenge = derive_challenge(digest=one.review_digest, nonce=one.signed.nonce)
        said = json.loads(one.signed.client_data_json)
        signed = one.signed.authenticator_data + hashlib.sha256(one.signed.client_data_json).digest()
        try:
            KEYS[one.reviewer].private.public_key().verify(
                one.signed.signature, signed, ec.ECDSA(hashes.SHA256())
            )
        except InvalidSignature:
            continue
        if said["challenge"] == encode_base64url(challenge) and said["type"] == "webauthn.get":
            good.add(one.reviewer)
    return good


def approved():
    request = asked(known=SIGNED, reason="disk is full")
    for name in KEYS:
        request = reviewed(request, name, signed=assertion(request, name))
    return request


def test_two_signed_approvals_carry_the_request_also_after_the_store_gave_it_back():
    request = codec.loads(AccessRequest, codec.dumps(approved()))
    assert request.state is RequestState.APPROVED
    assert verified(request) == {"alice", "ivan"}
    assert approved_by(request, verified(request))


@pytest.mark.parametrize(
    "change",
    [
        {"user": "eve"},
        {"reason": "something else"},
        {"resources": ("every-node",)},
        {"cluster": "elsewhere"},
        {"revision": 2},
        {"access_expires_at": NOW.replace(year=2027)},
        {"thresholds": ()},
    ],
)
def test_an_edited_row_grants_nothing(change):
    edited = replace(approved(), **change)
    assert verified(edited) == set()
    assert not approved_by(edited, verified(edited))


def test_a_denial_shown_as_an_approval_or_a_borrowed_signature_does_not_verify():
    request = asked(known=SIGNED)
    denied = reviewed(request, "alice", Verdict.DENY, signed=assertion(request, "alice", Verdict.DENY))
    turned = replace(denied, reviews=(replace(denied.reviews[0], verdict=Verdict.APPROVE),))
    assert verified(turned) == set()
    lent = reviewed(request, "ivan", signed=assertion(request, "alice"))
    assert verified(lent) == set()


def test_an_approval_invented_in_the_store_does_not_count():
    request = asked(known=SIGNED)
    once = reviewed(request, "alice", signed=assertion(request, "alice"))
    invented = replace(once.reviews[0], reviewer="ivan")
    forged = replace(once, reviews=(*once.reviews, invented), state=RequestState.APPROVED)
    assert verified(forged) == {"alice"}
    assert not approved_by(forged, verified(forged))
