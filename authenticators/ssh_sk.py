"""OpenSSH security keys: what an `sk-` signature says beyond "right" (OpenSSH PROTOCOL.u2f).

An `sk-` signature carries the authenticator's flags (user presence 0x01, user verification 0x04) and its
signature counter, and both are signed. SSH servers look at presence only. Whoever counts such a signature
as a second factor reads them here:

    key = parse_sk_public_key(blob)                      # a plain key or a certificate signature =
    parse_sk_signature(signature_blob) proof = verify_sk_signature(key, signature, message,
    SkPolicy(verify_required=True)) match judge_counter(stored, proof.counter): ...      # CounterState to
    store by compare-and-swap, or CounterAlarm

A certificate's own signature by its CA, its principals and dates are not this module's business; of its
options it reads `verify-required` and `no-touch-required`, because they say what the security key must have
done.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from authenticators.ed25519 import load_ed25519
from authenticators.errors import SshSkError, SshSkErrorCode

ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
ED25519: Final = "sk-ssh-ed25519@openssh.com"
ECDSA_CERTIFICATE: Final = "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"
ED25519_CERTIFICATE: Final = "sk-ssh-ed25519-cert-v01@openssh.com"

USER_PRESENT: Final = 0x01
USER_VERIFIED: Final = 0x04

_PLAIN: Final = {ECDSA: ECDSA, ED25519: ED25519, ECDSA_CERTIFICATE: ECDSA, ED25519_CERTIFICATE: ED25519}
_CURVE: Final = b"nistp256"
_UNCOMPRESSED_POINT: Final = 65
_ED25519_SIGNATURE: Final = 64
_SCALAR_BYTES: Final = 33
_LATEST: Final = 32

_Code = SshSkErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class SkPublicKey:
    """A security key's public key. `key_type` is that of the plain key, also for a certificate.

    `public_key` is 32 bytes (Ed25519) or a 65-byte uncompressed point (P-256).
    """

    key_type: str
    public_key: bytes
    application: str
    is_certificate: bool = False
    verify_required: bool = False
    no_touch_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SkSignature:
    """A security key's signature, parsed and not yet verified. `signature` is Ed25519 or DER ECDSA."""

    key_type: str
    signature: bytes
    flags: int
    counter: int

    @property
    def user_present(self) -> bool:
        """Whether somebody touched the key."""
        return bool(self.flags & USER_PRESENT)

    @property
    def user_verified(self) -> bool:
        """Whether the key knew who touched it, by PIN or finger."""
        return bool(self.flags & USER_VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkPolicy:
    """What a signature must show. `applications` None takes any that begins with `ssh:`, as OpenSSH's do."""

    touch_required: bool = True
    verify_required: bool = False
    applications: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkProof:
    """What a verified signature proves."""

    application: str
    user_present: bool
    user_verified: bool
    counter: int


def parse_sk_public_key(blob: bytes) -> SkPublicKey:
    """Parse the SSH wire form of an `sk-` public key or certificate.

    Raises `SshSkError`: MALFORMED, UNSUPPORTED_KEY_TYPE, BAD_PUBLIC_KEY.
    """
    reader = _Reader(blob)
    name = reader.text()
    if name not in _PLAIN:
        raise SshSkError(_Code.UNSUPPORTED_KEY_TYPE, name)
    is_certificate = name != _PLAIN[name]
    if is_certificate:
        reader.string()  # the nonce
    public_key = _read_public_key(reader, _PLAIN[name])
    application = reader.text()
    options, extensions = (
        _read_certificate(reader) if is_certificate else (frozenset[str](), frozenset[str]())
    )
    reader.end()
    return SkPublicKey(
        key_type=_PLAIN[name],
        public_key=public_key,
        application=application,
        is_certificate=is_certificate,
        verify_required="verify-required" in options,
        no_touch_required="no-touch-required" in extensions,
    )


def parse_sk_signature(blob: bytes) -> SkSignature:
    """Parse the SSH wire form of an `sk-` signature (without the length of the whole).

    Raises `SshSkError`: MALFORMED, UNSUPPORTED_KEY_TYPE.
    """
    reader = _Reader(blob)
    key_type = reader.text()
    if key_type not in {ECDSA, ED25519}:
        raise SshSkError(_Code.UNSUPPORTED_KEY_TYPE, key_type)
    inner = reader.string()
    flags, counter = reader.number(1), reader.number(4)
    reader.end()
    signature = _read_ecdsa_signature(inner) if key_type == ECDSA else inner
    if key_type == ED25519 and len(signature) != _ED25519_SIGNATURE:
        raise SshSkError(_Code.MALFORMED)
    return SkSignature(key_type=key_type, signature=signature, flags=flags, counter=counter)


def verify_sk_signature(
    key: SkPublicKey, signature: SkSignature, message: bytes, policy: SkPolicy | None = None
) -> SkProof:
    """Verify the signature over `message` and hold it against the policy and the certificate's options.

    `message` is what SSH signs: in user authentication the session id and the request (RFC 4252 §7). Raises
    `SshSkError`: KEY_TYPE_MISMATCH, WRONG_APPLICATION, BAD_SIGNATURE, USER_NOT_PRESENT, USER_NOT_VERIFIED.
    """
    policy = policy or SkPolicy()
    if key.key_type != signature.key_type:
        raise SshSkError(_Code.KEY_TYPE_MISMATCH)
    _check_application(key.application, policy)
    _verify(key, signature.signature, _signed_data(key, signature, message))
    if policy.touch_required and not key.no_touch_required and not signature.user_present:
        raise SshSkError(_Code.USER_NOT_PRESENT)
    if (policy.verify_required or key.verify_required) and not signature.user_verified:
        raise SshSkError(_Code.USER_NOT_VERIFIED)
    return SkProof(
        application=key.application,
        user_present=signature.user_present,
        user_verified=signature.user_verified,
        counter=signature.counter,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterState:
    """The counters seen of one key: the highest, and which of the 32 below it (bit 0 is the nearest)."""

    highest: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterAlarm:
    """A right signature whose counter was seen before, or is too old: a copied or rolled back key."""

    highest: int
    received: int

    def __bool__(self) -> bool:
        return False


def judge_counter(state: CounterState, received: int, *, late: int = 0) -> CounterState | CounterAlarm:
    """Return the state to store by compare-and-swap, or the alarm.

    A key whose counter is always 0 has none, and raises no alarm. `late` (0 to 32) lets signatures of
    connections that were opened together arrive out of order: one that far behind the highest is taken,
    once.
    """
    if received == 0 and state.highest == 0:
        return state
    behind = state.highest - received
    if behind < 0:
        step = min(-behind, _LATEST + 1)
        moved = (state.seen << step) | (1 << (step - 1) if state.highest else 0)
        return CounterState(highest=received, seen=moved & (2**_LATEST - 1))
    if received and 0 < behind <= min(late, _LATEST) and not state.seen & (1 << (behind - 1)):
        return CounterState(highest=state.highest, seen=state.seen | 1 << (behind - 1))
    return CounterAlarm(highest=state.highest, received=received)


def _check_application(application: str, policy: SkPolicy) -> None:
    """Refuse a key made for something else, such as a web site: others can ask for its signatures."""
    expected = policy.applications
    if not application.startswith("ssh:") or (expected is not None and application not in expected):
        raise SshSkError(_Code.WRONG_APPLICATION, application)


def _signed_data(key: SkPublicKey, signature: SkSignature, message: bytes) -> bytes:
    flags_and_counter = bytes([signature.flags]) + signature.counter.to_bytes(4, "big")
    application = hashlib.sha256(key.application.encode()).digest()
    return application + flags_and_counter + hashlib.sha256(message).digest()


def _verify(key: SkPublicKey, signature: bytes, signed: bytes) -> None:
    public_key = _load(key.key_type, key.public_key)
    try:
        if isinstance(public_key, Ed25519PublicKey):
            public_key.verify(signature, signed)
        else:
            public_key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise SshSkError(_Code.BAD_SIGNATURE) from error


def _load(key_type: str, public_key: bytes) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
    try:
        if key_type == ED25519:
            return load_ed25519(public_key)
        if len(public_key) != _UNCOMPRESSED_POINT:
            raise SshSkError(_Code.BAD_PUBLIC_KEY)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError as error:
        raise SshSkError(_Code.BAD_PUBLIC_KEY) from error


def _read_public_key(reader: _Reader, key_type: str) -> bytes:
    if key_type == ECDSA and reader.string() != _CURVE:
        raise SshSkError(_Code.BAD_PUBLIC_KEY)
    public_key = reader.string()
    _load(key_type, public_key)
    return public_key


def _read_certificate(reader: _Reader) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the critical options and the extensions (OpenSSH PROTOCOL.certkeys)."""
    reader.number(8)  # serial
    reader.number(4)  # type
    reader.string()  # key id
    reader.string()  # principals
    reader.number(8)  # valid after
    reader.number(8)  # valid before
    options, extensions = _read_names(reader.string()), _read_names(reader.string())
    reader.string()  # reserved
    reader.string()  # the CA's key
    reader.string()  # the CA's signature
    return options, extensions


def _read_names(block: bytes) -> frozenset[str]:
    reader, names = _Reader(block), set[str]()
    while not reader.at_end:
        name = reader.text()
        if name in names:
            raise SshSkError(_Code.MALFORMED)
        names.add(name)
        reader.string()
    return frozenset(names)


def _read_ecdsa_signature(inner: bytes) -> bytes:
    reader = _Reader(inner)
    r, s = reader.scalar(), reader.scalar()
    reader.end()
    return encode_dss_signature(r, s)


class _Reader:
    """Reads SSH wire forms (RFC 4251 §5); every way of being wrong is MALFORMED."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def at_end(self) -> bool:
        return self._offset == len(self._data)

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self) -> bytes:
        return self._take(self.number(4))

    def text(self) -> str:
        try:
            return self.string().decode()
        except UnicodeDecodeError as error:
            raise SshSkError(_Code.MALFORMED) from error

    def scalar(self) -> int:
        """Read a positive mpint of the curve's size, in its shortest form."""
        data = self.string()
        value = int.from_bytes(data, "big", signed=True)
        shortest = (value.bit_length() // 8) + 1
        if value <= 0 or len(data) != shortest or len(data) > _SCALAR_BYTES:
            raise SshSkError(_Code.MALFORMED)
        return value

    def end(self) -> None:
        if not self.at_end:
            raise SshSkError(_Code.MALFORMED)

    def _take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise SshSkError(_Code.MALFORMED)
        taken, self._offset = self._data[self._offset : end], end
        return taken
