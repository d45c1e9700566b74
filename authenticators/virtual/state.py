"""Everything a virtual key remembers when it is unplugged, as one frozen value.

Fields that hold secrets stay out of `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authenticators.virtual.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable

PIN_TRIES = 8
UV_TRIES = 3
PIV_TRIES = 3
DEFAULT_PIV_PIN = b"123456"
DEFAULT_PIV_PUK = b"12345678"
DEFAULT_MANAGEMENT_KEY = bytes.fromhex("0102030405060708") * 3
AES_192 = 0x0A
TRIPLE_DES = 0x03


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentCredential:
    """A passkey kept on the key: whose it is, and the credential id that carries its sealed seed."""

    credential_id: bytes
    rp_id: str
    rp_name: str
    user_id: bytes
    user_name: str | None
    user_display_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FidoState:
    """CTAP: the master key that seals credentials (32 bytes), PIN, counters, passkeys (oldest first)."""

    master_key: bytes = field(repr=False)
    pin_hash: bytes | None = field(default=None, repr=False)
    pin_length: int = 0
    pin_retries: int = PIN_TRIES
    uv_retries: int = UV_TRIES
    signature_counter: int = 0
    resident: tuple[ResidentCredential, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OtpSlot:
    """One slot as it was written: fixed part (0-16 bytes), uid (6), AES key (16), access code (6), flags."""

    fixed: bytes
    uid: bytes = field(repr=False)
    key: bytes = field(repr=False)
    access_code: bytes = field(repr=False)
    extended_flags: int
    ticket_flags: int
    config_flags: int
    use_counter: int = 0
    moving_factor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtpState:
    """The two OTP slots and the count of writes since both were empty."""

    slot1: OtpSlot | None = None
    slot2: OtpSlot | None = None
    programming_sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OathAccount:
    """One OATH account; `kind` is 0x10 HOTP or 0x20 TOTP, plus 1 SHA-1, 2 SHA-256 or 3 SHA-512."""

    name: bytes
    kind: int
    digits: int
    secret: bytes = field(repr=False)
    touch: bool = False
    counter: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OathState:
    """The OATH accounts, the salt that identifies the applet (8 bytes), and its access key (16 bytes)."""

    salt: bytes
    access_key: bytes | None = field(default=None, repr=False)
    accounts: tuple[OathAccount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PivKey:
    """A private key in a PIV slot: PKCS#8 DER, algorithm byte, policies, made here or imported."""

    slot: int
    algorithm: int
    private_key: bytes = field(repr=False)
    pin_policy: int
    touch_policy: int
    generated: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PivObject:
    """A PIV data object and what was put there."""

    object_id: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PivState:
    """PIN, PUK, management key with their counters; keys and data objects."""

    pin: bytes = field(default=DEFAULT_PIV_PIN, repr=False)
    puk: bytes = field(default=DEFAULT_PIV_PUK, repr=False)
    pin_tries: int = PIV_TRIES
    puk_tries: int = PIV_TRIES
    pin_left: int = PIV_TRIES
    puk_left: int = PIV_TRIES
    management_key: bytes = field(default=DEFAULT_MANAGEMENT_KEY, repr=False)
    management_algorithm: int = AES_192
    management_touch: bool = False
    keys: tuple[PivKey, ...] = ()
    objects: tuple[PivObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """A whole key."""

    serial: int
    profile: Profile
    fido: FidoState
    oath: OathState
    otp: OtpState = OtpState()
    piv: PivState = PivState()

    @classmethod
    def fresh(cls, profile: Profile, entropy: Callable[[int], bytes]) -> KeyState:
        """Return a new key of that model; `entropy(n)` returns n random bytes."""
        return cls(
            serial=10_000_000 + int.from_bytes(entropy(3), "big"),
            profile=profile,
            fido=FidoState(master_key=entropy(32)),
            oath=OathState(salt=entropy(8)),
            piv=fresh_piv(profile),
        )


def fresh_piv(profile: Profile) -> PivState:
    """Return the PIV applet as it leaves the factory; before firmware 5.7 with a Triple-DES key."""
    return PivState(management_algorithm=AES_192 if profile.firmware >= (5, 7, 0) else TRIPLE_DES)
