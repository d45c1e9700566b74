from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from authenticators.errors import AttestationErrorCode
from authenticators.fido2.metadata import CertificationLevel, Metadata, Model, Problem, Status
from authenticators.fido2.policy import AttestationPolicy
from authenticators.fido2.trust import ChainError, read_certificates, verify_chain
from tests.support.attestations import START, Attested, Maker, certificate, name
from tests.support.refusals import refused
from tests.support.webauthn import NOW, ForgedKey

Code = AttestationErrorCode
MAKER, RIVAL = Maker(title="Good Maker"), Maker(title="Rival Maker")
ATTESTED = Attested(key=ForgedKey())
PACKED = ATTESTED.packed(MAKER)
SELF = ATTESTED.packed_self()
NONE = ATTESTED.credential("none", {})
AAGUID = PACKED.aaguid
ROOT, RIVAL_ROOT = MAKER.root, RIVAL.root


def status(name, day=None, certificate=None):
    return Status(name=name, effective=day, certificate=certificate)


def metadata(*statuses, roots=(ROOT,)):
    model = Model(aaguid=AAGUID, description="Good Key", roots=roots, statuses=statuses)
    return Metadata(number=1, next_update=NOW.date(), by_aaguid={AAGUID: model}, by_key_identifier={})


CERTIFIED = metadata(status("FIDO_CERTIFIED_L2"))


def evaluate(policy, credential=PACKED, *, known=None, now=NOW):
    return policy.evaluate(credential, metadata=known, now=now)


@pytest.mark.parametrize("credential", [PACKED, SELF, NONE, replace(PACKED, attestation_object=b"")])
def test_the_default_asks_for_nothing(credential):
    assert evaluate(AttestationPolicy(), credential).trusted_root is None


def test_an_allowed_ca_must_be_reached():
    assert evaluate(AttestationPolicy(allowed_cas=(RIVAL_ROOT, ROOT))).trusted_root == ROOT
    with refused(Code.NOT_TRUSTED):
        evaluate(AttestationPolicy(allowed_cas=(RIVAL_ROOT,)))


def test_without_cas_the_roots_of_the_model_vouch():
    assert evaluate(AttestationPolicy(required=True), known=CERTIFIED).trusted_root == ROOT
    with refused(Code.NOT_TRUSTED):
        evaluate(AttestationPolicy(required=True))
    with refused(Code.NOT_TRUSTED):
        evaluate(AttestationPolicy(required=True), known=metadata(roots=(RIVAL_ROOT,)))


def test_deny_wins_over_allow():
    with refused(Code.CA_DENIED):
        evaluate(AttestationPolicy(allowed_cas=(ROOT,), denied_cas=(ROOT,)))
    with refused(Code.AAGUID_DENIED):
        evaluate(AttestationPolicy(allowed_aaguids=frozenset({AAGUID}), denied_aaguids=frozenset({AAGUID})))


def test_a_denied_ca_is_refused_where_nothing_else_is_asked():
    with refused(Code.CA_DENIED):
        evaluate(AttestationPolicy(denied_cas=(ROOT,)))
    assert evaluate(AttestationPolicy(denied_cas=(RIVAL_ROOT,)))
    assert evaluate(AttestationPolicy(denied_cas=(ROOT,)), NONE)


def test_a_denied_batch_certificate_is_refused_by_itself():
    path = evaluate(AttestationPolicy(allowed_cas=(ROOT,))).report.trust_path
    with refused(Code.CA_DENIED):
        evaluate(AttestationPolicy(denied_cas=path))


def test_a_denied_ca_that_expired_is_still_denied():
    old = Maker(title="Old Maker", key=MAKER.key, years=1)
    with refused(Code.CA_DENIED):
        evaluate(AttestationPolicy(denied_cas=(old.root,)), ATTESTED.packed(old))


def test_an_aaguid_that_is_allowed_must_be_proved_not_just_claimed():
    policy = AttestationPolicy(allowed_aaguids=frozenset({AAGUID}))
    assert evaluate(policy, known=CERTIFIED)
    with refused(Code.NO_ATTESTATION):
        evaluate(policy, NONE, known=CERTIFIED)
    with refused(Code.SELF_ATTESTATION):
        evaluate(policy, SELF, known=CERTIFIED)
    with refused(Code.AAGUID_NOT_ALLOWED):
        evaluate(AttestationPolicy(allowed_aaguids=frozenset({UUID(int=1)})), known=CERTIFIED)


def test_evidence_that_is_missing_proves_nothing():
    with refused(Code.NO_ATTESTATION):
        evaluate(AttestationPolicy(required=True), replace(PACKED, attestation_object=b""), known=CERTIFIED)


def test_a_certification_level_is_asked_of_fresh_metadata():
    policy = AttestationPolicy(minimum_certification=CertificationLevel.L2)
    assert evaluate(policy, known=CERTIFIED).model.description == "Good Key"
    with refused(Code.CERTIFICATION_TOO_LOW):
        evaluate(replace(policy, minimum_certification=CertificationLevel.L3), known=CERTIFIED)
    with refused(Code.METADATA_MISSING):
        evaluate(replace(policy, allowed_cas=(ROOT,)))
    with refused(Code.NOT_IN_METADATA):
        other = ATTESTED.packed(MAKER)
        empty = Metadata(number=1, next_update=NOW.date(), by_aaguid={}, by_key_identifier={})
        evaluate(replace(policy, allowed_cas=(ROOT,)), other, known=empty)


