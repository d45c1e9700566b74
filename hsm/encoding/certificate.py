"""OpenSSH certificates (PROTOCOL.certkeys), made by hand so that every kind of subject key fits.

`SshCertificate` is what a certificate says. `to_be_signed` writes it, `finish` adds the signature,
`parse` reads the finished bytes back by a separate path, so that the two can be compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from hsm.encoding import public_key
from hsm.encoding.wire import Reader, string, text, uint32, uint64
from hsm.errors import Malformed

if TYPE_CHECKING:
    from hsm.encoding.signature import Signature

_CERTIFICATE_KINDS = {
    b"ssh-ed25519": b"ssh-ed25519-cert-v01@openssh.com",
    b"ssh-rsa": b"ssh-rsa-cert-v01@openssh.com",
    b"ecdsa-sha2-nistp256": b"ecdsa-sha2-nistp256-cert-v01@openssh.com",
    b"ecdsa-sha2-nistp384": b"ecdsa-sha2-nistp384-cert-v01@openssh.com",
    b"ecdsa-sha2-nistp521": b"ecdsa-sha2-nistp521-cert-v01@openssh.com",
    b"sk-ssh-ed25519@openssh.com": b"sk-ssh-ed25519-cert-v01@openssh.com",
    b"sk-ecdsa-sha2-nistp256@openssh.com": b"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
}
_SUBJECT_KINDS = {certificate: subject for subject, certificate in _CERTIFICATE_KINDS.items()}
_FIELD_COUNTS = {b"ssh-ed25519": 1, b"sk-ecdsa-sha2-nistp256@openssh.com": 3}  # all others: 2
MIN_NONCE = 16

Options = tuple[tuple[str, str], ...]


class CertificateKind(IntEnum):
    """The type field of a certificate."""

    USER = 1
    HOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SshCertificate:
    """What a certificate says, without its signature.

    `public_key` and `signing_key` are SSH blobs; times are seconds since 1970; an option with an
    empty value is a flag. Options are written in lexical order whatever order they are given in.
    """

    kind: CertificateKind
    nonce: bytes
    public_key: bytes
    serial: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: Options
    extensions: Options
    signing_key: bytes

    def to_be_signed(self) -> bytes:
        """Return the bytes that the CA signs; raises `Malformed` for a kind of subject key not known.

        Whether the key is sound is for `public_key.check_subject` to say, before.
        """
        kind = Reader(self.public_key).string()
        if kind not in _CERTIFICATE_KINDS:
            raise Malformed("keys of that kind have no certificates")
        if len(self.nonce) < MIN_NONCE:
            raise Malformed(f"a nonce has at least {MIN_NONCE} bytes")
        return b"".join(
            (
                string(_CERTIFICATE_KINDS[kind]),
                string(self.nonce),
                self.public_key[4 + len(kind) :],
                uint64(self.serial),
                uint32(self.kind),
                text(self.key_id),
                string(b"".join(map(text, self.principals))),
                uint64(self.valid_after),
                uint64(self.valid_before),
                string(_write_options(self.critical_options)),
                string(_write_options(self.extensions)),
                string(b""),
                string(self.signing_key),
            )
        )


def finish(to_be_signed: bytes, signature: Signature) -> bytes:
    """Return the certificate: the signed bytes and the signature over them."""
    return to_be_signed + string(signature.ssh)


def _write_options(options: Options) -> bytes:
    return b"".join(text(name) + string(text(value) if value else b"") for name, value in sorted(options))


def _read_options(data: bytes) -> Options:
    reader, found = Reader(data), list[tuple[str, str]]()
    while reader:
        name, value = reader.text(), Reader(reader.string())
        if found and name <= found[-1][0]:
            raise Malformed("options out of order, or the same one twice")
        found.append((name, value.text() if value else ""))
        value.end()
    return tuple(found)


def _read_principals(data: bytes) -> tuple[str, ...]:
    reader, found = Reader(data), list[str]()
    while reader:
        found.append(reader.text())
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCertificate:
    """A finished certificate taken apart: what it says, what was signed, and the signature."""

    says: SshCertificate
    signed_bytes: bytes
    signature: bytes


def parse(blob: bytes) -> ParsedCertificate:
    """Read a finished certificate; raises `Malformed`. The signature is *not* verified here."""
    reader = Reader(blob)
    kind = _SUBJECT_KINDS.get(reader.string())
    if kind is None:
        raise Malformed("not an OpenSSH certificate of a known kind")
    nonce = reader.string()
    fields = b"".join(string(reader.string()) for _ in range(_FIELD_COUNTS.get(kind, 2)))
    says = _read_body(reader, nonce, string(kind) + fields)
    signed_bytes, signature = reader.consumed, reader.string()
    reader.end()
    return ParsedCertificate(says=says, signed_bytes=signed_bytes, signature=signature)


def _read_body(reader: Reader, nonce: bytes, subject: bytes) -> SshCertificate:
    serial, kind = reader.uint64(), reader.uint32()
    if kind not in {1, 2}:
        raise Malformed("neither a user nor a host certificate")
    key_id, principals = reader.text(), _read_principals(reader.string())
    valid_after, valid_before = reader.uint64(), reader.uint64()
    critical_options, extensions = _read_options(reader.string()), _read_options(reader.string())
    if reader.string():
        raise Malformed("something in the reserved field")
    return SshCertificate(
        kind=CertificateKind(kind),
        nonce=nonce,
        public_key=subject,
        serial=serial,
        key_id=key_id,
        principals=principals,
        valid_after=valid_after,
        valid_before=valid_before,
        critical_options=critical_options,
        extensions=extensions,
        signing_key=reader.string(),
    )


def signed_digest(blob: bytes) -> str:
    """Return the SHA-256 (hex) of what was signed in a finished certificate, as the ledger keeps it."""
    return hashlib.sha256(parse(blob).signed_bytes).hexdigest()


def openssh_line(blob: bytes, comment: str = "") -> str:
    """Return the certificate as the one line of a `-cert.pub` file."""
    return public_key.openssh_line(blob, comment)
