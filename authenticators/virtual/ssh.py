"""SSH keys on a virtual key: discoverable credentials for `ssh:` applications, and their signatures.

Formats of OpenSSH's PROTOCOL.u2f: the signature covers SHA-256(application), flags, counter and
SHA-256(message), which is authenticator data without extensions.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authenticators.virtual.fido.credential import SEED, CredentialSource, open_credential
from authenticators.virtual.fido.response import authenticator_data
from authenticators.virtual.profile import EDDSA, ES256
from authenticators.virtual.state import ResidentCredential
from authenticators.virtual.touch import Touch

if TYPE_CHECKING:
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

ED25519_SK: Final = b"sk-ssh-ed25519@openssh.com"
ECDSA_SK: Final = b"sk-ecdsa-sha2-nistp256@openssh.com"
PREFIX: Final = "ssh:"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshIdentity:
    """One SSH key of a virtual key: its public blob, a comment, and the credential behind it."""

    blob: bytes
    comment: str
    application: str
    source: CredentialSource


def enrol(key: VirtualKey, *, application: str, algorithm: int, user: str) -> SshIdentity:
    """Make an SSH key (EDDSA or ES256) for an application that begins with `ssh:`, and keep it on the key."""
    rp_id_hash = hashlib.sha256(application.encode()).digest()
    source = CredentialSource(algorithm=algorithm, seed=key.entropy(SEED), resident=True)
    passkey = ResidentCredential(
        credential_id=source.seal(key.state.fido.master_key, rp_id_hash, key.entropy),
        rp_id=application,
        rp_name=application,
        user_id=user.encode().ljust(32, b"\0"),
        user_name=user,
        user_display_name=user,
    )
    fido = key.state.fido
    others = tuple(
        kept for kept in fido.resident if (kept.rp_id, kept.user_id) != (application, passkey.user_id)
    )
    key.update(fido=replace(fido, resident=(*others, passkey)))
    return _identity(passkey, source)


def identities(key: VirtualKey) -> list[SshIdentity]:
    """Return the SSH keys kept on the key, oldest first."""
    found = []
    for passkey in key.state.fido.resident:
        rp_id_hash = hashlib.sha256(passkey.rp_id.encode()).digest()
        source = open_credential(key.state.fido.master_key, passkey.credential_id, rp_id_hash)
        if passkey.rp_id.startswith(PREFIX) and source is not None:
            found.append(_identity(passkey, source))
    return found


def sign(key: VirtualKey, identity: SshIdentity, message: bytes, *, verified: bool) -> Steps[bytes | None]:
    """Return the SSH signature blob after a touch, None without one; `verified` sets the UV flag."""
    yield from key.begin_operation()
    if (yield from key.touch()) is not Touch.GIVEN:
        return None
    counter = key.next_signature_counter()
    data = authenticator_data(
        rp_id_hash=hashlib.sha256(identity.application.encode()).digest(),
        counter=counter,
        user_present=True,
        user_verified=verified,
    )
    signature = key.spoil(identity.source.sign(data + hashlib.sha256(message).digest()))
    flags_and_counter = data[32:]
    if identity.source.algorithm == EDDSA:
        return string(ED25519_SK) + string(signature) + flags_and_counter
    r, s = decode_dss_signature(signature)
    return string(ECDSA_SK) + string(_mpint(r) + _mpint(s)) + flags_and_counter


def string(data: bytes) -> bytes:
    """Return an SSH string: u32 length and bytes (RFC 4251, section 5)."""
    return struct.pack(">I", len(data)) + data


def _mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _identity(passkey: ResidentCredential, source: CredentialSource) -> SshIdentity:
    return SshIdentity(
        blob=_blob(source, passkey.rp_id),
        comment=f"{passkey.user_name or 'virtual'} {passkey.rp_id}",
        application=passkey.rp_id,
        source=source,
    )


def _blob(source: CredentialSource, application: str) -> bytes:
    if source.algorithm == ES256:
        head = string(ECDSA_SK) + string(b"nistp256") + string(source.public_point())
    else:
        head = string(ED25519_SK) + string(source.public_key()[-2])
    return head + string(application.encode())
