"""Sealed start: a PIN that k of n holders release together, each with a key's HMAC challenge-response.

What is shared is never the PIN but a fresh 32-byte wrapping key, under which the PIN is encrypted. The
wrapping key is the exclusive-or of pieces, one for each group of k-1 holders, given to everybody
outside of that group: k holders have every piece, k-1 lack one. (Replicated sharing: no field
arithmetic, constant time by nature; the number of pieces limits it to seven holders.) A holder's
pieces are encrypted under a key derived from the HMAC of that holder's own challenge, so a wrong key
is found at once; a check value over everything finds pieces that do not belong together.

The answer to a challenge stays the same, so whoever records one can use it again with the file:
`renew` gives a holder who is present a new challenge after each release.

Pure: randomness and the holders' keys are handed in. The file that this makes is not secret.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hsm.errors import HsmError, Malformed
from hsm.secret import Secret

FORMAT = 1
MOST_HOLDERS = 7
CHALLENGE_SIZE = 32
KEY_SIZE = 32
_NONCE_SIZE = 12
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
Random = Callable[[int], bytes]


class SealError(HsmError):
    """The PIN cannot be released: a wrong key, too few holders, or pieces that do not belong together."""


class Revealing(Protocol):
    """An answer that does not print itself."""

    def reveal(self) -> bytes:
        """Return the bytes."""


class ChallengeResponse(Protocol):
    """A holder's key: HMAC-SHA1 over a challenge of at most 63 bytes, with a secret that it keeps."""

    def respond(self, challenge: bytes) -> Revealing:
        """Return the 20-byte answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A holder: name, the challenge of this holder's key, and the pieces encrypted under its answer."""

    name: str
    challenge: bytes
    nonce: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPin:
    """What is kept: `threshold` of the holders open it. `set_id` tells one sealing from another."""

    cluster: str
    set_id: bytes
    threshold: int
    holders: tuple[Holder, ...]
    nonce: bytes
    ciphertext: bytes
    check: bytes

    def holder(self, name: str) -> Holder:
        """Return the holder of that name; raises `SealError`."""
        for holder in self.holders:
            if holder.name == name:
                return holder
        raise SealError(f"{name!r} is not a holder of this seal")


def seal(
    pin: Secret, keys: Mapping[str, ChallengeResponse], threshold: int, cluster: str, random: Random
) -> SealedPin:
    """Seal the PIN for those holders, whose keys are all asked once; raises `Malformed`."""
    names = tuple(sorted(keys))
    if not 1 <= threshold <= len(names) <= MOST_HOLDERS:
        raise Malformed(f"1 to {MOST_HOLDERS} holders, and a threshold not above their number")
    if not all(map(_NAME.fullmatch, names)):
        raise Malformed("a holder's name is lower case letters, digits, dot, hyphen")
    set_id, nonce = random(16), random(_NONCE_SIZE)
    pieces = {group: random(KEY_SIZE) for group in _groups(names, threshold)}
    wrapping = _combine(pieces.values())
    frame = SealedPin(
        cluster=cluster,
        set_id=set_id,
        threshold=threshold,
        holders=(),
        nonce=nonce,
        ciphertext=b"",
        check=b"",
    )
    ciphertext = ChaCha20Poly1305(_derive(wrapping, b"pin")).encrypt(nonce, pin.reveal(), set_id)
    holders = tuple(_wrap(frame, name, _pieces_of(name, pieces), keys[name], random) for name in names)
    whole = replace(frame, holders=holders, ciphertext=ciphertext)
    return replace(whole, check=_check(whole, wrapping))


def _groups(names: tuple[str, ...], threshold: int) -> list[tuple[str, ...]]:
    return list(itertools.combinations(names, threshold - 1))


def _pieces_of(name: str, pieces: Mapping[tuple[str, ...], bytes]) -> bytes:
    return b"".join(piece for group, piece in pieces.items() if name not in group)


def _combine(pieces: Any) -> bytes:
    whole = bytes(KEY_SIZE)
    for piece in pieces:
        whole = bytes(a ^ b for a, b in zip(whole, piece, strict=True))
    return whole


def _derive(secret: bytes, purpose: bytes, salt: bytes = b"") -> bytes:
    return HKDF(SHA256(), KEY_SIZE, salt or None, b"sallyport seal 1 " + purpose).derive(secret)


def _check(sealed: SealedPin, wrapping: bytes) -> bytes:
    """A MAC over what does not change when a holder gets a new challenge."""
    told = [sealed.cluster, str(sealed.threshold), *(holder.name for holder in sealed.holders)]
    message = json.dumps(told).encode() + sealed.set_id + sealed.nonce + sealed.ciphertext
    return hmac.digest(_derive(wrapping, b"check"), message, hashlib.sha256)


