"""The stand-alone verifier: `python -m appliance.audit.verify DIR --key NAME+ID+KEY`.

It needs the files of the log, the public audit key, and best a copy of the checkpoints from off the
box (`--checkpoints`): the copy beside the log could have been rolled back together with it. It tells
every difference with its place and leaves with 0 if there is none, 1 if there are, 2 if it could
not look.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.audit.chain import NOWHERE, ChainVerifier, Fault, FaultKind, Place, leaf_hash
from appliance.audit.checkpoint import FILE, Checkpoint, open_checkpoint
from appliance.audit.errors import AuditError
from appliance.audit.files import day_files, lines_of, read_lines
from appliance.audit.merkle import Frontier
from appliance.audit.note import NoteKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(slots=True)
class Report:
    """What the verifier found."""

    events: int = 0
    files: int = 0
    checkpoints: int = 0
    signed: int = 0
    """How many events are under the last good checkpoint."""
    set_aside: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A checkpoint with a good signature, and where it stands."""

    checkpoint: Checkpoint
    place: Place


def verify(folder: Path, keys: Sequence[NoteKey], copies: Sequence[Path] = ()) -> Report:
    """Check all lines of a log against each other and against every checkpoint."""
    report = Report(files=len(day_files(folder)))
    report.set_aside = sorted(path.name for path in folder.glob("*.torn-*"))
    beside = folder / FILE
    files = [*([beside] if beside.exists() else []), *copies]
    signed = _read_checkpoints(files, keys, report)
    _walk(folder, signed, report)
    return report


def _read_checkpoints(files: Sequence[Path], keys: Sequence[NoteKey], report: Report) -> list[Signed]:
    """Return every checkpoint with a good signature, smallest first; tell of the others."""
    found: list[Signed] = []
    for path in files:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            place = Place(file=str(path), line=number)
            try:
                found.append(Signed(checkpoint=open_checkpoint(line, keys), place=place))
            except AuditError as error:
                report.faults.append(Fault(kind=FaultKind.CHECKPOINT, place=place, detail=str(error)))
    report.checkpoints = len(found)
    return sorted(found, key=lambda signed: signed.checkpoint.size)


def _walk(folder: Path, signed: Sequence[Signed], report: Report) -> None:
    chain, tree = ChainVerifier(), Frontier()
    waiting = list(reversed(signed))
    last = NOWHERE
    while waiting and waiting[-1].checkpoint.size == 0:
        _compare(waiting.pop(), tree, last, report)
    for line in read_lines(folder):
        last = Place(file=line.file, line=line.number)
        report.faults.extend(chain.feed(last, line.data))
        tree.append(leaf_hash(line.data))
        while waiting and waiting[-1].checkpoint.size == tree.size:
            _compare(waiting.pop(), tree, last, report)
    report.events = tree.size
    report.faults.extend(chain.finish())
    report.faults.extend(_torn(folder))
    report.faults.extend(_beyond(waiting, tree.size, last))


def _compare(signed: Signed, tree: Frontier, place: Place, report: Report) -> None:
    checkpoint = signed.checkpoint
    if tree.root() == checkpoint.root:
        report.signed = checkpoint.size
        return
    if any(fault.kind is FaultKind.REPLACED for fault in report.faults):
        return  # every later one differs too: its tree holds the same events
    detail = (
        f"events {report.signed + 1} to {checkpoint.size} are not those that were signed at {signed.place} "
        f"(up to {report.signed} they are)"
    )
    report.faults.append(Fault(kind=FaultKind.REPLACED, place=place, detail=detail))


def _torn(folder: Path) -> Iterator[Fault]:
    """Tell of bytes after the last line of a file."""
    for path in day_files(folder):
        if not _ends_a_line(path):
            place = Place(file=path.name, line=sum(1 for _ in lines_of(path)) + 1)
            yield Fault(kind=FaultKind.UNREADABLE, place=place, detail="this line has no end")


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _beyond(waiting: Sequence[Signed], size: int, last: Place) -> Iterator[Fault]:
    if waiting:
        largest = waiting[0]
        detail = (
            f"the log ends after {size} events, "
            f"but {largest.checkpoint.size} were signed at {largest.place}: its end was cut off"
        )
        yield Fault(kind=FaultKind.TRUNCATED, place=last, detail=detail)


def _as_text(report: Report) -> str:
    lines = [str(fault) for fault in report.faults]
    lines += [
        f"note: {name} was set aside after a crash and is not part of the log" for name in report.set_aside
    ]
    verdict = "no difference" if report.good else f"{len(report.faults)} differences"
    lines.append(
        f"{verdict}: {report.events} events in {report.files} files, "
        f"{report.signed} of them under {report.checkpoints} signed checkpoints"
    )
    return "\n".join(lines)


def _as_json(report: Report) -> str:
    faults = [
        {"kind": fault.kind, "file": fault.place.file, "line": fault.place.line, "detail": fault.detail}
        for fault in report.faults
    ]
    plain = {
        name: getattr(report, name) for name in ("events", "files", "checkpoints", "signed", "set_aside")
    }
    return json.dumps({"good": report.good, "faults": faults, **plain}, indent=2)


def _key(text: str) -> NoteKey:
    """Return the key that `text` is, or that the file called so holds."""
    if "+" not in text and Path(text).is_file():
        return NoteKey.parse(Path(text).read_text(encoding="utf-8"))
    return NoteKey.parse(text)


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m appliance.audit.verify", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder of the day files")
    parser.add_argument(
        "--key",
        action="append",
        required=True,
        help="public audit key as NAME+ID+BASE64, or a file that holds it; repeat it after rotations",
    )
    parser.add_argument(
        "--checkpoints",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="copy of checkpoints.jsonl that was kept off the box; can be repeated",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    """Run the verifier; returns the exit status."""
    arguments = _arguments(given)
    try:
        keys = [_key(text) for text in arguments.key]
        report = verify(arguments.folder, keys, arguments.checkpoints)
    except (AuditError, OSError) as error:
        sys.stderr.write(f"verify: {error}\n")
        return 2
    sys.stdout.write((_as_json(report) if arguments.format == "json" else _as_text(report)) + "\n")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
