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
    """Where the keys are. `location` is a path, a PKCS#11 URI, or the serial number of a YubiKey."""

    kind: TokenKind
    location: str
    cluster: str
    profile: ProfileName = ProfileName.GENERIC
    management_key: Secret | None = None


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


_OPENERS: dict[TokenKind, Callable[[TokenConfig], Opener]] = {
    TokenKind.FILE: _file,
    TokenKind.PKCS11: _pkcs11,
}
