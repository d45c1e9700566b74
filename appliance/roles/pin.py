"""Where the token is, and how its PIN is released: from a file, by systemd, or later by people."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from appliance.config.schema import FileToken, PivToken, Pkcs11Token
from appliance.domain.errors import Unavailable
from appliance.roles.layout import Layout, closed, read_secret, secret_file
from appliance.system import SystemRandomness
from hsm import credential, registry
from hsm.profiles import ProfileName
from hsm.secret import Secret

if TYPE_CHECKING:
    from appliance.config import Config

PIN_BYTES = 24

log = logging.getLogger(__name__)


def token(config: Config, layout: Layout) -> registry.TokenConfig:
    """Return the token's place, as the library has it."""
    cluster = config.auth_service.cluster_name
    match config.signer_service.token:
        case FileToken(path=path):
            keys = path or layout.token / "keys"
            closed(keys.parent)
            return registry.TokenConfig(kind=registry.TokenKind.FILE, location=str(keys), cluster=cluster)
        case Pkcs11Token(uri=uri, profile=profile):
            kind, named = registry.TokenKind.PKCS11, ProfileName(profile)
            return registry.TokenConfig(kind=kind, location=uri, cluster=cluster, profile=named)
        case PivToken() as piv:
            key_file = piv.management_key_file
            return registry.TokenConfig(
                kind=registry.TokenKind.PIV,
                location=piv.serial,
                cluster=cluster,
                management_key=Secret(read_secret(key_file).strip()) if key_file else None,
                attestation_roots=piv.attestation_roots,
            )
        case unknown:
            assert_never(unknown)


def released(config: Config, layout: Layout) -> Secret | None:
    """Return the PIN where a machine releases it, or None: then people do, and the start is sealed."""
    match config.signer_service.unseal:
        case "prompt" | "yubikeys":
            return None
        case "systemd-creds":
            return _from_systemd(layout)
        case None:
            return _from_file(config, layout)
        case unknown:
            assert_never(unknown)


def _from_file(config: Config, layout: Layout) -> Secret | None:
    chosen = config.signer_service.token
    if chosen.pin_file is not None:
        return Secret(read_secret(chosen.pin_file).strip())
    return Secret(_made_pass_phrase(layout).strip()) if isinstance(chosen, FileToken) else None


def _made_pass_phrase(layout: Layout) -> bytes:
    pin = layout.token / "pin"
    if (layout.token / "keys").exists() and not pin.exists():
        raise Unavailable(f"{pin} is missing: the token can't be opened without its pass phrase")
    return secret_file(pin, SystemRandomness().bytes(PIN_BYTES).hex().encode() + b"\n")


def _from_systemd(layout: Layout) -> Secret | None:
    """Return what systemd decrypted for this unit, or decrypt it; a machine that can't starts sealed."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    pin = credential.loaded(Path(folder)) if folder else None
    if pin is not None:
        return pin
    try:
        return credential.release(layout.credential)
    except credential.CredentialError as error:
        log.warning("systemd-creds does not release the PIN, so the start is sealed: %s", error)
        return None
