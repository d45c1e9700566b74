"""A maker of authenticators: a root, batch certificates, and attested registrations of each format."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fido2 import cbor

from authenticators.fido2.credential import Credential
from tests.support.webauthn import AT, JOE, NOW, UP, UV, ForgedKey, auth_data, client_data

AAGUID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
APPLE_OID = x509.ObjectIdentifier("1.2.840.113635.100.8.2")
ANDROID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
START = datetime(2020, 1, 1, tzinfo=UTC)


def name(*parts):
    oids = (
        x509.NameOID.COMMON_NAME,
        x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
        x509.NameOID.ORGANIZATION_NAME,
        x509.NameOID.COUNTRY_NAME,
    )
    return x509.Name([x509.NameAttribute(oid, part) for oid, part in zip(oids, parts, strict=False)])


def certificate(subject, public_key, issuer, issuer_key, *, ca=False, years=30, start=START, extensions=()):
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True, kw_only=True)
class Maker:
    """One maker of authenticators with its root."""

    title: str = "Test Maker Root"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    years: int = 30

    @property
    def subject(self):
        return name(self.title, "Authenticator Attestation CA", "Test Maker", "SE")

    @property
    def root(self):
        return certificate(
            self.subject, self.key.public_key(), self.subject, self.key, ca=True, years=self.years
        )

    def leaf(self, public_key, *, extensions=(), years=30, unit="Authenticator Attestation"):
        subject = name("Test Batch", unit, "Test Maker", "SE")
        return certificate(subject, public_key, self.subject, self.key, extensions=extensions, years=years)


def aaguid_extension(aaguid):
    return x509.UnrecognizedExtension(AAGUID_OID, b"\x04\x10" + aaguid)


@dataclass(frozen=True, kw_only=True)
class Attested:
    """One key being registered, and what its statement is made from."""

    key: ForgedKey
    client_data_json: bytes = client_data("create", bytes(32))

    @property
    def data(self):
        return auth_data(flags=UP | UV | AT, counter=0, tail=self.key.attested)

    @property
    def client_data_hash(self):
        return hashlib.sha256(self.client_data_json).digest()

    @property
    def signed(self):
        return self.data + self.client_data_hash

    def credential(self, fmt, statement):
        """Return the credential as it would be stored with this statement."""
        encoded = cbor.encode({"fmt": fmt, "attStmt": statement, "authData": self.data})
        return Credential(
            credential_id=self.key.credential_id,
            public_key=self.key.public_cose,
            user_handle=JOE.handle,
            sign_count=0,
            aaguid=UUID(bytes=self.key.aaguid),
            backup_eligible=False,
            backed_up=False,
            user_verified=True,
            registered=NOW,
            attestation_object=encoded,
            client_data_json=self.client_data_json,
        )

    def packed(self, maker, *, leaf=None, **options):
        batch = ec.generate_private_key(ec.SECP256R1())
        extensions = (aaguid_extension(self.key.aaguid),)
        leaf = leaf or maker.leaf(batch.public_key(), **{"extensions": extensions} | options)
        signature = batch.sign(self.signed, ec.ECDSA(hashes.SHA256()))
        return self.credential("packed", {"alg": -7, "sig": signature, "x5c": [leaf]})

    def packed_self(self):
        return self.credential("packed", {"alg": -7, "sig": self.key.sign(self.signed)})

    def u2f(self, maker, *, extra=()):
        batch = ec.generate_private_key(ec.SECP256R1())
        point = self.key.private.public_key().public_bytes(Encoding.X962, _uncompressed())
        message = b"\0" + self.data[:32] + self.client_data_hash + self.key.credential_id + point
        statement = {
            "sig": batch.sign(message, ec.ECDSA(hashes.SHA256())),
            "x5c": [maker.leaf(batch.public_key()), *extra],
        }
        return self.credential("fido-u2f", statement)

    def apple(self, maker, *, public_key=None):
        nonce = hashlib.sha256(self.signed).digest()
        extension = x509.UnrecognizedExtension(APPLE_OID, b"\x30\x24\xa1\x22\x04\x20" + nonce)
        leaf = maker.leaf(public_key or self.key.private.public_key(), extensions=(extension,))
        return self.credential("apple", {"x5c": [leaf]})

    def android(self, maker, description=None, *, public_key=None):
        description = key_description(self.client_data_hash) if description is None else description
        extension = x509.UnrecognizedExtension(ANDROID_OID, description)
        leaf = maker.leaf(public_key or self.key.private.public_key(), extensions=(extension,))
        return self.credential("android-key", {"alg": -7, "sig": self.key.sign(self.signed), "x5c": [leaf]})


def _uncompressed():
    from cryptography.hazmat.primitives.serialization import PublicFormat  # noqa: PLC0415 -- one use

    return PublicFormat.UncompressedPoint


def der(tag, *contents):
    content = b"".join(contents)
    length = bytes([len(content)]) if len(content) < 128 else b"\x81" + bytes([len(content)])
    return bytes.fromhex(tag) + length + content


PURPOSE_SIGN = der("a1", der("31", der("02", b"\x02")))
ORIGIN_GENERATED = der("bf853e", der("02", b"\x00"))
ALL_APPLICATIONS = der("bf8458", der("05"))


def key_description(challenge, *, software=b"", hardware=PURPOSE_SIGN + ORIGIN_GENERATED):
    """Return an Android KeyDescription (keymaster 3, in a trusted environment)."""
    return der(
        "30",
        der("02", b"\x03"),
        der("0a", b"\x01"),
        der("02", b"\x04"),
        der("0a", b"\x01"),
        der("04", challenge),
        der("04"),
        der("30", software),
        der("30", hardware),
    )
