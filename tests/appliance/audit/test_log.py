import errno
import json
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.audit.chain import GENESIS, ChainVerifier, Head, Place
from appliance.audit.errors import (
    ChainBroken,
    Closed,
    Full,
    InUse,
    Shortened,
    Unrecordable,
    Unwritable,
)
from appliance.audit.files import day_files, read_lines
from appliance.audit.log import AuditLog
from appliance.batching import BatcherBusy

ROOT = Path(__file__).parents[3]


def events(folder):
    return [json.loads(line.data) for line in read_lines(folder)]


def faults(folder):
    verifier = ChainVerifier()
    found = [
        fault
        for line in read_lines(folder)
        for fault in verifier.feed(Place(file=line.file, line=line.number), line.data)
    ]
    return [*found, *verifier.finish()]


def names(folder):
    return [path.name for path in day_files(folder)]


def test_a_recorded_event_is_in_the_file_of_its_day_when_record_returns(opened, folder, clock):
    log = opened()
    receipt = log.record({"event": "session.start", "user": "joe", "sid": "s1", "addr.remote": "10.0.0.1:5"})
    assert names(folder) == ["2026-03-01.00:00:00.log"]
    (event,) = events(folder)
    assert event["time"] == "2026-03-01T12:00:00.123Z"
    assert len(event["uid"]) == 36
    assert event["addr.remote"] == "10.0.0.1:5"
    assert log.head() == Head(receipt.seq, receipt.hash)
    assert receipt.seq == event["seq"] == 1


def test_an_event_keeps_its_own_time_and_uid(opened, folder):
    opened().record({"event": "e", "time": "2017-02-03T06:54:05Z", "uid": "u1"})
    assert (events(folder)[0]["time"], events(folder)[0]["uid"]) == ("2017-02-03T06:54:05Z", "u1")


def test_the_files_can_be_read_by_the_group_and_written_by_the_owner_only(opened, folder):
    before = os.umask(0)
    try:
        opened().record({"event": "e"})
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert day_files(folder)[0].stat().st_mode & 0o777 == 0o640


def test_a_new_day_gets_a_new_file_and_the_chain_goes_on(opened, folder, clock):
    log = opened()
    for _ in range(3):
        log.record({"event": "e"})
        clock.forward(days=1)
    assert names(folder) == [f"2026-03-0{day}.00:00:00.log" for day in (1, 2, 3)]
    assert [event["seq"] for event in events(folder)] == [1, 2, 3]
    assert faults(folder) == []


def test_a_clock_set_back_over_midnight_stays_in_the_newer_file(opened, folder, clock):
    log = opened()
    clock.time = datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)
    log.record({"event": "after"})
    clock.forward(minutes=-5)
    log.record({"event": "before"})
    log.close()
    opened().record({"event": "reopened"})
    last = folder / "2026-03-02.00:00:00.log"
    assert [json.loads(line)["event"] for line in last.read_bytes().splitlines()] == [
        "after",
        "before",
        "reopened",
    ]
    assert faults(folder) == []


def test_the_chain_goes_on_after_closing_and_opening(opened, folder, clock):
    first = opened()
    head = first.record({"event": "a"})
    first.close()
    clock.forward(days=1)
    second = opened(expected=Head(head.seq, head.hash))
    assert second.head() == Head(head.seq, head.hash)
    second.record({"event": "b"})
    assert faults(folder) == []
    assert events(folder)[1]["prev"] == head.hash


def test_many_threads_make_one_order_without_gap_or_double(opened, folder):
    log = opened()
    with ThreadPoolExecutor(32) as pool:
        receipts = list(pool.map(lambda i: log.record({"event": "e", "n": i}), range(600)))
    assert sorted(receipt.seq for receipt in receipts) == list(range(1, 601))
    assert faults(folder) == []
    by_seq = {event["seq"]: event["n"] for event in events(folder)}
    assert all(by_seq[receipt.seq] == n for n, receipt in enumerate(receipts))


