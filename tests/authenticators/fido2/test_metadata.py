import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import MetadataErrorCode
from authenticators.fido2.metadata import CertificationLevel, Problem, parse_metadata, read_metadata
from authenticators.fido2.wire import encode_base64url
from tests.support.attestations import Maker, certificate, name
from tests.support.refusals import outcome, refused

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
AAGUID = UUID(bytes=bytes(range(16)))
MAKER = Maker()
ROOT = MAKER.root
FIDO = "mds.fidoalliance.org"


def status(name, effective="2020-01-01", **more):
    return {"status": name, "effectiveDate": effective} | more


def entry(*statuses, aaguid=AAGUID, **more):
    """Return a payload entry as the FIDO Alliance writes it, with what a relying party reads."""
    statement = {
        "description": "Test Key 5",
        "authenticatorVersion": 1,
        "schema": 3,
        "upv": [{"major": 1, "minor": 0}],
        "attestationTypes": ["basic_full"],
        "userVerificationDetails": [[{"userVerificationMethod": "passcode_external"}]],
        "keyProtection": ["hardware"],
        "matcherProtection": ["on_chip"],
        "attachmentHint": ["external"],
        "tcDisplay": [],
        "attestationRootCertificates": [base64.b64encode(ROOT).decode()],
    }
    named = {"aaguid": str(aaguid)} if aaguid else {}
    return (
        {
            "metadataStatement": statement,
            "statusReports": list(statuses),
            "timeOfLastStatusChange": "2020-01-01",
        }
        | named
        | more
    )