def test_stale_metadata_is_told_and_after_the_grace_refused():
    policy = AttestationPolicy(minimum_certification=CertificationLevel.L1)
    later = NOW + timedelta(days=30)
    assert evaluate(policy, known=CERTIFIED, now=later).metadata_stale
    with refused(Code.METADATA_STALE):
        evaluate(policy, known=CERTIFIED, now=later + timedelta(days=1))


def test_the_model_s_own_root_vouches_for_its_level():
    policy = AttestationPolicy(allowed_cas=(ROOT,), minimum_certification=CertificationLevel.L1)
    with refused(Code.NOT_TRUSTED):
        evaluate(policy, known=metadata(status("FIDO_CERTIFIED_L2"), roots=(RIVAL_ROOT,)))


def test_a_model_revoked_last_night_reaches_a_key_enrolled_years_ago():
    revoked = metadata(status("FIDO_CERTIFIED_L2"), status("REVOKED", NOW.date()))
    assert evaluate(AttestationPolicy(), known=revoked, now=NOW - timedelta(days=1))
    with refused(Code.MODEL_REVOKED):
        evaluate(AttestationPolicy(), known=revoked)


def test_which_problems_count_is_the_policy_s():
    physical = metadata(status("USER_KEY_PHYSICAL_COMPROMISE"))
    assert evaluate(AttestationPolicy(), known=physical)
    with refused(Code.MODEL_COMPROMISED):
        evaluate(AttestationPolicy(refused_problems=frozenset(Problem)), known=physical)
    with refused(Code.MODEL_COMPROMISED):
        evaluate(AttestationPolicy(), known=metadata(status("USER_KEY_REMOTE_COMPROMISE")))


def test_a_certificate_counts_as_of_the_registration():
    old = Maker(title="Old Maker", years=8)
    credential = ATTESTED.packed(old, years=8)
    policy = AttestationPolicy(allowed_cas=(old.root,))
    assert evaluate(policy, credential, now=NOW + timedelta(days=3650))
    late = replace(credential, registered=NOW + timedelta(days=3650))
    with refused(Code.CERTIFICATE_EXPIRED):
        evaluate(policy, late)


def test_a_statement_that_is_wrong_is_refused_with_its_own_code():
    with refused(Code.EVIDENCE_MISMATCH):
        evaluate(AttestationPolicy(allowed_cas=(ROOT,)), replace(PACKED, public_key=ForgedKey().public_cose))


def chain():
    """Return a leaf, an intermediate and a root."""
    root, middle, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    return (
        certificate(name("leaf"), leaf.public_key(), name("middle"), middle),
        certificate(name("middle"), middle.public_key(), name("root"), root, ca=True),
        certificate(name("root"), root.public_key(), name("root"), root, ca=True),
        certificate(name("middle"), middle.public_key(), name("root"), root, ca=False),
    )


LEAF, MIDDLE, TOP, NO_CA = chain()


@pytest.mark.parametrize(
    ("path", "roots", "reached"),
    [
        ([LEAF, MIDDLE], [TOP], TOP),
        ([LEAF, MIDDLE, TOP], [TOP], TOP),
        ([LEAF], [MIDDLE], MIDDLE),
        ([LEAF], [RIVAL_ROOT, LEAF], LEAF),
    ],
)
def test_a_chain_is_followed_to_a_root(path, roots, reached):
    assert verify_chain(path, roots, moment=NOW) == reached


@pytest.mark.parametrize(
    ("path", "roots"),
    [
        ([LEAF], [TOP]),
        ([LEAF, MIDDLE], [RIVAL_ROOT]),
        ([LEAF, MIDDLE, TOP], []),
        ([LEAF, TOP], [TOP]),
        ([LEAF, NO_CA], [TOP]),
        ([], [TOP]),
        ([LEAF] * 7, [TOP]),
        ([b"junk"], [TOP]),
    ],
    ids=["gap", "another root", "no root", "order", "no CA", "empty", "long", "junk"],
)
def test_a_chain_that_does_not_hold_is_refused(path, roots):
    with pytest.raises(ChainError) as caught:
        verify_chain(path, roots, moment=NOW)
    assert not caught.value.expired


def test_an_old_root_that_does_not_call_itself_a_ca_is_believed_and_a_leaf_is_not():
    key, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def plain(subject, issuer):
        """Make a certificate without basic constraints."""
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(1).not_valid_before(START).not_valid_after(START + timedelta(days=9999))
            .sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        )  # fmt: skip

    root, other = plain(name("old"), name("old")), plain(name("old"), name("elsewhere"))
    path = [certificate(name("leaf"), leaf.public_key(), name("old"), key)]
    assert verify_chain(path, [root], moment=NOW) == root
    with pytest.raises(ChainError):
        verify_chain(path, [other], moment=NOW)


def test_an_expired_root_vouches_for_nothing_new():
    old = Maker(title="Old Maker", years=1)
    young = old.leaf(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(ChainError) as caught:
        verify_chain([young], [old.root], moment=NOW)
    assert caught.value.expired


def test_roots_are_read_from_pem():
    pem = b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in (TOP, MIDDLE))
    assert read_certificates(pem) == (TOP, MIDDLE)