def test_waiting_events_share_an_fsync(opened, monkeypatch):
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (syncs.append(1), real(descriptor)))
    log = opened()
    log.record_all([{"event": "e"}] * 1000)
    assert len(syncs) < 500


def test_an_event_is_not_acknowledged_before_it_is_synced(opened, monkeypatch):
    log = opened()
    reached, go_on = threading.Event(), threading.Event()

    def slow(_):
        reached.set()
        assert go_on.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow)
    future = log.submit({"event": "e"})
    assert reached.wait(10)
    assert not future.done()
    assert log.head() == GENESIS
    go_on.set()
    assert future.result(10).seq == 1


def test_a_refused_record_leaves_no_trace(opened, folder):
    log = opened()
    with pytest.raises(Unrecordable):
        log.record({"event": "e", "value": object()})
    assert log.record({"event": "e"}).seq == 1


def failing_once(monkeypatch, name, error, *, after=0):
    real, calls = getattr(os, name), []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 1:
            if after:
                real(arguments[0], bytes(arguments[1])[:after])
            raise OSError(error, os.strerror(error))
        return real(*arguments)

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("after", [0, 40])
def test_a_full_disk_refuses_the_event_and_leaves_no_half_of_it(opened, folder, monkeypatch, after):
    log = opened()
    log.record({"event": "kept"})
    failing_once(monkeypatch, "write", errno.ENOSPC, after=after)
    with pytest.raises(Full):
        log.record({"event": "lost"})
    assert log.head().seq == 1
    assert log.record({"event": "room again"}).seq == 2
    assert [event["event"] for event in events(folder)] == ["kept", "room again"]
    assert faults(folder) == []


def test_after_a_failed_sync_nothing_is_acknowledged_until_the_log_is_opened_anew(
    opened, folder, monkeypatch
):
    log = opened()
    log.record({"event": "kept"})
    failing_once(monkeypatch, "fdatasync", errno.EIO)
    for _ in range(2):
        with pytest.raises(Unwritable):
            log.record({"event": "lost"})
    log.close()
    again = opened()
    assert again.record({"event": "next"}).seq == 2
    assert faults(folder) == []


def test_a_really_full_disk_is_told_and_nothing_acknowledged_is_lost(folder):
    script = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.audit.log import AuditLog
from appliance.audit.errors import Full
class Clock:
    def now(self): return datetime(2026, 3, 1, tzinfo=UTC)
log = AuditLog.open(Path(sys.argv[1]), clock=Clock())
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    for i in range(1000):
        print(log.record({"event": "e", "filler": "x" * 300}).seq, flush=True)
except Full as error:
    print(error)
    print(log.head().seq)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *acknowledged, sentence, head = done.stdout.splitlines()
    assert sentence == "the disk of the audit log is full"
    assert head == acknowledged[-1]
    assert [str(event["seq"]) for event in events(folder)] == acknowledged
    assert 20 < len(acknowledged) < 70


def test_when_even_the_half_line_can_not_be_cut_off_the_log_waits_to_be_opened_anew(
    opened, folder, monkeypatch
):
    log = opened()
    log.record({"event": "kept"})
    failing_once(monkeypatch, "write", errno.ENOSPC, after=40)
    failing_once(monkeypatch, "ftruncate", errno.EIO)
    with pytest.raises(Full):
        log.record({"event": "lost"})
    with pytest.raises(Unwritable, match="opened anew"):
        log.record({"event": "lost"})
    log.close()
    opened()
    assert [event["event"] for event in events(folder)] == ["kept", "audit.repaired"]
    assert faults(folder) == []


def test_a_disk_that_does_not_answer_is_told_after_a_bounded_wait(opened, monkeypatch):
    monkeypatch.setattr("appliance.audit.log.PATIENCE", 0.05)
    gate = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: gate.wait(10))
    log = opened()
    with pytest.raises(Unwritable, match="does not answer"):
        log.record({"event": "e"})
    gate.set()