def _wrap(sealed: SealedPin, name: str, pieces: bytes, key: ChallengeResponse, random: Random) -> Holder:
    challenge, nonce = random(CHALLENGE_SIZE), random(_NONCE_SIZE)
    cipher = _cipher(name, challenge, key)
    wrapped = cipher.encrypt(nonce, pieces, _bound(sealed, name))
    return Holder(name=name, challenge=challenge, nonce=nonce, wrapped=wrapped)


def _cipher(name: str, challenge: bytes, key: ChallengeResponse) -> ChaCha20Poly1305:
    answer = key.respond(challenge).reveal()
    return ChaCha20Poly1305(_derive(answer, b"holder " + name.encode(), challenge))


def _bound(sealed: SealedPin, name: str) -> bytes:
    return json.dumps([sealed.cluster, sealed.set_id.hex(), sealed.threshold, name]).encode()


def _unwrap(sealed: SealedPin, name: str, key: ChallengeResponse) -> bytes:
    holder = sealed.holder(name)
    try:
        cipher = _cipher(name, holder.challenge, key)
        return cipher.decrypt(holder.nonce, holder.wrapped, _bound(sealed, name))
    except InvalidTag:
        raise SealError(f"that is not the key of {name!r}, or the seal was changed") from None


def renew(sealed: SealedPin, name: str, key: ChallengeResponse, random: Random) -> SealedPin:
    """Return the seal with a new challenge for a holder who is present; the key is asked twice."""
    fresh = _wrap(sealed, name, _unwrap(sealed, name, key), key, random)
    return replace(sealed, holders=tuple(fresh if each.name == name else each for each in sealed.holders))


class Gathering:
    """Holders coming together over one seal; the PIN comes out once there are enough of them."""

    def __init__(self, sealed: SealedPin) -> None:
        self._sealed = sealed
        self._names = tuple(sorted(holder.name for holder in sealed.holders))
        self._pieces: dict[tuple[str, ...], bytes] = {}
        self._present: set[str] = set()

    @property
    def missing(self) -> int:
        """How many more holders are needed."""
        return max(0, self._sealed.threshold - len(self._present))

    @property
    def present(self) -> frozenset[str]:
        """Who has come."""
        return frozenset(self._present)

    def add(self, name: str, key: ChallengeResponse) -> int:
        """Take a holder's pieces and return how many holders are missing; raises `SealError`."""
        raw = _unwrap(self._sealed, name, key)
        groups = [group for group in _groups(self._names, self._sealed.threshold) if name not in group]
        if len(raw) != KEY_SIZE * len(groups):
            raise SealError("the pieces of this holder do not belong to this seal")
        for at, group in enumerate(groups):
            self._pieces[group] = raw[at * KEY_SIZE : (at + 1) * KEY_SIZE]
        self._present.add(name)
        return self.missing

    def pin(self) -> Secret:
        """Return the PIN; raises `SealError` with too few holders, or pieces of different seals."""
        if self.missing:
            raise SealError(f"{self.missing} more holders are needed")
        wrapping = _combine(self._pieces.values())
        if not hmac.compare_digest(_check(self._sealed, wrapping), self._sealed.check):
            raise SealError("the pieces do not belong together, or the seal was changed")
        cipher = ChaCha20Poly1305(_derive(wrapping, b"pin"))
        return Secret(cipher.decrypt(self._sealed.nonce, self._sealed.ciphertext, self._sealed.set_id))


# -- the file


def dump(sealed: SealedPin) -> str:
    """Return the seal as JSON text, to be kept in a file."""
    holders = [{"name": each.name, **_hex(each, "challenge", "nonce", "wrapped")} for each in sealed.holders]
    fields = {"format": FORMAT, "cluster": sealed.cluster, "threshold": sealed.threshold, "holders": holders}
    return json.dumps({**fields, **_hex(sealed, "set_id", "nonce", "ciphertext", "check")}, indent=2) + "\n"


def _hex(value: object, *names: str) -> dict[str, str]:
    return {name: getattr(value, name).hex() for name in names}


def load(text: str) -> SealedPin:
    """Read a seal; raises `Malformed`."""
    try:
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise Malformed("a seal in a format that this version does not read")
        holders = tuple(_load_holder(each) for each in data.pop("holders"))
        cluster, threshold = str(data.pop("cluster")), int(data.pop("threshold"))
        raw = {name: bytes.fromhex(value) for name, value in data.items()}
        return SealedPin(cluster=cluster, threshold=threshold, holders=holders, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Malformed("not a seal") from error


def _load_holder(data: Mapping[str, Any]) -> Holder:
    raw = {name: bytes.fromhex(data[name]) for name in ("challenge", "nonce", "wrapped")}
    return Holder(name=str(data["name"]), **raw)
