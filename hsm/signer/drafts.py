"""From a request to the bytes that will be signed, and from the signature to the answer.

A `Draft` is linted when it is made and linted again when it is finished: the finished certificate is
read back by a separate parser and has to say exactly what was asked.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hsm.encoding import certificate, public_key
from hsm.encoding import x509 as x509_encoding
from hsm.encoding.signature import Signature
from hsm.errors import Malformed, TokenFault
from hsm.signer import lint, note
from hsm.signer.limits import CertificateLimits
from hsm.signer.protocol import (
    Answer,
    Ca,
    Code,
    Issued,
    Option,
    PublicKey,
    SignCaCertificate,
    SignCheckpoint,
    SignedNote,
    SignerError,
    SignHostCertificate,
    SignUserCertificate,
    SignX509,
    Usage,
)

Finish = Callable[[Signature, int], Answer]
NONCE_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be signed by which key, what the ledger says of it, and how the answer is made.

    `finish` takes the signature and the ledger entry's number; it raises `TokenFault` if the finished
    thing does not say what was asked.
    """

    key: PublicKey
    to_be_signed: bytes
    kind: str
    entry: Mapping[str, Any]
    finish: Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the signer itself adds to a request: limits, serial number, nonce, time, cluster."""

    limits: CertificateLimits
    serial: int
    nonce: bytes
    now: int
    cluster: str


def ssh_user(request: SignUserCertificate, key: PublicKey, terms: Terms) -> Draft:
    """Draft a user certificate."""
    if request.ca not in {Ca.USER, Ca.OPENSSH}:
        raise SignerError(Code.REFUSED, f"the {request.ca} CA makes no user certificates")
    lint.user_principals(request.principals, terms.limits)
    lint.options(request.critical_options, request.extensions, terms.limits)
    _lint_common(request, terms)
    return _ssh(
        key,
        certificate.SshCertificate(
            kind=certificate.CertificateKind.USER,
            nonce=terms.nonce,
            public_key=request.public_key,
            serial=terms.serial,
            key_id=request.key_id,
            principals=request.principals,
            valid_after=request.valid_after,
            valid_before=request.valid_before,
            critical_options=_pairs(request.critical_options),
            extensions=_pairs(request.extensions),
            signing_key=key.public_key,
        ),
    )


def ssh_host(request: SignHostCertificate, key: PublicKey, terms: Terms) -> Draft:
    """Draft a host certificate."""
    lint.host_principals(request.principals, terms.limits)
    _lint_common(request, terms)
    return _ssh(
        key,
        certificate.SshCertificate(
            kind=certificate.CertificateKind.HOST,
            nonce=terms.nonce,
            public_key=request.public_key,
            serial=terms.serial,
            key_id=request.key_id,
            principals=request.principals,
            valid_after=request.valid_after,
            valid_before=request.valid_before,
            critical_options=(),
            extensions=(),
            signing_key=key.public_key,
        ),
    )


def _lint_common(request: SignUserCertificate | SignHostCertificate, terms: Terms) -> None:
    lint.subject_key(request.public_key)
    lint.key_id(request.key_id)
    lint.life(request.valid_after, request.valid_before, terms.limits, terms.now)
    lint.refuse_unless(request.public_key, "there is no key to certify")


def _pairs(options: tuple[Option, ...]) -> certificate.Options:
    return tuple(sorted((option.name, option.value) for option in options))


def _ssh(key: PublicKey, says: certificate.SshCertificate) -> Draft:
    lint.refuse_unless(says.public_key != key.public_key, "a CA does not certify itself")
    to_be_signed = says.to_be_signed()

    def finish(signature: Signature, entry: int) -> Issued:
        blob = certificate.finish(to_be_signed, signature)
        parsed = certificate.parse(blob)
        if parsed.says != says or parsed.signature != signature.ssh:
            raise TokenFault("the finished certificate does not say what was asked")
        return Issued(serial=says.serial, certificate=blob, entry=entry)

    entry = {
        "ca": key.ca,
        "generation": key.generation,
        "serial": str(says.serial),
        "key_id": says.key_id,
        "subject": public_key.fingerprint(says.public_key),
        "principals": says.principals,
        "from": says.valid_after,
        "to": says.valid_before,
    }
    return _draft(key, to_be_signed, entry, finish)


def _draft(key: PublicKey, to_be_signed: bytes, entry: dict[str, Any], finish: Finish) -> Draft:
    entry["sha256"] = hashlib.sha256(to_be_signed).hexdigest()
    return Draft(key=key, to_be_signed=to_be_signed, kind="sign", entry=entry, finish=finish)


# -- X.509


def ca_name(cluster: str, key: PublicKey) -> x509.Name:
    """Return the name that a generation of the X.509 CA has, as subject and as issuer."""
    return x509.Name(
        (
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Sallyport {key.ca} CA {key.generation}"),
        )
    )


def x509_leaf(request: SignX509, key: PublicKey, terms: Terms) -> Draft:
    """Draft an end-entity certificate."""
    lint.x509_names(request, terms.limits)
    lint.life(request.valid_after, request.valid_before, terms.limits, terms.now)
    subject_key = _subject_key(request.public_key)
    lint.refuse_unless(public_key_der(key) != request.public_key, "a CA does not certify itself")
    builder = _builder(ca_name(terms.cluster, key), _subject(request), subject_key, terms.serial, request)
    for extension, critical in _leaf_extensions(request, subject_key, key):
        builder = builder.add_extension(extension, critical=critical)
    names = [request.common_name, *request.dns_names, *request.ip_addresses, *request.uris]
    return _x509(key, builder, request, names, terms.serial)


def x509_ca(request: SignCaCertificate, key: PublicKey, terms: Terms) -> Draft:
    """Draft the self-signed certificate of the CA's own key; it may live ten years."""
    lint.life(request.valid_after, request.valid_before, _for_ca(terms.limits), terms.now)
    name, own = ca_name(terms.cluster, key), public_key.load(key.public_key)
    builder = _builder(name, name, own, terms.serial, request)
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage(sign_certificates=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(own), False),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return _x509(key, builder, request, [f"CA {key.generation}"], terms.serial)