def test_a_log_with_too_many_waiting_events_refuses_more(opened, monkeypatch):
    log = opened()

    def busy(_):
        raise BatcherBusy("8192 requests wait already")

    monkeypatch.setattr(log._batcher, "submit", busy)
    with pytest.raises(Unwritable, match="overloaded"):
        log.record({"event": "e"})


def test_a_repair_that_can_not_be_told_stops_the_start_and_is_told_at_the_next(opened, folder, monkeypatch):
    log = opened()
    log.record({"event": "e"})
    log.close()
    with day_files(folder)[0].open("ab") as file:
        file.write(b"torn")
    failing_once(monkeypatch, "write", errno.ENOSPC)
    with pytest.raises(Full):
        opened()
    opened()
    assert [event["event"] for event in events(folder)] == ["e", "audit.repaired"]


def test_a_folder_that_can_not_be_made_is_told_in_a_sentence(clock, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unwritable, match="can't be written"):
        AuditLog.open(tmp_path / "file" / "log", clock=clock)


def test_a_log_that_could_not_be_opened_can_be_opened_later(opened, folder, monkeypatch):
    failing_once(monkeypatch, "fchmod", errno.EIO)
    with pytest.raises(Unwritable):
        opened()
    assert opened().record({"event": "e"}).seq == 1


def test_a_last_file_larger_than_what_is_checked_continues_from_its_end(opened, folder, monkeypatch):
    log = opened()
    log.record_all([{"event": "e", "n": i} for i in range(200)])
    head = log.head()
    log.close()
    monkeypatch.setattr("appliance.audit.recovery.TAIL", 2000)
    with day_files(folder)[0].open("ab") as file:
        file.write(b"torn")
    log = opened()
    assert log.head().seq == head.seq + 1
    assert faults(folder) == []


def test_pressure_is_told_once_until_it_was_relieved(opened):
    used, told = [0.5], []
    log = opened(disk_use=lambda _: used[0], on_pressure=told.append)
    for level in (0.5, 0.75, 0.9, 0.72, 0.8, 0.6, 0.76):
        used[0] = level
        log.record({"event": "e"})
    assert told == [0.75, 0.76]


def test_a_second_writer_is_refused(opened):
    opened()
    with pytest.raises(InUse):
        opened()


def test_a_closed_log_says_so_and_can_be_closed_again(opened):
    log = opened()
    log.close()
    log.close()
    with pytest.raises(Closed):
        log.record({"event": "e"})


