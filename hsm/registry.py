"""From configuration to a provider: an explicit table of openers.

A `TokenConfig` says which kind of token there is; `opener` returns a function that takes the PIN and
gives the open provider. The signer keeps that function and calls it when it is unsealed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hsm import uri
from hsm.errors import Malformed
from hsm.file import FileProvider
from hsm.naming import Namespace
from hsm.profiles import PROFILES, ProfileName
from hsm.provider import KeyProvider
from hsm.secret import Secret

Opener = Callable[[Secret], KeyProvider]


class TokenKind(StrEnum):
    """The backends."""

    FILE = "file"
    PKCS11 = "pkcs11"
    PIV = "piv"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """Where the keys are.

    `location` is an absolute path, a PKCS#11 URI, or the serial number of a YubiKey ("any" for the
    first that is found). `management_key` (AES, hex) and `attestation_roots` (PEM file) are for PIV.
    """

    kind: TokenKind
    location: str
    cluster: str
    profile: ProfileName = ProfileName.GENERIC
    management_key: Secret | None = None
    attestation_roots: Path | None = None


def opener(config: TokenConfig) -> Opener:
    """Return the function that opens the token with a PIN; raises `Malformed` for a bad location."""
    return _OPENERS[config.kind](config)


def _file(config: TokenConfig) -> Opener:
    path, namespace = Path(config.location), Namespace(cluster=config.cluster)
    if not path.is_absolute():
        raise Malformed("the key file's path is absolute")
    return lambda pin: FileProvider.open(path, pin, namespace)


def _pkcs11(config: TokenConfig) -> Opener:
    from hsm.pkcs11 import Pkcs11Provider  # noqa: PLC0415  # the module is loaded only where it is used

    where, namespace = uri.parse(config.location), Namespace(cluster=config.cluster)
    profile = PROFILES[config.profile]
    return lambda pin: Pkcs11Provider(uri=where, pin=pin, namespace=namespace, profile=profile)


def _piv(config: TokenConfig) -> Opener:
    from hsm import piv  # noqa: PLC0415  # as above

    namespace, trusted = Namespace(cluster=config.cluster), config.attestation_roots
    if config.location != "any" and not config.location.isdigit():
        raise Malformed("a YubiKey is named by its serial number, or 'any'")
    serial = None if config.location == "any" else int(config.location)
    key = config.management_key and Secret(_from_hex(config.management_key))
    roots = piv.load_trusted(trusted.read_bytes()) if trusted else ()
    connect = piv.connect_by_serial(serial)
    return lambda pin: piv.PivProvider(
        connect=connect, pin=pin, namespace=namespace, serial=serial, management_key=key, trusted=roots
    )


def _from_hex(text: Secret) -> bytes:
    try:
        return bytes.fromhex(text.reveal_text())
    except ValueError:
        raise Malformed("the management key is not hexadecimal") from None


_OPENERS: dict[TokenKind, Callable[[TokenConfig], Opener]] = {
    TokenKind.FILE: _file,
    TokenKind.PKCS11: _pkcs11,
    TokenKind.PIV: _piv,
}
