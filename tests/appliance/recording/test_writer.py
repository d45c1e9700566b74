"""Recorders on a real loop, real threads and real files."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from itertools import pairwise

import pytest

from appliance.recording.errors import RecorderFailed, RecorderOverrun, RecorderStalled
from appliance.recording.events import Joined
from appliance.recording.feed import Limits
from appliance.recording.frames import (
    Echo,
    End,
    ErrorOutput,
    Exec,
    ExitStatus,
    Happened,
    Header,
    Input,
    InputHidden,
    Outcome,
    Output,
    Program,
    Resize,
)
from appliance.recording.reader import Recording
from appliance.recording.ticks import SECOND, Ticks


def joined(frames, kind):
    return b"".join(frame.data for frame in frames if isinstance(frame, kind))


def test_the_recording_is_on_disk_with_its_header_before_open_returns(studio, run):
    async def scenario():
        recorder = studio.recorder()
        await recorder.open()
        frames = studio.frames(recorder)
        await recorder.close()
        return recorder, frames

    recorder, frames = run(scenario)
    assert frames == [Header(recorder.facts)]
    assert studio.path(recorder).stat().st_mode & 0o777 == 0o600
    assert studio.sink.folder.stat().st_mode & 0o777 == 0o700


def test_frames_come_back_in_the_order_they_were_handed_over(studio, run):
    async def scenario():
        async with studio.recording() as recorder:
            recorder.record(Exec(Program.COMMAND, b"uptime"))
            recorder.output(b"up ")
            recorder.input(b"x", participant=3)
            recorder.resize(132, 50)
            recorder.output(memoryview(bytearray(b"3 days")))
            recorder.record(ExitStatus(0))
        return recorder

    recorder = run(scenario)
    assert studio.frames(recorder)[1:-1] == [
        Exec(Program.COMMAND, b"uptime"),
        Output(b"up "),
        Input(b"x", 3),
        Resize(132, 50),
        Output(b"3 days"),
        ExitStatus(0),
    ]
    end = studio.frames(recorder)[-1]
    assert (end.outcome, end.reason, end.output_bytes, end.input_bytes) == (Outcome.COMPLETE, "done", 9, 1)


def test_the_data_is_copied_when_it_is_handed_over(studio, run):
    async def scenario():
        async with studio.recording() as recorder:
            buffer = bytearray(b"secret of the first packet")
            recorder.output(buffer)
            buffer[:] = b"x" * len(buffer)
        return recorder

    assert joined(studio.frames(run(scenario)), Output) == b"secret of the first packet"


def test_bytes_in_are_bytes_out_whatever_their_sizes(studio, run):
    rng = random.Random(7)
    sizes = [rng.choice([1, 1, 1, 7, 4096, 65536, 300_000, 1_100_000]) for _ in range(120)]
    sent = hashlib.sha256()

    async def scenario():
        async with studio.recording() as recorder:
            for size in sizes:
                data = rng.randbytes(size)
                sent.update(data)
                recorder.output(data)
                if recorder.full:
                    await recorder.drained()
        return recorder

    recorder = run(scenario)
    stored = hashlib.sha256()
    with Recording.open(studio.path(recorder)) as recording:
        for timed in recording.frames():
            if isinstance(timed.frame, Output):
                stored.update(timed.frame.data)
    assert stored.digest() == sent.digest()


def test_one_byte_writes_and_a_storm_of_resizes_are_all_kept(studio, run):
    async def scenario():
        async with studio.recording() as recorder:
            for index in range(20_000):
                recorder.output(bytes([index & 0xFF]))
                recorder.resize(1 + index % 300, 1 + index % 100)
        return recorder

    recorder = run(scenario)
    frames = studio.frames(recorder)
    assert joined(frames, Output) == bytes(index & 0xFF for index in range(20_000))
    assert sum(isinstance(frame, Resize) for frame in frames) == 20_000
    assert studio.path(recorder).stat().st_size < 400_000


def test_a_quiet_session_is_on_disk_within_half_a_second(studio, run):
    async def scenario():
        async with studio.recording() as recorder:
            recorder.output(b"$ ")
            await asyncio.sleep(0.5)
            return joined(studio.frames(recorder), Output)

    assert run(scenario) == b"$ "


def test_times_come_from_the_clock_that_never_goes_back(studio, run):
    async def scenario():
        async with studio.recording() as recorder:
            for _ in range(5):
                recorder.output(b".")
                await asyncio.sleep(0.05)
        return recorder

    recorder = run(scenario)
    with Recording.open(studio.path(recorder)) as recording:
        times = [timed.at_us for timed in recording.frames() if isinstance(timed.frame, Output)]
    assert times == sorted(times)
    assert all(45_000 < later - sooner < 500_000 for sooner, later in pairwise(times))


class Slow:
    """A disk that takes a while for each block, or for ever."""

    def __init__(self, sink, seconds):
        self.sink, self.seconds = sink, seconds

    def __getattr__(self, name):
        return getattr(self.sink, name)

    def append(self, session_id, offset, data):
        time.sleep(self.seconds)
        self.sink.append(session_id, offset, data)


def test_a_slow_disk_makes_the_recorder_full_and_then_drained(studio, run):
    limits = Limits(high_bytes=1 << 20, low_bytes=1 << 18)
    peak = 0

    async def scenario():
        nonlocal peak
        async with studio.recording(sink=Slow(studio.sink, 0.02), limits=limits) as recorder:
            for _ in range(64):
                recorder.output(random.randbytes(65536))
                peak = max(peak, recorder._scribe.feed.queued_bytes)
                if recorder.full:
                    await recorder.drained()
        return recorder

    recorder = run(scenario)
    assert studio.drains > 0
    assert peak < (1 << 20) + (1 << 19)
    assert len(joined(studio.frames(recorder), Output)) == 64 * 65536


def ignore_full(recorder):
    for _ in range(200):
        recorder.output(bytes(65536))


def test_a_relay_that_does_not_heed_full_fails_the_recorder_instead_of_eating_memory(studio, run):
    async def scenario():
        recorder = studio.recorder(sink=Slow(studio.sink, 0.5))
        await recorder.open()
        with pytest.raises(RecorderFailed):
            ignore_full(recorder)
        await asyncio.sleep(0.05)
        with pytest.raises(RecorderFailed):
            await recorder.close()

    run(scenario)
    assert [type(error) for error in studio.failures] == [RecorderOverrun]


def test_a_disk_that_hangs_fails_the_recorder_at_the_next_byte(studio, run):
    limits = Limits(stall_ns=SECOND // 5, batch_ns=SECOND // 100)

    async def scenario():
        recorder = studio.recorder(sink=Slow(studio.sink, 1.0), limits=limits)
        await recorder.open()
        recorder.output(b"a")
        await asyncio.sleep(0.5)
        with pytest.raises(RecorderFailed):
            recorder.output(b"b")
        await asyncio.sleep(0.05)
        with pytest.raises(RecorderFailed):
            await recorder.close()

    run(scenario)
    assert [type(error) for error in studio.failures] == [RecorderStalled]


def test_the_same_session_can_not_be_recorded_over_itself(studio, run):
    async def scenario():
        first = studio.recorder()
        await first.open()
        first.output(b"original")
        await first.close()
        again = studio.recorder()
        object.__setattr__(again, "facts", first.facts)
        again._scribe._journal.session_id = first.facts.uuid
        with pytest.raises(RecorderFailed, match="exists"):
            await again.open()
        return first

    assert joined(studio.frames(run(scenario)), Output) == b"original"


def test_nothing_is_taken_after_close(studio, run):
    async def scenario():
        recorder = studio.recorder(strict=False)
        await recorder.open()
        await recorder.close()
        with pytest.raises(RecorderFailed, match="closed"):
            recorder.output(b"late")

    run(scenario)


def test_a_spool_folder_that_others_can_read_is_refused(studio, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(RecorderFailed, match="0700"):
        type(studio.sink)(folder)


def test_a_password_typed_without_echo_is_not_in_the_file(studio, run):
    async def scenario():
        async with studio.recording(guard_echo=True) as recorder:
            recorder.output(b"$ ")
            for key in b"id":
                recorder.input(bytes([key]))
                recorder.output(bytes([key]))
            recorder.input(b"\r")
            recorder.output(b"\r\nPassword: ")
            for key in b"hunter2":
                recorder.input(bytes([key]))
            recorder.input(b"\r")
            recorder.output(b"\r\n$ ")
        return recorder

    frames = studio.frames(run(scenario))
    assert [frame for frame in frames if isinstance(frame, Input | InputHidden)] == [
        Input(b"id\r"),
        InputHidden(8),
    ]
    assert frames[-1].input_bytes == 11


def test_held_input_is_decided_by_time_without_further_bytes(studio, run):
    async def scenario():
        async with studio.recording(guard_echo=True) as recorder:
            recorder.output(b"Password: ")
            recorder.input(b"hunter2\r")
            await asyncio.sleep(1.8)
            return studio.frames(recorder)

    assert run(scenario)[-1] == InputHidden(8)


def test_what_the_node_tells_about_echo_overrules_the_guess(studio, run):
    async def scenario():
        async with studio.recording(guard_echo=True) as recorder:
            recorder.echo(on=False)
            recorder.input(b"x")
            recorder.output(b"x")
            recorder.echo(on=True)
            recorder.input(b"y")
        return recorder

    frames = [frame for frame in studio.frames(run(scenario)) if not isinstance(frame, Output | Header | End)]
    assert frames == [Echo(on=False), InputHidden(1), Echo(on=True), Input(b"y")]


def test_many_recordings_share_two_threads_without_mixing(studio, run):
    async def one(index):
        async with studio.recording() as recorder:
            for _ in range(20):
                recorder.output(bytes([index]) * 100)
                await asyncio.sleep(0.005)
        return recorder

    async def scenario():
        return await asyncio.gather(*(one(index) for index in range(40)))

    for index, recorder in enumerate(run(scenario)):
        assert joined(studio.frames(recorder), Output) == bytes([index]) * 2000
    assert [lane.recordings for lane in studio.lanes._lanes] == [0, 0]
    assert [lane._backlog for lane in studio.lanes._lanes] == [0, 0]
    assert not studio.sink._open


class Watch:
    """A clock that stands still until it is set forward."""

    def __init__(self):
        self.now = 5 * SECOND
        self.wall = 1_700_000_000 * SECOND

    @property
    def ticks(self):
        return Ticks(monotonic_ns=lambda: self.now, wall_ns=lambda: self.wall)


def test_after_a_day_of_silence_and_a_clock_that_was_set_back_recording_goes_on(studio, run):
    watch = Watch()

    async def scenario():
        async with studio.recording(ticks=watch.ticks) as recorder:
            recorder.output(b"before")
            watch.now += SECOND
            await asyncio.sleep(0.3)
            watch.now += 24 * 3600 * SECOND
            watch.wall -= 3600 * SECOND
            recorder.output(b"after")
        return recorder

    recorder = run(scenario)
    with Recording.open(studio.path(recorder)) as recording:
        timed = [item for item in recording.frames() if isinstance(item.frame, Output)]
    assert [item.frame.data for item in timed] == [b"before", b"after"]
    assert timed[1].at_us - timed[0].at_us == (24 * 3600 + 1) * 1_000_000
    assert timed[1].wall_us - timed[0].wall_us == -3600 * 1_000_000
    assert studio.failures == []


def test_everyone_in_a_shared_session_has_input_of_their_own(studio, run):
    async def scenario():
        async with studio.recording(guard_echo=True) as recorder:
            recorder.record(Happened(Joined(participant=1, user="ann", mode="peer")))
            recorder.output(b"$ ")
            for participant, key in ((0, b"a"), (1, b"b")):
                recorder.input(key, participant)
                recorder.output(key)
            recorder.input(b"secret", 1)
        return recorder

    frames = studio.frames(run(scenario))
    typed = [frame for frame in frames if isinstance(frame, Input | InputHidden)]
    assert typed == [Input(b"a", 0), InputHidden(7, 1)]


def test_a_recording_that_breaks_its_thread_fails_alone(studio, run):
    class Broken(Slow):
        def append(self, session_id, offset, data):
            raise ZeroDivisionError

    async def scenario():
        healthy = [studio.recorder() for _ in range(4)]
        broken = studio.recorder(sink=Broken(studio.sink, 0))
        for recorder in (*healthy, broken):
            await recorder.open()
            recorder.output(b"x")
        await asyncio.sleep(0.6)
        with pytest.raises(RecorderFailed, match="ZeroDivisionError"):
            broken.output(b"y")
        with pytest.raises(RecorderFailed):
            await broken.close()
        for recorder in healthy:
            recorder.output(b"y")
            await recorder.close()
        return healthy

    for recorder in run(scenario):
        assert joined(studio.frames(recorder), Output) == b"xy"
    assert len(studio.failures) == 1


def test_nothing_waits_for_threads_that_have_been_stopped(studio, run):
    async def scenario():
        recorder = studio.recorder()
        await recorder.open()
        studio.lanes.close()
        with pytest.raises(RecorderFailed, match="stopped"):
            await recorder.close()

    run(scenario)


def test_the_loop_is_not_held_up_while_the_disk_is_slow(studio, run):
    worst = 0.0

    async def heartbeat():
        nonlocal worst
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - before - 0.01)

    async def scenario():
        beating = asyncio.ensure_future(heartbeat())
        async with studio.recording(sink=Slow(studio.sink, 0.3)) as recorder:
            for _ in range(40):
                recorder.output(bytes(65536))
                if recorder.full:
                    await recorder.drained()
                await asyncio.sleep(0.01)
        beating.cancel()

    run(scenario)
    assert worst < 0.2


def test_standard_error_is_kept_apart_and_counted(studio, run):
    async def scenario():
        recorder = studio.recorder()
        await recorder.open()
        recorder.output(b"out")
        recorder.error_output(b"error")
        return recorder, await recorder.close()

    recorder, manifest = run(scenario)
    assert joined(studio.frames(recorder), Output) == b"out"
    assert joined(studio.frames(recorder), ErrorOutput) == b"error"
    assert (manifest.output_bytes, manifest.error_bytes) == (3, 5)
