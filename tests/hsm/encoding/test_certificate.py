"""Our certificates against the software that will read them: ssh-keygen, asyncssh, cryptography."""

from __future__ import annotations

import subprocess

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm import softkey
from hsm.algorithm import Algorithm
from hsm.encoding import certificate, public_key
from hsm.encoding.certificate import CertificateKind, SshCertificate
from hsm.encoding.wire import Reader, mpint, string
from hsm.errors import Malformed

CA_KEYS = {algorithm: softkey.generate(algorithm) for algorithm in Algorithm}
_ED25519 = ed25519.Ed25519PrivateKey.generate().public_key()
_P256 = ec.generate_private_key(ec.SECP256R1()).public_key()
_P521 = asyncssh.generate_private_key("ecdsa-sha2-nistp521").public_data


def _sk(kind, blob):
    return string(kind) + blob[4 + Reader(blob).uint32() :] + string(b"ssh:")


SUBJECTS = {
    "ed25519": public_key.dump(_ED25519),
    "p256": public_key.dump(_P256),
    "p384": public_key.dump(ec.generate_private_key(ec.SECP384R1()).public_key()),
    "p521": _P521,
    "rsa2048": public_key.dump(rsa.generate_private_key(65537, 2048).public_key()),
    "sk-ed25519": _sk(b"sk-ssh-ed25519@openssh.com", public_key.dump(_ED25519)),
    "sk-ecdsa": _sk(b"sk-ecdsa-sha2-nistp256@openssh.com", public_key.dump(_P256)),
}


def make(ca=Algorithm.ED25519, subject="ed25519", **changes):
    fields = {
        "kind": CertificateKind.USER,
        "nonce": bytes(32),
        "public_key": SUBJECTS[subject],
        "serial": 7,
        "key_id": "joe",
        "principals": ("joe", "root"),
        "valid_after": 1_700_000_000,
        "valid_before": 1_700_003_600,
        "critical_options": (("source-address", "10.0.0.0/8"), ("verify-required", "")),
        "extensions": (("permit-port-forwarding", ""), ("permit-pty", "")),
        "signing_key": public_key.dump(CA_KEYS[ca].public_key()),
        **changes,
    }
    says = SshCertificate(**fields)
    to_be_signed = says.to_be_signed()
    return says, certificate.finish(to_be_signed, softkey.sign(CA_KEYS[ca], to_be_signed))


def ssh_keygen(tmp_path, blob):
    path = tmp_path / "key-cert.pub"
    path.write_text(certificate.openssh_line(blob) + "\n")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", str(path)], capture_output=True, text=True, check=True)
    return [line.strip() for line in shown.stdout.splitlines()]


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("ca", [Algorithm.ED25519, Algorithm.P256, Algorithm.P384, Algorithm.RSA3072])
def test_ssh_keygen_reads_every_kind_of_subject_under_every_kind_of_ca(tmp_path, ca, subject):
    says, blob = make(ca, subject)
    shown = ssh_keygen(tmp_path, blob)
    assert 'Key ID: "joe"' in shown
    assert "Serial: 7" in shown
    assert shown[shown.index("Principals:") + 1 : shown.index("Critical Options:")] == ["joe", "root"]
    assert shown[shown.index("Critical Options:") + 1] == "source-address 10.0.0.0/8"
    assert shown[-2:] == ["permit-port-forwarding", "permit-pty"]
    assert any(public_key.fingerprint(says.signing_key) in line for line in shown)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_asyncssh_verifies_every_kind_of_subject(subject):
    _, blob = make(Algorithm.P256, subject, critical_options=())
    read = asyncssh.import_certificate(certificate.openssh_line(blob))
    assert read.key.public_data == SUBJECTS[subject]
    assert read.principals == ["joe", "root"]


@pytest.mark.parametrize("ca", Algorithm)
def test_cryptography_verifies_the_signature_of_every_kind_of_ca(ca):
    _, blob = make(ca, "ed25519")
    read = load_ssh_public_identity(certificate.openssh_line(blob).encode())
    assert isinstance(read, SSHCertificate)
    read.verify_cert_signature()
    assert read.serial == 7
    assert read.critical_options == {b"source-address": b"10.0.0.0/8", b"verify-required": b""}


names = st.from_regex(r"[a-z_][a-z0-9._-]{0,31}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=60)
pairs = st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1, max_size=20), texts, max_size=5)
times = st.integers(0, 2**64 - 1)