def test_a_link_in_place_of_the_file_is_not_followed(opened, folder, tmp_path):
    folder.mkdir()
    (folder / "2026-03-01.00:00:00.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unwritable):
        opened()
    assert not (tmp_path / "elsewhere").exists()


def test_wherever_a_write_was_torn_all_whole_events_stay_and_the_rest_is_set_aside_and_told(opened, folder):
    log = opened()
    log.record_all([{"event": "e", "n": i} for i in range(3)])
    log.close()
    path = day_files(folder)[0]
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    for cut in range(ends[0], len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        log = opened()
        log.close()
        complete = sum(end <= cut for end in ends)
        found = events(folder)
        torn = cut - ends[complete - 1]
        assert [event["event"] for event in found] == ["e"] * complete + ["audit.repaired"] * bool(torn)
        assert faults(folder) == []
        if torn:
            assert found[-1]["size"] == torn
            aside = folder / found[-1]["file"].removesuffix(".pending")
            assert aside.read_bytes() == whole[cut - torn : cut]
            aside.unlink()


@pytest.mark.parametrize("rubbish", [b"\x00" * 5000, b'{"event":"half', b"\xff\xfe\n\x00\x00\n", b"\n"])
def test_rubbish_after_the_last_event_is_set_aside(opened, folder, rubbish):
    log = opened()
    log.record({"event": "e"})
    log.close()
    with day_files(folder)[0].open("ab") as file:
        file.write(rubbish)
    opened()
    assert [event["event"] for event in events(folder)] == ["e", "audit.repaired"]
    assert [path.read_bytes() for path in folder.glob("*.torn-*")] == [rubbish]
    assert faults(folder) == []


def test_a_repair_that_crashed_before_it_was_told_is_told_at_the_next_start(opened, folder):
    log = opened()
    log.record({"event": "e"})
    log.close()
    (folder / "2026-03-01.00:00:00.log.torn-9.pending").write_bytes(b"half")
    opened()
    assert events(folder)[-1]["event"] == "audit.repaired"
    assert not list(folder.glob("*.pending"))


def test_a_log_whose_only_line_was_torn_begins_again_at_the_file_before(opened, folder, clock):
    log = opened()
    log.record({"event": "yesterday"})
    clock.forward(days=1)
    log.record({"event": "today"})
    log.close()
    newest = day_files(folder)[-1]
    newest.write_bytes(newest.read_bytes()[:-5])
    opened()
    assert [event["event"] for event in events(folder)] == ["yesterday", "audit.repaired"]
    assert faults(folder) == []


@pytest.mark.parametrize("damage", ["edit", "remove", "swap", "repeat", "unreadable"])
def test_a_changed_end_refuses_to_open_and_is_set_aside_only_when_a_person_says_so(opened, folder, damage):
    log = opened()
    log.record_all([{"event": "e", "n": i} for i in range(5)])
    log.close()
    path = day_files(folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    match damage:
        case "edit":
            lines[1] = lines[1].replace(b'"n":1', b'"n":7')
        case "remove":
            del lines[2]
        case "swap":
            lines[2], lines[3] = lines[3], lines[2]
        case "repeat":
            lines.insert(2, lines[2])
        case "unreadable":
            lines[2] = b"#" + lines[2][1:]
    path.write_bytes(b"".join(lines))
    with pytest.raises(ChainBroken) as caught:
        opened()
    assert caught.value.place.startswith(path.name)
    assert path.read_bytes() == b"".join(lines)
    opened(accept_changes=True)
    assert events(folder)[-1]["event"] == "audit.repaired"
    assert faults(folder) == []


def test_a_log_shorter_than_a_known_head_refuses_to_open(opened, folder):
    log = opened()
    receipts = log.record_all([{"event": "e"}] * 3)
    log.close()
    path = day_files(folder)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(Shortened) as caught:
        opened(expected=Head(receipts[-1].seq, receipts[-1].hash))
    assert (caught.value.found, caught.value.expected) == (2, 3)


def test_a_head_with_another_hash_refuses_to_open(opened):
    log = opened()
    log.record({"event": "e"})
    log.close()
    with pytest.raises(ChainBroken):
        opened(expected=Head(1, "ab" * 32))


CRASHING = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from appliance.audit.log import AuditLog
class Clock:
    def now(self): return datetime(2026, 3, 1, tzinfo=UTC)
log = AuditLog.open(Path(sys.argv[1]), clock=Clock())
def write():
    while True:
        receipt = log.record({"event": "e", "filler": "x" * 200})
        sys.stdout.write(f"{receipt.seq} {receipt.hash}\\n")
        sys.stdout.flush()
for _ in range(4):
    threading.Thread(target=write).start()
"""


def test_killed_in_the_middle_of_writing_twenty_times_nothing_acknowledged_is_lost(opened, folder):
    chance = random.Random(20260301)
    acknowledged = {}
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", CRASHING, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            lines = [child.stdout.readline() for _ in range(chance.randint(1, 120))]
            child.kill()
            lines += child.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n") and len(line.split()) == 2:
                seq, digest = line.split()
                acknowledged[int(seq)] = digest
    head = opened().head()
    assert faults(folder) == []
    assert head.seq >= max(acknowledged)
    assert len(acknowledged) > 200
    following = {event["seq"] - 1: event["prev"] for event in events(folder)} | {head.seq: head.hash}
    assert all(following[seq] == digest for seq, digest in acknowledged.items())
