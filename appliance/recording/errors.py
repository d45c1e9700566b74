"""What can go wrong with a recording, as one family.

RecordingError                 (a SallyportError, so the API's border knows it)
├── FormatError                the bytes are not a recording, or not of a version known here
│   ├── TornBlock              the file ends inside a block: a crash; what is before it is good
│   └── ChangedBlock           a block is not what was written: its checksum or chain is wrong
├── RecorderFailed             what passes can't be recorded any more; carries the operating system's reason
│   ├── RecorderStalled        the disk did not take a block for too long
│   └── RecorderOverrun        the relay went on sending although the recorder said it is full
├── UnknownRecording           the store has no such recording
├── OffsetGap                  a piece would leave a hole; carries the offset that is expected
├── OffsetConflict             a piece differs from what is stored at its place
├── RecordingFinished          the recording has its manifest, nothing can be added
└── ManifestInvalid            a manifest can't be read or its signature is wrong

The offsets in messages are bytes from the beginning of the recording's file.
"""

from __future__ import annotations

from appliance.domain.errors import SallyportError


class RecordingError(SallyportError):
    """A recording can't be written, read or kept."""

    code = "recording"


class FormatError(RecordingError):
    """Not a recording of a known version. `offset` is the place in the file, in bytes."""

    def __init__(self, message: str, *, offset: int = 0) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


class TornBlock(FormatError):  # noqa: N818 - named for what it is
    """The file ends before its last block does."""


class ChangedBlock(FormatError):  # noqa: N818 - named for what it is
    """A block whose checksum, order or contents are not what was written."""


class RecorderFailed(RecordingError):  # noqa: N818 - named for what it is
    """The recorder can't keep what passes; `errno` is the system's number, 0 if there is none."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class RecorderStalled(RecorderFailed):
    """A block waited longer for the disk than the limit allows."""


class RecorderOverrun(RecorderFailed):
    """More was handed over than may wait in memory."""


class UnknownRecording(RecordingError):  # noqa: N818 - named for what it is
    """There is no recording of that session."""

    code = "not_found"
    status = 404


class OffsetGap(RecordingError):  # noqa: N818 - named for what it is
    """Bytes before this piece are missing; `expected` is where the next piece has to begin."""

    code = "conflict"
    status = 409

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"the next piece of this recording begins at byte {expected}, not {got}")
        self.expected = expected


class OffsetConflict(RecordingError):  # noqa: N818 - named for what it is
    """A piece that was stored before came again with other contents; `offset` is its place."""

    code = "conflict"
    status = 409

    def __init__(self, offset: int) -> None:
        super().__init__(f"other bytes are already stored at byte {offset}")
        self.offset = offset


class RecordingFinished(RecordingError):  # noqa: N818 - named for what it is
    """The recording is closed by its manifest."""

    code = "conflict"
    status = 409


class ManifestInvalid(RecordingError):  # noqa: N818 - named for what it is
    """A manifest that can't be read, or that its signature does not cover."""

    code = "invalid"
    status = 400