@settings(max_examples=150)
@given(
    subject=st.sampled_from(list(SUBJECTS)),
    kind=st.sampled_from(CertificateKind),
    nonce=st.binary(min_size=16, max_size=40),
    serial=times,
    key_id=texts,
    principals=st.lists(names, max_size=6),
    life=st.tuples(times, times),
    critical=pairs,
    extensions=pairs,
)
def test_what_is_written_is_read_back(
    *, subject, kind, nonce, serial, key_id, principals, life, critical, extensions
):
    says, blob = make(
        Algorithm.ED25519,
        subject,
        kind=kind,
        nonce=nonce,
        serial=serial,
        key_id=key_id,
        principals=tuple(principals),
        valid_after=life[0],
        valid_before=life[1],
        critical_options=tuple(sorted(critical.items())),
        extensions=tuple(sorted(extensions.items())),
    )
    parsed = certificate.parse(blob)
    assert parsed.says == says
    assert parsed.signed_bytes == says.to_be_signed()


@settings(max_examples=100)
@given(
    serial=st.integers(0, 2**63),
    key_id=texts,
    principals=st.lists(names, min_size=1, max_size=6),
    extensions=pairs,
)
def test_cryptography_reads_the_same_as_we_wrote(serial, key_id, principals, extensions):
    _, blob = make(
        serial=serial,
        key_id=key_id,
        principals=tuple(principals),
        critical_options=(),
        extensions=tuple(extensions.items()),
    )
    read = load_ssh_public_identity(certificate.openssh_line(blob).encode())
    assert isinstance(read, SSHCertificate)
    read.verify_cert_signature()
    assert (read.serial, read.key_id.decode()) == (serial, key_id)
    assert [name.decode() for name in read.valid_principals] == principals
    assert {name.decode(): value.decode() for name, value in read.extensions.items()} == extensions


@settings(max_examples=200)
@given(at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_a_changed_certificate_is_malformed_or_says_something_else(at, bits):
    says, blob = make()
    at %= len(blob)
    changed = blob[:at] + bytes((blob[at] ^ bits,)) + blob[at + 1 :]
    try:
        parsed = certificate.parse(changed)
    except Malformed:
        return
    assert (parsed.says, parsed.signature) != (says, certificate.parse(blob).signature)


@given(st.binary(max_size=400))
def test_the_parser_takes_any_bytes_without_another_error(data):
    with pytest.raises(Malformed):
        certificate.parse(data)


@given(st.integers(0, 2**600))
def test_integers_are_written_as_the_standard_says(value):
    assert Reader(mpint(value)).mpint() == value
    assert asyncssh.packet.MPInt(value) == mpint(value)


@pytest.mark.parametrize(
    "blob",
    [
        string(b"ssh-dss") + mpint(5) * 4,
        public_key.dump(_ED25519) + b"\x00",
        public_key.dump(_ED25519)[:-1],
        string(b"ssh-ed25519") + string(bytes(32)),
        string(b"ssh-ed25519") + string(b"\x01" + bytes(31)),
        string(b"ssh-ed25519")
        + string(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85")),
        string(b"ecdsa-sha2-nistp256") + string(b"nistp384") + string(b"\x04" + bytes(64)),
        string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\x04" + bytes(64)),
        string(b"ssh-rsa") + mpint(65537) + mpint(2**1023 + 1),
        _sk(b"sk-ssh-ed25519@openssh.com", public_key.dump(_ED25519))[:-4] + b"web:",
        make()[1],
        b"",
    ],
    ids=[
        "DSA",
        "something behind",
        "cut short",
        "zero point",
        "point of order one",
        "point of order eight",
        "two curves",
        "off the curve",
        "short RSA",
        "not for SSH",
        "a certificate",
        "nothing",
    ],
)
def test_unsound_keys_are_not_certified(blob):
    with pytest.raises(Malformed):
        public_key.check_subject(blob)


def test_the_points_that_are_refused_are_those_of_small_order():
    from hsm.encoding.public_key import _SMALL_ORDER_Y  # noqa: PLC0415

    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p

    def double(y):
        """The y of twice a point of that y (RFC 8032 §5.1.4), by the curve's equation."""
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        return (y * y + x2) * pow(1 - d * x2 * y * y % p, -1, p) % p

    for y in _SMALL_ORDER_Y:
        assert double(double(double(y))) == 1
