"""Models of virtual keys: what each can do, as a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from authenticators.virtual.errors import ProfileError

ES256: Final = -7
EDDSA: Final = -8


class Attestation(StrEnum):
    """What a new credential says about the key it lies on (WebAuthn Level 3, section 6.5.4)."""

    NONE = "none"
    SELF = "self"
    PACKED = "packed"


class Interface(StrEnum):
    """A USB interface of the composite device."""

    OTP = "otp"
    FIDO = "fido"
    CCID = "ccid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model of key.

    `touch_seconds` is how long the person takes, `touch_timeout` how long the key waits, `reset_window` the
    time after plugging in during which a FIDO reset is allowed (None: always). `resident_slots` 0 means that
    the key keeps no discoverable credentials.
    """

    name: str
    description: str
    firmware: tuple[int, int, int]
    aaguid: UUID
    ctap_versions: tuple[str, ...]
    interfaces: tuple[Interface, ...] = (Interface.OTP, Interface.FIDO, Interface.CCID)
    algorithms: tuple[int, ...] = (ES256, EDDSA)
    pin_protocols: tuple[int, ...] = (2, 1)
    client_pin: bool = True
    built_in_uv: bool = False
    resident_slots: int = 100
    attestation: Attestation = Attestation.PACKED
    touch_seconds: float = 0.0
    touch_timeout: float = 15.0
    reset_window: float | None = 10.0

    @property
    def ctap2(self) -> bool:
        """Whether the key speaks more than U2F."""
        return any(version.startswith("FIDO_2") for version in self.ctap_versions)

    @property
    def ctap21(self) -> bool:
        """Whether the key knows token permissions and credential management as CTAP 2.1 has them."""
        return "FIDO_2_1" in self.ctap_versions

    @property
    def model(self) -> str:
        """The name and version, for certificates and listings."""
        return f"{self.name} {'.'.join(map(str, self.firmware))}"


def _aaguid(number: int) -> UUID:
    return UUID(f"5a11790a-7e57-4000-8000-{number:012x}")


_ALL: Final = (
    Profile(
        name="modern",
        description="CTAP 2.1, PIN, 100 passkeys, Ed25519 in PIV",
        firmware=(5, 7, 1),
        aaguid=_aaguid(1),
        ctap_versions=("U2F_V2", "FIDO_2_0", "FIDO_2_1_PRE", "FIDO_2_1"),
    ),
    Profile(
        name="classic",
        description="CTAP 2.1 preview, PIN, 25 passkeys, PIV with EC and RSA 2048 (what ykcs11 2.2 reads)",
        firmware=(5, 4, 3),
        aaguid=_aaguid(2),
        ctap_versions=("U2F_V2", "FIDO_2_0", "FIDO_2_1_PRE"),
        resident_slots=25,
    ),
    Profile(
        name="old",
        description="CTAP 2.0, ES256 only, PIN protocol 1, no credential management",
        firmware=(5, 1, 2),
        aaguid=_aaguid(3),
        ctap_versions=("U2F_V2", "FIDO_2_0"),
        algorithms=(ES256,),
        pin_protocols=(1,),
        resident_slots=25,
    ),
    Profile(
        name="u2f",
        description="U2F only, no PIN, no passkeys",
        firmware=(4, 3, 7),
        aaguid=UUID(int=0),
        ctap_versions=("U2F_V2",),
        client_pin=False,
        resident_slots=0,
    ),
    Profile(
        name="fingerprint",
        description="CTAP 2.1 with a fingerprint reader and a PIN, FIDO only",
        firmware=(5, 7, 1),
        aaguid=_aaguid(5),
        ctap_versions=("U2F_V2", "FIDO_2_0", "FIDO_2_1_PRE", "FIDO_2_1"),
        interfaces=(Interface.FIDO,),
        built_in_uv=True,
    ),
    Profile(
        name="presence-only",
        description="CTAP 2.1 without any user verification",
        firmware=(5, 7, 1),
        aaguid=_aaguid(6),
        ctap_versions=("U2F_V2", "FIDO_2_0", "FIDO_2_1"),
        client_pin=False,
        resident_slots=0,
    ),
)

PROFILES: Final = {profile.name: profile for profile in _ALL}


def profile_named(name: str) -> Profile:
    """Return the model of that name; raises `ProfileError`."""
    try:
        return PROFILES[name]
    except KeyError:
        raise ProfileError(f"no model {name!r}; there are {', '.join(PROFILES)}") from None
