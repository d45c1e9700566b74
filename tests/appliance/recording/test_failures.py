"""Disks that fill up, fail, or vanish; processes that are killed (R03, R08)."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.recording.errors import RecorderFailed
from appliance.recording.frames import Gap, Outcome, Output
from appliance.recording.reader import Recording
from appliance.recording.recovery import recover
from appliance.recording.sinks import write_at

ROOT = Path(__file__).parents[3]


class Failing:
    """A real sink whose disk fails with an error until it is mended."""

    def __init__(self, sink, number):
        self.sink, self.number, self.broken = sink, number, False

    def __getattr__(self, name):
        return getattr(self.sink, name)

    def append(self, session_id, offset, data):
        if self.broken:
            raise OSError(self.number, os.strerror(self.number))
        self.sink.append(session_id, offset, data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_strict_recorder_tells_a_disk_error_within_two_seconds_and_takes_nothing_more(studio, run, number):
    sink = Failing(studio.sink, number)

    async def scenario():
        recorder = studio.recorder(sink=sink)
        await recorder.open()
        recorder.output(b"before")
        await asyncio.sleep(0.6)
        sink.broken = True
        recorder.output(b"after")
        started = time.monotonic()
        for _ in range(300):
            if studio.failures:
                break
            await asyncio.sleep(0.01)
        taken = time.monotonic() - started
        with pytest.raises(RecorderFailed):
            recorder.output(b"more")
        with pytest.raises(RecorderFailed):
            recorder.input(b"more")
        with pytest.raises(RecorderFailed):
            await recorder.close()
        return recorder, taken

    recorder, taken = run(scenario)
    assert taken < 2.0
    assert [error.errno for error in studio.failures] == [number]
    recovered = recover(studio.path(recorder))
    assert recovered.manifest.outcome is Outcome.LOST
    assert [frame.data for frame in studio.frames(recorder) if isinstance(frame, Output)] == [b"before"]


def test_a_best_effort_recorder_alarms_goes_on_and_marks_the_gap(studio, run):
    sink = Failing(studio.sink, errno.ENOSPC)

    async def scenario():
        recorder = studio.recorder(sink=sink, strict=False)
        await recorder.open()
        recorder.output(b"before")
        await asyncio.sleep(0.5)
        sink.broken = True
        for _ in range(12):
            recorder.output(b"lost" * 10)
            await asyncio.sleep(0.1)
        assert recorder.failure is not None
        sink.broken = False
        await asyncio.sleep(1.5)
        assert recorder.failure is None
        recorder.output(b"again")
        manifest = await recorder.close()
        return recorder, manifest

    recorder, manifest = run(scenario)
    assert len(studio.failures) == 1
    kinds = [frame for frame in studio.frames(recorder) if isinstance(frame, Output | Gap)]
    assert [type(frame) for frame in kinds] == [Output, Gap, Output]
    assert (kinds[0].data, kinds[2].data) == (b"before", b"again")
    assert 480 <= kinds[1].lost_bytes <= 560
    assert manifest.lost_bytes == kinds[1].lost_bytes
    assert manifest.outcome is Outcome.COMPLETE


def test_a_best_effort_recording_that_ends_inside_a_gap_says_so(studio, run):
    sink = Failing(studio.sink, errno.ENOSPC)

    async def scenario():
        recorder = studio.recorder(sink=sink, strict=False)
        await recorder.open()
        sink.broken = True
        recorder.output(b"lost")
        await asyncio.sleep(0.6)
        with pytest.raises(RecorderFailed):
            await recorder.close()

    run(scenario)
    assert len(studio.failures) == 1


def test_open_fails_where_nothing_can_be_written(studio, run, tmp_path):
    async def scenario():
        recorder = studio.recorder(sink=studio.sink)
        studio.sink.folder = tmp_path / "gone"
        with pytest.raises(RecorderFailed, match="No such file"):
            await recorder.open()

    run(scenario)
    assert [lane.recordings for lane in studio.lanes._lanes] == [0, 0]


def test_a_block_that_was_written_in_part_is_cut_off_again(tmp_path, monkeypatch):
    path, written = tmp_path / "a", []

    def short(fd, data, offset, pwrite=os.pwrite):
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(pwrite(fd, data[:3], offset))
        return 3

    path.write_bytes(b"good")
    fd = os.open(path, os.O_RDWR)
    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(OSError, match="No space"):
        write_at(fd, 4, b"torn block")
    monkeypatch.undo()
    os.close(fd)
    assert path.read_bytes() == b"good"


FILL = """
import asyncio, resource, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.appliance.recording.studio import Studio
from appliance.recording.errors import RecorderFailed
from appliance.recording.lane import Lanes
import random

