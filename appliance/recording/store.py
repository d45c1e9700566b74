"""The receiving side: recordings as the auth service keeps them.

A piece names its offset. What is there already and the same is taken as done, so a sender may
repeat itself after any failure; a piece that would leave a hole, or that differs from what is
stored, is refused. A piece is durable when `append` returns. The manifest, written once, ends it.

    <folder>/<session id>.rec        the bytes, 0600
    <folder>/<session id>.manifest   the signed manifest, 0600
    <folder>/<session id>.torn       what recovery cut off, if anything
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from appliance.recording.errors import (
    ManifestInvalid,
    OffsetConflict,
    OffsetGap,
    RecordingFinished,
    UnknownRecording,
)
from appliance.recording.manifest import Manifest, ManifestVerifier, SignedManifest
from appliance.recording.reader import Recording
from appliance.recording.recovery import LOST, Recovered, recover
from appliance.recording.sinks import SUFFIX, private_folder, sync_folder, write_at
from appliance.recording.verify import Verdict, compare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST_SUFFIX = ".manifest"
MANIFEST_LIMIT = 1 << 20
MAX_PIECE = 4 << 20
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A line of the listing; `manifest` is not verified here, and None while the recording is open."""

    session_id: UUID
    size: int
    manifest: Manifest | None


def parse_session_id(text: str) -> UUID:
    """Return the id; raises `UnknownRecording` for anything but a UUID in its canonical spelling."""
    try:
        session_id = UUID(text)
    except ValueError as error:
        raise UnknownRecording("there is no such recording") from error
    if str(session_id) != text:
        raise UnknownRecording("there is no such recording")
    return session_id


class RecordingStore:
    """A folder of recordings (0700). One process writes; calls for one recording come one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)

    def path(self, session_id: UUID) -> Path:
        """Return where a recording lies; names are only ever made from a parsed UUID."""
        return self.folder / f"{session_id}{SUFFIX}"

    def _manifest_path(self, session_id: UUID) -> Path:
        return self.folder / f"{session_id}{MANIFEST_SUFFIX}"

    def size(self, session_id: UUID) -> int:
        """Return how many bytes are stored, which is where the next piece begins; 0 for none."""
        try:
            return self.path(session_id).lstat().st_size
        except FileNotFoundError:
            return 0

    def append(self, session_id: UUID, offset: int, data: bytes) -> int:
        """Store a piece durably; return the size then.

        Raises `OffsetGap`, `OffsetConflict`, `RecordingFinished`, or `OSError` from the disk, after
        which the piece can be sent again.
        """
        if len(data) > MAX_PIECE or offset < 0:
            raise OffsetConflict(offset)
        new = not self.path(session_id).exists()
        fd = os.open(self.path(session_id), _OPEN, 0o600)
        try:
            size = os.fstat(fd).st_size
            if offset > size:
                raise OffsetGap(size, offset)
            self._add(fd, session_id, offset, data)
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if new:
            sync_folder(self.folder)
        return size

    def _add(self, fd: int, session_id: UUID, offset: int, data: bytes) -> None:
        known = os.fstat(fd).st_size - offset
        if os.pread(fd, min(known, len(data)), offset) != data[:known]:
            raise OffsetConflict(offset)
        if not (fresh := data[known:]):
            return
        if self._manifest_path(session_id).exists():
            raise RecordingFinished("this recording is closed")
        write_at(fd, offset + known, fresh)
        os.fdatasync(fd)

    def complete(self, session_id: UUID, *, reason: str = LOST) -> Recovered:
        """Bring the recording to a whole end, and return the manifest that is to be signed.

        One that has its end frame stays as it is; of one whose sender is gone, the valid prefix
        is ended as lost for `reason`. Raises `UnknownRecording`, `FormatError`, `RecordingFinished`.
        """
        if self._manifest_path(session_id).exists():
            raise RecordingFinished("this recording is closed")
        return recover(self.path(session_id), reason=reason)

    def finish(self, session_id: UUID, signed: SignedManifest) -> None:
        """Store the manifest, durably and once. The same again is fine.

        Raises `ManifestInvalid` where it is not of this file, `RecordingFinished` where there is another.
        """
        if (stored := self._read_manifest(session_id)) is not None:
            if stored != signed:
                raise RecordingFinished("this recording has another manifest")
            return
        manifest = signed.unverified()
        if not compare(self.path(session_id), manifest) or manifest.session_id != str(session_id):
            raise ManifestInvalid("the manifest does not describe the stored recording")
        self._write_manifest(session_id, signed.to_bytes())

    def _write_manifest(self, session_id: UUID, data: bytes) -> None:
        target = self._manifest_path(session_id)
        draft = target.with_suffix(".draft")
        fd = os.open(draft, _OPEN | os.O_TRUNC, 0o600)
        try:
            write_at(fd, 0, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.replace(target)
        sync_folder(self.folder)

    def _read_manifest(self, session_id: UUID) -> SignedManifest | None:
        try:
            fd = os.open(self._manifest_path(session_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            return SignedManifest.from_bytes(file.read(MANIFEST_LIMIT))

    def manifest(self, session_id: UUID) -> SignedManifest:
        """Return the signed manifest; raises `UnknownRecording` while there is none."""
        if (signed := self._read_manifest(session_id)) is None:
            raise UnknownRecording("this recording has no manifest")
        return signed

    def verify(self, session_id: UUID, verifier: ManifestVerifier) -> Verdict:
        """Compare a finished recording with its manifest; raises `ManifestInvalid`, `UnknownRecording`."""
        return compare(self.path(session_id), self.manifest(session_id).opened(verifier))

    def open(self, session_id: UUID) -> Recording:
        """Open a recording for reading, finished or not; raises `UnknownRecording` or `FormatError`."""
        return Recording.open(self.path(session_id))

    def read(self, session_id: UUID, offset: int, length: int) -> bytes:
        """Return up to `length` bytes as stored; raises `UnknownRecording`."""
        try:
            fd = os.open(self.path(session_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise UnknownRecording("there is no such recording") from error
        try:
            return os.pread(fd, max(0, min(length, MAX_PIECE)), max(0, offset))
        finally:
            os.close(fd)

    def listing(self) -> Iterator[Stored]:
        """Yield every recording in the order of ids; files of other names are passed over."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                session_id = parse_session_id(path.stem)
            except UnknownRecording:
                continue
            signed = self._read_manifest(session_id)
            manifest = None if signed is None else signed.unverified()
            yield Stored(session_id=session_id, size=path.lstat().st_size, manifest=manifest)
