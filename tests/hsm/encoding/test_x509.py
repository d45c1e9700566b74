"""X.509 certificates whose signature was made elsewhere, judged by cryptography and openssl."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from hsm import softkey
from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.encoding import x509 as x509_encoding


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_signature_of_every_algorithm_fits(algorithm):
    key = softkey.generate(algorithm)
    blob = public_key.dump(key.public_key())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 60)])
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5, begin, end)
    unsigned = x509_encoding.prepare(builder, blob)
    made = x509.load_der_x509_certificate(unsigned.finish(softkey.sign(key, unsigned.to_be_signed)))
    made.verify_directly_issued_by(made)
    assert made.tbs_certificate_bytes == unsigned.to_be_signed
