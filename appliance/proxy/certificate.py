"""A person's or a node's OpenSSH certificate, read strictly and judged (PROTOCOL.certkeys). No IO.

asyncssh's own reader drops extensions it does not know, lets an empty list of principals stand for
everybody, and mixes critical options with extensions. This one keeps what is there, wants options in
order and once, and its judgement is a reason or nothing. `auth` judges the same certificate again:
the edge may only be stricter, never kinder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.public_key import decode_ssh_public_key

from appliance.domain import names
from appliance.domain.errors import Invalid
from appliance.proxy.algorithms import SIGNATURES
from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.wire import Reader, string

if TYPE_CHECKING:
    from collections.abc import Collection

SUFFIX = b"-cert-v01@openssh.com"
_FIELDS = {
    b"ssh-ed25519": 1,
    b"sk-ssh-ed25519": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ecdsa-sha2-nistp256": 3,
    b"ssh-rsa": 2,
}
"""Strings that make the public key of each type; what is not here is not taken."""
FORCE_COMMAND = "force-command"
SOURCE_ADDRESS = "source-address"
VERIFY_REQUIRED = "verify-required"
NO_TOUCH = "no-touch-required"
CRITICAL = frozenset({FORCE_COMMAND, SOURCE_ADDRESS, VERIFY_REQUIRED})
FOREVER = (1 << 64) - 1
MAX_LIFETIME = 30 * 3600 + 300
"""Seconds: the longest certificate of a person (mission row U5), and how early it may begin."""
SKEW = 60
"""Seconds that a certificate may lie in the future, for clocks that differ. The end is exact."""
MIN_RSA_BITS = 2048
MAX_PRINCIPALS = 256


class Kind(IntEnum):
    """Whose certificate it is."""

    USER = 1
    HOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What stands in a certificate whose signature holds. Times are seconds since 1970."""

    blob: bytes
    key_type: bytes
    public_key: bytes
    """The certified key, SSH wire form, without the certificate around it."""
    serial: int
    kind: Kind
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical: dict[str, bytes]
    extensions: frozenset[str]
    authority: bytes
    """The key that signed, SSH wire form."""

    @property
    def key(self) -> asyncssh.SSHKey:
        """A fresh object of the certified key, for one verification."""
        return decode_key(self.public_key)

    @property
    def is_security_key(self) -> bool:
        """Whether the key lives in an authenticator (sk-)."""
        return self.key_type.startswith(b"sk-")

    @property
    def forced_command(self) -> str | None:
        """The one command it is good for, or None."""
        data = self.critical.get(FORCE_COMMAND)
        return None if data is None else Reader(data).text()


def decode_key(blob: bytes) -> asyncssh.SSHKey:
    """Return a public key; raises `CertificateInvalid` where it is none, or an RSA key that is too short."""
    try:
        key = decode_ssh_public_key(blob)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise CertificateInvalid("not a public key") from error
    bits = getattr(key.pyca_key, "key_size", MIN_RSA_BITS)
    if key.algorithm == b"ssh-rsa" and bits < MIN_RSA_BITS:
        raise CertificateInvalid(f"an RSA key of {bits} bits is too short")
    return key


