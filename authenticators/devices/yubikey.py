"""YubiKey slots through python-yubico: a keyed hash (HMAC-SHA1) that never leaves the key."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from usb.core import NoBackendError, USBError

from authenticators.devices.prompter import Prompter
from authenticators.errors import DeviceError, DeviceErrorCode
from authenticators.otp.challenge_response import SECRET_BYTES, check_challenge
from authenticators.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator


with warnings.catch_warnings():
    # python-yubico 1.3.3 compares with `is`, which Python says when it compiles it for the first time.
    warnings.simplefilter("ignore", SyntaxWarning)
    import yubico
    from yubico.yubico_exception import YubicoError
    from yubico.yubikey_base import YubiKeyTimeout, YubiKeyVersionError

Slot = Literal[1, 2]

_MOST_KEYS: Final = 16
_NEEDS_TOUCH: Final = 0x04  # of slot 1 in the status; the bit beside it is of slot 2
_Code = DeviceErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class YubiKeyInfo:
    """A YubiKey with the OTP interface. `serial` is None where it is hidden; `slots` are those in use."""

    serial: int | None
    version: str
    slots: tuple[int, ...]


def list_yubikeys() -> list[YubiKeyInfo]:
    """Return the YubiKeys that are plugged in; raises `DeviceError`: ACCESS_DENIED, BROKEN."""
    with _translated():
        return [_info(key) for key in _keys()]


@dataclass(frozen=True, slots=True, kw_only=True)
class YubiKeySlot:
    """A slot in challenge-response mode: a `ChallengeResponder`. Without a serial it is the first key's."""

    prompter: Prompter
    slot: Slot = 2
    serial: int | None = None

    def respond(self, challenge: bytes) -> Secret:
        """Return HMAC-SHA1 (20 bytes) of a challenge of 1 to 63 bytes; waits some 15 s for a touch if needed.

        Raises `OtpError` for the challenge; `DeviceError`: NO_DEVICE, NO_SUCH_SERIAL, ACCESS_DENIED,
        SLOT_EMPTY, TIMED_OUT, NOT_SUPPORTED, BROKEN.
        """
        check_challenge(challenge)
        with _translated():
            key = _key_of(self.serial)
            if self.slot not in key.status().valid_configs():
                raise DeviceError(_Code.SLOT_EMPTY, f"slot {self.slot} is not configured")
            if key.status().touch_level & _NEEDS_TOUCH << (self.slot - 1):
                self.prompter.touch(f"YubiKey {key.version()}, slot {self.slot}")
            answer = key.challenge_response(
                challenge, mode="HMAC", slot=self.slot, variable=True, may_block=True
            )
            return Secret(bytes(answer))

    def program(self, secret: Secret, *, touch: bool) -> None:
        """Write a secret of 20 bytes to the slot, over whatever is there; the caller has asked.

        Raises `DeviceError`, as `respond`, and NOT_SUPPORTED for a secret of another size.
        """
        if len(secret) != SECRET_BYTES:
            raise DeviceError(_Code.NOT_SUPPORTED, "a slot's secret has 20 bytes")
        with _translated():
            key = _key_of(self.serial)
            config = key.init_config()
            config.mode_challenge_response(secret.reveal(), type="HMAC", variable=True, require_button=touch)
            config.extended_flag("SERIAL_API_VISIBLE", True)  # noqa: FBT003 -- the library's way of saying it
            key.write_config(config, slot=self.slot)


def _keys() -> Iterator[Any]:
    for skip in range(_MOST_KEYS):
        try:
            yield yubico.find_yubikey(debug=False, skip=skip)
        except YubicoError as error:
            if "No YubiKey found" in str(error):
                return
            raise


def _key_of(serial: int | None) -> Any:
    others = 0
    for key in _keys():
        if serial is None or _serial(key) == serial:
            return key
        others += 1
    raise DeviceError(_Code.NO_SUCH_SERIAL if others else _Code.NO_DEVICE)


def _info(key: Any) -> YubiKeyInfo:
    return YubiKeyInfo(
        serial=_serial(key), version=str(key.version()), slots=tuple(key.status().valid_configs())
    )


def _serial(key: Any) -> int | None:
    try:
        return int(key.serial(may_block=False))
    except (YubiKeyVersionError, YubiKeyTimeout):
        return None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except YubiKeyTimeout as error:
        raise DeviceError(
            _Code.TIMED_OUT, "the key did not answer: not touched in time, or no such slot"
        ) from error
    except YubiKeyVersionError as error:
        raise DeviceError(_Code.NOT_SUPPORTED, str(error)) from error
    except (YubicoError, NoBackendError) as error:
        raise DeviceError(_Code.BROKEN, str(error)) from error
    except USBError as error:
        denied = error.errno in {1, 13}
        raise DeviceError(_Code.ACCESS_DENIED if denied else _Code.REMOVED, str(error)) from error
