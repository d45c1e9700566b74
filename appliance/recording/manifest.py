"""What a whole recording is, in one signed value, and how a file is compared with it (X5).

The manifest names the head of the block chain, so one signature covers every byte. It also keeps
the chain's digest at up to 256 places on the way, so that where a file differs can be named even
if whoever changed it computed the chain anew. What is signed is the line `CONTEXT` followed by the
manifest's JSON exactly as stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.domain.codec import dumps, loads
from appliance.domain.errors import Invalid
from appliance.recording.blocks import chain_start
from appliance.recording.errors import ManifestInvalid
from appliance.recording.frames import Outcome

if TYPE_CHECKING:
    from uuid import UUID

    from appliance.recording.frames import End

T = TypeVar("T")
CONTEXT = b"sallyport recording manifest v1\n"
MAX_CHECKPOINTS = 256


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(wall_us: int) -> datetime:
    """Return the time of so many microseconds since 1970-01-01 UTC."""
    return EPOCH + timedelta(microseconds=wall_us)


class ManifestSigner(Protocol):
    """A key that stays where it is."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of the message."""


class ManifestVerifier(Protocol):
    """The other half of the signer's key."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is of this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The chain's digest in hex after `blocks` blocks, which end at byte `end` of the file."""

    blocks: int
    end: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The facts of one finished recording. Digests are SHA-256 in hex, sizes are bytes."""

    session_id: str
    outcome: Outcome
    reason: str
    started: datetime
    ended: datetime
    size: int
    blocks: int
    head: str
    checkpoints: tuple[Checkpoint, ...]
    output_bytes: int
    error_bytes: int
    input_bytes: int
    lost_bytes: int = 0
    """About what the gaps of a best-effort recording miss, plus a tail that was torn off."""
    version: int = 1

    @classmethod
    def of(cls, *, session_id: UUID, end: End, tally: Tally, started: datetime, ended: datetime) -> Manifest:
        """Return the manifest of a recording whose last frame is `end`."""
        return cls(
            session_id=str(session_id),
            outcome=end.outcome,
            reason=end.reason,
            started=started,
            ended=ended,
            size=tally.size,
            blocks=tally.blocks,
            head=tally.head.hex(),
            checkpoints=tally.checkpoints,
            output_bytes=end.output_bytes,
            error_bytes=end.error_bytes,
            input_bytes=end.input_bytes,
            lost_bytes=end.lost_bytes + end.torn_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedManifest:
    """A manifest as it is stored: the exact bytes that were signed, and the signature."""

    manifest: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        """Return the JSON to store."""
        return dumps(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedManifest:
        """Read what `to_bytes` wrote; raises `ManifestInvalid`."""
        return _load(cls, data)

    def opened(self, verifier: ManifestVerifier) -> Manifest:
        """Return the manifest if the signature is right; raises `ManifestInvalid`."""
        if not verifier.verify(CONTEXT + self.manifest, self.signature):
            raise ManifestInvalid("the signature of this recording's manifest is wrong")
        return self.unverified()

    def unverified(self) -> Manifest:
        """Return the manifest without a look at the signature, for listings; raises `ManifestInvalid`."""
        return _load(Manifest, self.manifest)


def sign_manifest(manifest: Manifest, signer: ManifestSigner) -> SignedManifest:
    """Sign a manifest; whatever the signer raises passes through."""
    data = dumps(manifest)
    return SignedManifest(manifest=data, signature=signer.sign(CONTEXT + data))


def _load(kind: type[T], data: bytes) -> T:
    try:
        value: T = loads(kind, data)
    except Invalid as error:
        raise ManifestInvalid(f"a recording's manifest can't be read: {error}") from error
    return value


class Tally:
    """The chain as it grows: size, number of blocks, head, and a bounded list of checkpoints."""

    def __init__(self, file_header: bytes) -> None:
        self.size = len(file_header)
        self.blocks = 0
        self.head = chain_start(file_header)
        self._stride = 1
        self._checkpoints: list[Checkpoint] = []

    def add(self, length: int, digest: bytes) -> None:
        """Count one block of `length` bytes; when there are too many checkpoints, every other one goes."""
        self.size += length
        self.blocks += 1
        self.head = digest
        if self.blocks % self._stride:
            return
        self._checkpoints.append(Checkpoint(blocks=self.blocks, end=self.size, digest=digest.hex()))
        if len(self._checkpoints) > MAX_CHECKPOINTS:
            self._stride *= 2
            self._checkpoints = [point for point in self._checkpoints if not point.blocks % self._stride]

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints kept so far, in order."""
        return tuple(self._checkpoints)