CA_LIFE = timedelta(days=3653)


def _for_ca(limits: CertificateLimits) -> CertificateLimits:
    return CertificateLimits(longest_life=int(CA_LIFE.total_seconds()), backdate=limits.backdate)


def public_key_der(key: PublicKey) -> bytes:
    """Return a CA's public key as SubjectPublicKeyInfo, DER."""
    return public_key.load(key.public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _subject_key(der: bytes) -> public_key.SigningPublicKey:
    """Read the key to be certified; Ed25519, P-256, P-384 or RSA of at least 2048 bits."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignerError(Code.LIMIT, "the key to be certified is not one") from error
    match key:
        case rsa.RSAPublicKey() if key.key_size in public_key.RSA_BITS:
            return key
        case ed25519.Ed25519PublicKey() | ec.EllipticCurvePublicKey():
            lint.subject_key(_dump(key))
            return key
        case _:
            raise SignerError(Code.LIMIT, "keys of that kind are not certified")


def _dump(key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey) -> bytes:
    try:
        return public_key.dump(key)
    except Malformed as error:
        raise SignerError(Code.LIMIT, f"the key to be certified is refused: {error}") from error


def _subject(request: SignX509) -> x509.Name:
    return x509.Name(
        (
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in request.organisations),
            x509.NameAttribute(NameOID.COMMON_NAME, request.common_name),
        )
    )


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    key: public_key.SigningPublicKey,
    serial: int,
    life: SignX509 | SignCaCertificate,
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=serial,
        not_valid_before=datetime.fromtimestamp(life.valid_after, UTC),
        not_valid_after=datetime.fromtimestamp(life.valid_before, UTC),
    )


def _leaf_extensions(
    request: SignX509, subject_key: public_key.SigningPublicKey, key: PublicKey
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    usages = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}
    names = x509.SubjectAlternativeName(
        [
            *map(x509.DNSName, request.dns_names),
            *(x509.IPAddress(ipaddress.ip_address(name)) for name in request.ip_addresses),
            *map(x509.UniformResourceIdentifier, request.uris),
        ]
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key.load(key.public_key))
    fixed: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(sign_certificates=False), True),
        (x509.ExtendedKeyUsage([usages[usage] for usage in request.usages]), False),
        (x509.SubjectKeyIdentifier.from_public_key(subject_key), False),
        (issuer, False),
    )
    return (*fixed, (names, False)) if list(names) else fixed


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _x509(
    key: PublicKey,
    builder: x509.CertificateBuilder,
    request: SignX509 | SignCaCertificate,
    names: list[str],
    serial: int,
) -> Draft:
    unsigned = x509_encoding.prepare(builder, key.public_key)

    def finish(signature: Signature, entry: int) -> Issued:
        der = unsigned.finish(signature)
        parsed = x509.load_der_x509_certificate(der)
        if parsed.tbs_certificate_bytes != unsigned.to_be_signed or parsed.serial_number != serial:
            raise TokenFault("the finished certificate does not say what was asked")
        return Issued(serial=serial, certificate=der, entry=entry)

    entry = {
        "ca": key.ca,
        "generation": key.generation,
        "serial": str(serial),
        "principals": names,
        "from": request.valid_after,
        "to": request.valid_before,
    }
    return _draft(key, unsigned.to_be_signed, entry, finish)


# -- checkpoints


def checkpoint(request: SignCheckpoint, key: PublicKey) -> Draft:
    """Draft a signed checkpoint; that the log did not shrink is checked by the desk."""
    try:
        head = note.parse(request.note)
        note.key_id(head.origin, key.public_key)
    except Malformed as error:
        raise SignerError(Code.LIMIT, str(error)) from error

    def finish(signature: Signature, entry: int) -> SignedNote:
        line = note.sign_line(head.origin, key.public_key, signature.der)
        return SignedNote(note=f"{request.note}\n{line}", entry=entry)

    entry = {
        "generation": key.generation,
        "origin": head.origin,
        "size": head.size,
        "root": head.root.hex(),
    }
    to_be_signed = request.note.encode()
    return Draft(key=key, to_be_signed=to_be_signed, kind="checkpoint", entry=entry, finish=finish)
