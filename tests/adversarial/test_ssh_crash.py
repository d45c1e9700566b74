"""A worker that is killed loses at most a second of its recordings, and says what was lost."""

import signal
import subprocess
import time

import pytest

from appliance.recording.frames import End, Outcome, Output
from appliance.recording.reader import Recording
from tests.support.worker_process import running_process

pytestmark = pytest.mark.functional


def test_after_kill_9_the_next_worker_sends_what_was_recorded_and_marks_the_end_as_lost(tmp_path):
    with running_process(tmp_path) as bastion:
        process = subprocess.Popen(
            [
                "ssh",
                "-F",
                str(tmp_path / "ssh_config"),
                "web1.main",
                "for i in $(seq 100); do echo line-$i; sleep 0.05; done",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        seen = [process.stdout.readline() for _ in range(50)]
        time.sleep(0.5)
        bastion.process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=10)
        bastion.restart()
        bastion.eventually(lambda: not list((tmp_path / "spool").glob("*.rec")))
        bastion.stop()
        got = bastion.got()
        (session,) = got["finished"]
        assert got["finished"][session] is True
        with Recording.open(tmp_path / "got" / f"{session}.rec") as recording:
            frames = [timed.frame for timed in recording.frames()]
    recorded = b"".join(frame.data for frame in frames if isinstance(frame, Output))
    assert recorded.startswith(b"".join(seen))
    assert (b"".join(seen) + rest).startswith(recorded) or recorded.startswith(b"".join(seen) + rest)
    assert isinstance(frames[-1], End)
    assert frames[-1].outcome is Outcome.LOST
