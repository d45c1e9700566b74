"""What a scenario can do: take a key from the desk, plug it in, use its three sides, pull it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from yubikit.yubiotp import SLOT, HmacSha1SlotConfiguration, YubiOtpSession, YubiOtpSlotConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fido2.ctap import CtapDevice
    from yubikit.core.smartcard import SmartCardConnection

PIV_PIN = "123456"


class NotPossibleError(Exception):
    """The scenario can't be done on this bench, for the reason given. Only real keys may raise this."""


class ChallengeResponse(Protocol):
    """The HMAC-SHA1 slot 2 of a key."""

    def program(self, secret: bytes) -> None:
        """Put a 20-byte secret into the slot."""

    def answer(self, challenge: bytes) -> bytes:
        """Return the 20-byte response."""


class Plugged(ABC):
    """A key that is plugged in."""

    @property
    @abstractmethod
    def serial(self) -> int:
        """The number printed on the key."""

    @abstractmethod
    def fido(self) -> CtapDevice:
        """Return the FIDO side."""

    @abstractmethod
    def card(self) -> SmartCardConnection:
        """Return the smart card side."""

    @abstractmethod
    def challenge_response(self) -> ChallengeResponse:
        """Return the OTP side."""

    @abstractmethod
    def replug(self) -> None:
        """Pull the key out and plug it in again."""

    def program_otp(self, public_id: bytes, private_id: bytes, aes_key: bytes) -> None:
        """Make slot 1 type Yubico OTPs."""
        session = YubiOtpSession(self.card())
        session.put_configuration(SLOT.ONE, YubiOtpSlotConfiguration(public_id, private_id, aes_key))

    @abstractmethod
    def type_otp(self) -> str:
        """Touch the key while nothing waits for it and return what slot 1 types."""


class Bench(ABC):
    """One transport, with keys on the desk before it."""

    transport: str
    folder: Path
    maker_is_virtual = True

    def now(self) -> datetime:
        """Return the time, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the rig is its own composition root

    @abstractmethod
    def make_key(self, label: str, *, model: str = "modern", faults: tuple[str, ...] = ()) -> None:
        """Put a fresh key on the desk; faults as `sallyport-vkey --fault` takes them."""

    @abstractmethod
    def clone(self, label: str, copy: str) -> None:
        """Copy a key with everything on it."""

    @abstractmethod
    def misbehave(self, label: str, *faults: str) -> None:
        """Replace a key's faults, counted from its next use."""

    @abstractmethod
    @contextmanager
    def plugged(self, label: str, port: int = 0) -> Iterator[Plugged]:
        """Plug a key into port 0 or 1 for a while."""

    @abstractmethod
    def ssh_login(self, key: Plugged, folder: Path) -> str:
        """Make an ed25519-sk key on the plugged key, log in to sshd with it; return who sshd says came."""

    @abstractmethod
    def tools(self, key: Plugged) -> str:
        """Run the people's own tools on the plugged key; return what they printed."""


@dataclass(frozen=True)
class SessionChallengeResponse:
    """The slot through yubikit, over whatever connection."""

    session: YubiOtpSession

    def program(self, secret: bytes) -> None:
        """Put a secret into slot 2."""
        self.session.put_configuration(SLOT.TWO, HmacSha1SlotConfiguration(secret))

    def answer(self, challenge: bytes) -> bytes:
        """Ask slot 2."""
        return self.session.calculate_hmac_sha1(SLOT.TWO, challenge)


@dataclass(frozen=True)
class YubicoChallengeResponse:
    """The slot through python-yubico."""

    yubikey: object

    def program(self, secret: bytes) -> None:
        """Put a secret into slot 2."""
        config = self.yubikey.init_config()
        config.mode_challenge_response(secret, type="HMAC", variable=True, require_button=False)
        config.extended_flag("SERIAL_API_VISIBLE", True)
        self.yubikey.write_config(config, slot=2)

    def answer(self, challenge: bytes) -> bytes:
        """Ask slot 2."""
        return self.yubikey.challenge_response(challenge, slot=2, may_block=True)