async def main():
    studio = Studio(Path({folder!r}), Lanes(1))
    recorder = studio.recorder()
    await recorder.open()
    {limit}
    try:
        for _ in range(400):
            recorder.output(random.randbytes(8192))
            await asyncio.sleep(0.005)
    except RecorderFailed as error:
        print("refused", error.errno, flush=True)
    await asyncio.sleep(0.1)
    print("told", [error.errno for error in studio.failures], flush=True)
    print(studio.path(recorder), flush=True)

asyncio.run(main())
"""
LIMIT = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
"""


def fill(folder, limit):
    code = FILL.format(root=str(ROOT), folder=str(folder), limit=limit.strip() or "pass")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_a_file_that_may_not_grow_ends_a_strict_recording_with_the_systems_reason(tmp_path):
    refused, told, path, _ = fill(tmp_path / "spool", LIMIT)
    assert refused == f"refused {errno.EFBIG}"
    assert told == f"told [{errno.EFBIG}]"
    recovered = recover(Path(path))
    assert recovered.manifest.outcome is Outcome.LOST
    assert recovered.manifest.output_bytes > 250_000


@pytest.mark.functional
def test_a_full_file_system_ends_a_strict_recording_and_what_was_written_plays(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount a tmpfs")
    try:
        refused, told, path, _ = fill(disk / "spool", "")
        assert refused == f"refused {errno.ENOSPC}"
        assert told == f"told [{errno.ENOSPC}]"
        with Recording.open(Path(path)) as recording:
            assert sum(len(t.frame.data) for t in recording.frames() if isinstance(t.frame, Output)) > 500_000
    finally:
        subprocess.run(["umount", str(disk)], check=True)


CHILD = """
import asyncio, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.appliance.recording.studio import Studio
from appliance.recording.lane import Lanes

async def main():
    studio = Studio(Path({folder!r}), Lanes(2))
    recorder = studio.recorder()
    await recorder.open()
    print(studio.path(recorder), flush=True)
    number = 0
    while True:
        recorder.output(b"%d %d\\n" % (number, time.monotonic_ns()))
        number += 1
        await asyncio.sleep(0.002)

asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", [0.9, 1.35])
def test_after_kill_9_everything_up_to_half_a_second_ago_plays_and_the_end_is_marked_lost(tmp_path, seconds):
    code = CHILD.format(root=str(ROOT), folder=str(tmp_path / "spool"))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    path = Path(child.stdout.readline().strip())
    time.sleep(seconds)
    killed = time.monotonic_ns()
    child.kill()
    child.wait()
    child.stdout.close()
    recovered = recover(path)
    assert recovered.changed
    assert recovered.manifest.outcome is Outcome.LOST
    with Recording.open(path) as recording:
        frames = [timed.frame for timed in recording.frames()]
    lines = b"".join(frame.data for frame in frames if isinstance(frame, Output)).splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    assert (killed - int(lines[-1].split()[1])) / 1e9 < 0.6
    assert frames[-1].outcome is Outcome.LOST
    again = recover(path)
    assert not again.changed
    assert again.manifest == recovered.manifest