def verify(key: asyncssh.SSHKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature is of this message, by this key, with an algorithm we accept."""
    try:
        algorithm = Reader(signature).string().decode("ascii", "replace")
    except CertificateInvalid:
        return False
    return algorithm in SIGNATURES and bool(key.verify(message, signature))


def parse(blob: bytes) -> Certificate:
    """Read a certificate and check its authority's signature; raises `CertificateInvalid`.

    Who the authority is, and everything that depends on time and place, is for `judge_person` and
    `judge_host`.
    """
    reader = Reader(blob)
    name = reader.string()
    key_type = name.removesuffix(SUFFIX)
    if key_type == name or key_type not in _FIELDS:
        raise CertificateInvalid("not a certificate of a known type")
    reader.string()  # the nonce
    start = reader.at
    for _ in range(_FIELDS[key_type]):
        reader.string()
    plain = key_type + (b"@openssh.com" if key_type.startswith(b"sk-") else b"")
    public_key = string(plain) + reader.consumed(start)
    return _body(reader, blob, key_type, public_key)


def _body(reader: Reader, blob: bytes, key_type: bytes, public_key: bytes) -> Certificate:
    serial, kind, key_id = reader.uint64(), reader.uint32(), reader.text()
    principals = _principals(reader.string())
    valid_after, valid_before = reader.uint64(), reader.uint64()
    critical, extensions = _options(reader.string()), _options(reader.string())
    reader.string()  # reserved
    authority = reader.string()
    signed = reader.consumed()
    signature = reader.string()
    reader.end()
    if not verify(decode_key(authority), signed, signature):
        raise CertificateInvalid("the authority's signature is wrong")
    if kind not in set(Kind):
        raise CertificateInvalid("neither a user's nor a host's certificate")
    return Certificate(
        blob=blob,
        key_type=key_type,
        public_key=public_key,
        serial=serial,
        kind=Kind(kind),
        key_id=key_id,
        principals=principals,
        valid_after=valid_after,
        valid_before=valid_before,
        critical=critical,
        extensions=frozenset(extensions),
        authority=authority,
    )


def _principals(data: bytes) -> tuple[str, ...]:
    reader, found = Reader(data), []
    while reader:
        found.append(reader.text())
        if len(found) > MAX_PRINCIPALS:
            raise CertificateInvalid(f"more than {MAX_PRINCIPALS} principals")
    return tuple(found)


def _options(data: bytes) -> dict[str, bytes]:
    reader, found, last = Reader(data), {}, b""
    while reader:
        name, value = reader.string(), reader.string()
        if name <= last:
            raise CertificateInvalid("options that are not in order, or stand twice")
        last = name
        found[name.decode("utf-8", "replace")] = value
    return found


def judge_person(
    certificate: Certificate, *, authorities: Collection[bytes], now: float, source: str
) -> str | None:
    """Return why this certificate opens nothing, or None. `source` is the peer's IP address."""
    if certificate.kind is not Kind.USER:
        return "a host's certificate is no person's"
    if certificate.authority not in authorities:
        return "signed by an authority that is not trusted for people"
    if unknown := sorted(set(certificate.critical) - CRITICAL):
        return f"the critical option {unknown[0]!r} is not known"
    return (
        _judge_principals(certificate.principals)
        or _judge_time(certificate, now)
        or _judge_options(certificate, source)
    )


def _judge_principals(principals: tuple[str, ...]) -> str | None:
    if not principals:
        return "a certificate without principals is nobody's"
    try:
        for principal in principals:
            names.user_name(principal)
    except Invalid as error:
        return str(error)
    return None


def _judge_time(certificate: Certificate, now: float) -> str | None:
    if certificate.valid_before == FOREVER:
        return "a certificate without an end"
    if certificate.valid_before - certificate.valid_after > MAX_LIFETIME:
        return "a certificate of too long a life"
    if now >= certificate.valid_before:
        return "the certificate has expired"
    if now < certificate.valid_after - SKEW:
        return "the certificate is not valid yet"
    return None


def _judge_options(certificate: Certificate, source: str) -> str | None:
    try:
        if certificate.forced_command == "":
            return "a forced command that is empty"
        for name in (FORCE_COMMAND, SOURCE_ADDRESS):
            if name in certificate.critical:
                _only_string(certificate.critical[name])
        if certificate.critical.get(VERIFY_REQUIRED, b""):
            return "verify-required takes no value"
        if not _address_allowed(certificate.critical.get(SOURCE_ADDRESS), source):
            return "not valid from this address"
    except (CertificateInvalid, ValueError) as error:
        return f"an option can't be read: {error}"
    return None


def _only_string(data: bytes) -> None:
    reader = Reader(data)
    reader.string()
    reader.end()


def _address_allowed(option: bytes | None, source: str) -> bool:
    if option is None:
        return True
    address = ip_address(source)
    plain = getattr(address, "ipv4_mapped", None) or address
    networks = [ip_network(text) for text in Reader(option).text().split(",")]
    return any(plain in network for network in networks)


def judge_host(
    certificate: Certificate, *, authorities: Collection[bytes], now: float, principal: str
) -> str | None:
    """Return why this host certificate does not stand for `principal`, or None."""
    if certificate.kind is not Kind.HOST or certificate.critical:
        return "not a host's certificate, or one with critical options"
    if certificate.authority not in authorities:
        return "signed by an authority that is not trusted for hosts"
    if principal not in certificate.principals:
        return f"made for {', '.join(certificate.principals)[:200] or 'no host'}, not for {principal}"
    if now >= certificate.valid_before:
        return "the host certificate has expired"
    if now < certificate.valid_after - SKEW:
        return "the host certificate is not valid yet"
    return None


@dataclass(frozen=True, slots=True)
class Touch:
    """What an authenticator said in one signature (PROTOCOL.u2f, `flags` and `counter`)."""

    flags: int
    counter: int

    @property
    def present(self) -> bool:
        """Somebody touched it (0x01)."""
        return bool(self.flags & 0x01)

    @property
    def verified(self) -> bool:
        """It knew who (0x04): a PIN or a finger."""
        return bool(self.flags & 0x04)


def read_touch(signature: bytes) -> Touch:
    """Return flags and counter of a signature by an sk- key that was verified before."""
    reader = Reader(signature)
    reader.string()
    reader.string()
    touch = Touch(flags=reader.take(1)[0], counter=reader.uint32())
    reader.end()
    return touch