@dataclass(frozen=True, kw_only=True)
class Service:
    """A metadata service with its own root."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    root_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def root(self):
        subject = name("Metadata Root")
        return certificate(subject, self.root_key.public_key(), subject, self.root_key, ca=True)

    def leaf(self, host=FIDO, years=30):
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        return certificate(
            name(host),
            self.key.public_key(),
            name("Metadata Root"),
            self.root_key,
            extensions=(names,),
            years=years,
        )

    def blob(self, *entries, number=7, next_update="2026-12-01", header=None, leaf=None, payload=None):
        header = {"alg": "ES256", "x5c": [base64.b64encode(leaf or self.leaf()).decode()]} | (header or {})
        payload = payload or {
            "legalHeader": "x",
            "no": number,
            "nextUpdate": next_update,
            "entries": list(entries),
        }
        message = b".".join(
            encode_base64url(json.dumps(part).encode()).encode() for part in (header, payload)
        )
        r, s = decode_dss_signature(self.key.sign(message, ec.ECDSA(hashes.SHA256())))
        return message + b"." + encode_base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big")).encode()


SERVICE = Service()
BLOB = SERVICE.blob(entry(status("FIDO_CERTIFIED_L1")))


def parse(blob, **options):
    return parse_metadata(blob, [SERVICE.root], **{"now": NOW} | options)


def test_a_signed_blob_is_read_from_a_file(tmp_path):
    path = tmp_path / "blob.jwt"
    path.write_bytes(BLOB + b"\n")
    metadata = read_metadata(path, [SERVICE.root], now=NOW)
    assert metadata.number == 7
    model = metadata.find(AAGUID)
    assert model.description == "Test Key 5"
    assert model.roots == (ROOT,)
    assert metadata.find(UUID(int=5)) is None


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path):
    with refused(MetadataErrorCode.UNREADABLE):
        read_metadata(tmp_path / "none", [SERVICE.root], now=NOW)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with refused(MetadataErrorCode.TOO_LARGE):
        read_metadata(large, [SERVICE.root], now=NOW)


def test_a_u2f_model_is_found_by_the_key_in_its_path():
    batch = ec.generate_private_key(ec.SECP256R1()).public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(batch).digest
    blob = SERVICE.blob(entry(aaguid=None, attestationCertificateKeyIdentifiers=[identifier.hex()]))
    assert parse(blob).find(UUID(int=0), [MAKER.leaf(batch)]).description == "Test Key 5"
    assert parse(blob).find(UUID(int=0), [MAKER.root]) is None


def changed(blob, place):
    parts = blob.split(b".")
    parts[place] = parts[place][:-6] + (b"AAAAAA" if parts[place][-6:] != b"AAAAAA" else b"BBBBBB")
    return b".".join(parts)


OTHER = Service()
BAD = {
    "another root": (OTHER.blob(), {}, MetadataErrorCode.UNTRUSTED_CHAIN),
    "another signer": (OTHER.blob(leaf=SERVICE.leaf()), {}, MetadataErrorCode.BAD_SIGNATURE),
    "changed signature": (changed(BLOB, 2), {}, MetadataErrorCode.BAD_SIGNATURE),
    "short signature": (BLOB.rsplit(b".", 1)[0] + b".AAAA", {}, MetadataErrorCode.BAD_SIGNATURE),
    "another name": (SERVICE.blob(leaf=SERVICE.leaf("evil.example")), {}, MetadataErrorCode.WRONG_SIGNER),
    "no name": (
        SERVICE.blob(
            leaf=certificate(name("x"), SERVICE.key.public_key(), name("Metadata Root"), SERVICE.root_key)
        ),
        {},
        MetadataErrorCode.WRONG_SIGNER,
    ),
    "expired signer": (SERVICE.blob(leaf=SERVICE.leaf(years=1)), {}, MetadataErrorCode.CERTIFICATE_EXPIRED),
    "no algorithm": (SERVICE.blob(header={"alg": "none"}), {}, MetadataErrorCode.ALGORITHM_NOT_ALLOWED),
    "HMAC": (SERVICE.blob(header={"alg": "HS256"}), {}, MetadataErrorCode.ALGORITHM_NOT_ALLOWED),
    "another key type": (SERVICE.blob(header={"alg": "RS256"}), {}, MetadataErrorCode.BAD_SIGNATURE),
    "no chain": (SERVICE.blob(header={"x5c": None}), {}, MetadataErrorCode.MALFORMED),
    "empty chain": (SERVICE.blob(header={"x5c": []}), {}, MetadataErrorCode.UNTRUSTED_CHAIN),
    "junk chain": (SERVICE.blob(header={"x5c": ["!"]}), {}, MetadataErrorCode.MALFORMED),
    "two parts": (b"a.b", {}, MetadataErrorCode.MALFORMED),
    "not JSON": (b"YQ.YQ.YQ", {}, MetadataErrorCode.MALFORMED),
    "a list": (b"W10.W10.YQ", {}, MetadataErrorCode.MALFORMED),
    "no entries": (SERVICE.blob(payload={"no": 1}), {}, MetadataErrorCode.MALFORMED),
    "a date that is none": (SERVICE.blob(next_update="soon"), {}, MetadataErrorCode.MALFORMED),
    "an older number": (BLOB, {"last_number": 8}, MetadataErrorCode.WENT_BACK),
}


@pytest.mark.parametrize("case", BAD)
def test_a_blob_that_cannot_be_trusted_is_refused(case):
    blob, options, code = BAD[case]
    with refused(code):
        parse(blob, **options)


def test_a_private_root_signs_under_any_name():
    assert parse(SERVICE.blob(leaf=SERVICE.leaf("intranet")), signer=None).number == 7


def test_the_same_number_may_be_read_again():
    assert parse(BLOB, last_number=7)


def test_it_is_stale_after_its_next_update_and_the_grace():
    metadata = parse(BLOB)
    assert not metadata.is_stale(date(2026, 12, 1))
    assert metadata.is_stale(date(2026, 12, 2))
    assert not metadata.is_stale(date(2026, 12, 2), grace=timedelta(days=1))


def model_with(*statuses):
    return parse(SERVICE.blob(entry(*statuses))).find(AAGUID)


def test_the_newest_certification_in_force_counts():
    model = model_with(
        status("FIDO_CERTIFIED_L2", "2022-01-01"),
        status("FIDO_CERTIFIED_L1", "2020-01-01"),
        status("FIDO_CERTIFIED_L3", "2030-01-01"),
    )
    assert model.certification(TODAY) is CertificationLevel.L2
    assert model.certification(date(2021, 1, 1)) is CertificationLevel.L1
    assert model.certification(date(2019, 1, 1)) is CertificationLevel.NONE
    withdrawn = model_with(status("FIDO_CERTIFIED_L2"), status("NOT_FIDO_CERTIFIED", "2024-01-01"))
    assert withdrawn.certification(TODAY) is CertificationLevel.NONE


@pytest.mark.parametrize("problem", Problem)
def test_a_problem_counts_from_its_day_on(problem):
    model = model_with(status("FIDO_CERTIFIED_L1"), status(problem.value, "2026-11-20"))
    assert model.problems(TODAY) == {problem}
    assert model.problems(date(2026, 11, 19)) == frozenset()


def test_a_compromise_of_one_batch_touches_only_keys_of_that_batch():
    bad = MAKER.leaf(ec.generate_private_key(ec.SECP256R1()).public_key())
    good = MAKER.leaf(ec.generate_private_key(ec.SECP256R1()).public_key())
    report = status("ATTESTATION_KEY_COMPROMISE", certificate=base64.b64encode(bad).decode())
    model = model_with(report)
    assert model.problems(TODAY, [bad]) == {Problem.ATTESTATION_KEY_COMPROMISE}
    assert model.problems(TODAY, [good]) == frozenset()


def test_a_status_of_the_future_that_nobody_knows_is_passed_over():
    assert model_with(status("QUANTUM_CERTIFIED"), status("FIDO_CERTIFIED")).certification(TODAY) == 10


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_a_code(data):
    assert isinstance(outcome(parse, data), MetadataErrorCode)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, 5000), st.integers(1, 255))
def test_a_blob_with_any_byte_changed_is_refused(position, change):
    data = bytearray(BLOB)
    data[position % len(data)] ^= change
    assert isinstance(outcome(parse, bytes(data)), MetadataErrorCode)
