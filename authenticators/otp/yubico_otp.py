"""Yubico OTP: what a YubiKey types at a touch, checked offline with the key's own AES secret.

44 characters of modhex: a public id (6 bytes, as they ship) and one AES-128 block with the private id, a
use counter (grows at each power-up), a timestamp (8 Hz since power-up), a session counter (grows with each
code), a random number and a CRC. Format: YubiKey manual, section "OTP", and Yubico's `yubico-c`.

What was last accepted comes in, what to store comes out; the caller stores it by compare-and-swap.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from authenticators.errors import OtpError, OtpErrorCode
from authenticators.otp.modhex import decode_modhex, encode_modhex
from authenticators.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping


PUBLIC_ID_BYTES: Final = 6
PRIVATE_ID_BYTES: Final = 6
AES_BYTES: Final = 16

_BLOCK_CHARACTERS: Final = 32
_LONGEST_PUBLIC_ID: Final = 16
_CRC_START, _CRC_POLYNOMIAL, _CRC_RESIDUE = 0xFFFF, 0x8408, 0xF0B8
_LARGEST_USE_COUNTER: Final = 0x7FFF

_Code = OtpErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What of a token only grows: uses since it was made, codes and time (1/8 s) since it was plugged in."""

    use: int
    session: int
    timestamp: int

    def to_dict(self) -> dict[str, int]:
        """Return the counters as JSON-compatible values."""
        return {"use": self.use, "session": self.session, "timestamp": self.timestamp}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the counters that `to_dict` wrote; raises `OtpError` with BAD_PARAMETER."""
        try:
            return cls(use=int(data["use"]), session=int(data["session"]), timestamp=int(data["timestamp"]))
        except (KeyError, TypeError, ValueError) as error:
            raise OtpError(_Code.BAD_PARAMETER) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class YubicoOtpToken:
    """One enrolled slot. `public_id` has 6 bytes (0 to 16 are possible); `private_id` 6, `aes_key` 16."""

    public_id: bytes
    private_id: Secret
    aes_key: Secret

    def __post_init__(self) -> None:
        sizes = (len(self.private_id), len(self.aes_key))
        if sizes != (PRIVATE_ID_BYTES, AES_BYTES) or len(self.public_id) > _LONGEST_PUBLIC_ID:
            raise OtpError(_Code.BAD_PARAMETER, "a private id has 6 bytes, a key 16, a public id up to 16")

    def verify(self, typed: str, *, last: Counters | None) -> Counters:
        """Return the counters of this code, to be stored by compare-and-swap.

        `last` are those accepted last, or None before the first. Raises `OtpError`: WRONG_LENGTH,
        NOT_MODHEX, WRONG_PUBLIC_ID, BAD_CRC (or another key's secret), WRONG_PRIVATE_ID, ALREADY_USED,
        USE_COUNTER_WENT_BACK, SESSION_COUNTER_WENT_BACK, TIMESTAMP_WENT_BACK, COUNTER_OUT_OF_RANGE.
        """
        public_id, block = split_otp(typed)
        if not hmac.compare_digest(public_id, self.public_id):
            raise OtpError(_Code.WRONG_PUBLIC_ID)
        plain = self._decrypt(block)
        if crc16(plain) != _CRC_RESIDUE:
            raise OtpError(_Code.BAD_CRC)
        if not hmac.compare_digest(plain[:PRIVATE_ID_BYTES], self.private_id.reveal()):
            raise OtpError(_Code.WRONG_PRIVATE_ID)
        counters = _counters(plain)
        if last is not None:
            _check_growth(counters, last)
        return counters

    def _decrypt(self, block: bytes) -> bytes:
        # One block, never the same twice, whose integrity is the CRC and the private id: the token's own
        # format.
        cipher = Cipher(algorithms.AES(self.aes_key.reveal()), modes.ECB())  # noqa: S305 -- see above
        decryptor = cipher.decryptor()
        return decryptor.update(block) + decryptor.finalize()


def split_otp(typed: str) -> tuple[bytes, bytes]:
    """Return the public id and the encrypted block of a typed code; caps lock is forgiven.

    Raises `OtpError`: WRONG_LENGTH (32 to 64 characters), NOT_MODHEX (which is also what another keyboard
    layout, such as Dvorak, comes to).
    """
    text = typed.strip()
    if text.isupper():
        text = text.lower()
    prefix = len(text) - _BLOCK_CHARACTERS
    if prefix not in range(0, 2 * _LONGEST_PUBLIC_ID + 1, 2):
        raise OtpError(_Code.WRONG_LENGTH)
    return decode_modhex(text[:prefix]), decode_modhex(text[prefix:])


def public_id_of(typed: str) -> str:
    """Return the public id of a typed code in modhex, to find its token by; raises as `split_otp`."""
    return encode_modhex(split_otp(typed)[0])


def crc16(data: bytes) -> int:
    """Return the CRC-16 (ISO 13239) of the data; over a block with its own CRC it is 0xF0B8."""
    crc = _CRC_START
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC_POLYNOMIAL if crc & 1 else 0)
    return crc


def _counters(plain: bytes) -> Counters:
    use = int.from_bytes(plain[6:8], "little")
    if not 0 < use <= _LARGEST_USE_COUNTER:
        # The highest bit was "caps lock" in the first keys, and a key stops counting before it: nothing
        # honest has it.
        raise OtpError(_Code.COUNTER_OUT_OF_RANGE)
    timestamp = int.from_bytes(plain[8:11], "little")
    return Counters(use=use, session=plain[11], timestamp=timestamp)


def _check_growth(now: Counters, last: Counters) -> None:
    if now == last:
        raise OtpError(_Code.ALREADY_USED)
    if now.use < last.use:
        raise OtpError(_Code.USE_COUNTER_WENT_BACK)
    if now.use > last.use:
        return
    if now.session <= last.session:
        raise OtpError(_Code.SESSION_COUNTER_WENT_BACK)
    # Within one power-up time runs forward, too. It starts at a random value and wraps after 24 bits (24
    # days).
    if not 0 < (now.timestamp - last.timestamp) % 2**24 < 2**23:
        raise OtpError(_Code.TIMESTAMP_WENT_BACK)
