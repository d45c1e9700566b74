"""What only the SQLite adapter has to promise: files, crashes, damage, full disks."""

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.batching import BatcherBusy
from appliance.store import migrations
from appliance.store.backend import Create, Put
from appliance.store.errors import Conflict, Corrupt, Full, InUse, SchemaTooNew, Unavailable
from appliance.store.migrations import MIGRATIONS, Migration, migrate, schema_version
from appliance.store.sqlite import MAX_READERS, SqliteBackend
from appliance.store.sqlite_file import SqliteFile
from tests.support.hand_clock import HandClock

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def clock():
    return HandClock()


def opened(path):
    return SqliteBackend.open(path, clock=HandClock())


def filled(path, count=20):
    with opened(path) as store:
        for i in range(count):
            store.put(f"k/{i:03}", f"value {i} ".encode() * 50)


def crashed(path, count=20):
    """Leave the store as a killed process leaves it: a -wal file with the last commits."""
    aside = path.with_name("crashed")
    aside.mkdir()
    with opened(path) as store:
        for i in range(count):
            store.put(f"k/{i:03}", f"value {i} ".encode() * 50)
        for file in path.parent.glob("state.db*"):
            shutil.copy2(file, aside / file.name)
    return aside / "state.db"


def values(store):
    return {item.key: item.value for item in store.items("")}


def test_what_was_written_is_there_after_closing_and_opening(path):
    filled(path)
    with opened(path) as store:
        assert len(values(store)) == 20
        revision = store.revision()
        assert store.put("next", b"") == revision + 1


def test_only_the_owner_can_read_the_files(path):
    before = os.umask(0)
    try:
        with opened(path) as store:
            store.put("a", b"")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("state.db*")}
    finally:
        os.umask(before)
    assert set(modes) == {"state.db", "state.db-wal", "state.db-shm", "state.db.id", "state.db.open"}
    assert set(modes.values()) == {0o600}


def test_a_database_open_to_others_is_refused(path):
    filled(path)
    path.chmod(0o640)
    with pytest.raises(Unavailable, match="chmod 600"):
        opened(path)


def test_commits_are_synced_in_full_and_kept_in_a_write_ahead_log(path):
    with opened(path) as store:
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert store._db.journal_mode == "wal"


def test_a_missing_database_is_not_replaced_by_an_empty_one(path):
    filled(path)
    path.unlink()
    with pytest.raises(Corrupt, match="is missing although there was one"):
        opened(path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"not a database at all " * 500])
def test_an_emptied_or_overwritten_database_is_refused_and_left_alone(path, content):
    filled(path)
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        opened(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (x)")
    other.commit()
    other.close()
    path.chmod(0o600)
    with pytest.raises(Corrupt, match="not a database of this product"):
        opened(path)


def test_a_database_of_another_installation_is_refused(path, tmp_path):
    filled(path)
    (tmp_path / "other").mkdir()
    filled(tmp_path / "other" / "state.db")
    shutil.copy2(tmp_path / "other" / "state.db", path)
    with pytest.raises(Corrupt, match="not the database that was here before"):
        opened(path)


def test_a_torn_page_is_found_at_the_start(path):
    filled(path, 200)
    data = bytearray(path.read_bytes())
    data[8192:8704] = os.urandom(512)
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        opened(path)


def test_a_flipped_bit_in_a_value_is_never_returned(path):
    filled(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"value 7 ")
    data[place] ^= 0x01
    path.write_bytes(data)
    with opened(path) as store:
        with pytest.raises(Corrupt, match="k/007"):
            store.get("k/007")
        with pytest.raises(Corrupt):
            store.range("k/")
        assert store.get("k/008").value.startswith(b"value 8")


def test_after_a_crash_the_write_ahead_log_is_merged(path):
    left = crashed(path)
    with opened(left) as store:
        assert len(values(store)) == 20
    assert not SqliteFile(left).opened.exists()


def test_a_write_ahead_log_that_vanished_after_a_crash_is_noticed(path):
    left = crashed(path)
    SqliteFile(left).wal.unlink()
    with pytest.raises(Corrupt, match=r"state\.db-wal is missing"):
        opened(left)
    SqliteFile(left).opened.unlink()
    with opened(left) as store:
        assert len(values(store)) < 20


def test_a_second_process_or_thread_can_not_open_the_same_store(path):
    with opened(path), pytest.raises(InUse):
        opened(path)
    filled(path)


def test_a_making_that_crashed_is_made_again(path):
    SqliteFile(path).unfinished.write_bytes(b"half made")
    SqliteFile(path).identity.touch(mode=0o600)
    filled(path)
    with opened(path) as store:
        assert len(values(store)) == 20


def test_a_database_whose_identity_was_not_yet_remembered_is_adopted(path):
    filled(path)
    SqliteFile(path).identity.write_bytes(b"")
    filled(path)
    assert SqliteFile(path).identity.read_bytes().strip()


def test_a_folder_that_is_not_there_is_told_in_a_sentence(tmp_path):
    with pytest.raises(Unavailable, match="can't be opened"):
        opened(tmp_path / "absent" / "state.db")


def test_a_newer_schema_is_refused_in_a_sentence_and_left_alone(path):
    filled(path)
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(SchemaTooNew, match="has schema 99, this version knows only up to 1"):
        opened(path)


def test_migrations_are_numbered_in_order_without_gap():
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_a_migration_is_done_once_and_whole_or_not_at_all(path):
    filled(path)
    db = SqliteFile(path).connect()

    def second(db):
        db.table("later").create({"x": int}, pk="x")

    def broken(db):
        db.table("never").create({"x": int}, pk="x")
        raise RuntimeError("power cut")

    steps = (*MIGRATIONS, Migration(version=2, name="later", apply=second))
    migrate(db, steps)
    migrate(db, steps)
    assert schema_version(db) == 2
    with pytest.raises(RuntimeError):
        migrate(db, (*steps, Migration(version=3, name="broken", apply=broken)))
    assert schema_version(db) == 2
    assert "never" not in db.table_names()
    db.close()
    assert migrations.MIGRATIONS == MIGRATIONS


def test_waiting_writes_share_a_commit(path, monkeypatch):
    with opened(path) as store:
        commits, gate = [], threading.Event()
        attempt = store._attempt

        def slow(group):
            commits.append(len(group))
            gate.wait(10)
            return attempt(group)

        monkeypatch.setattr(store, "_attempt", slow)
        with ThreadPoolExecutor(50) as pool:
            writes = [pool.submit(store.put, f"k{i}", b"") for i in range(50)]
            while store._batcher._waiting.__len__() + sum(commits) < 50:
                pass
            gate.set()
            revisions = [write.result(10) for write in writes]
    assert len(commits) <= 3
    assert sorted(revisions) == list(range(1, 51))


def test_one_failing_precondition_does_not_touch_its_neighbours_in_a_commit(path):
    with opened(path) as store:
        store.create("there", b"")
        outcomes = store._commit_group(
            [
                lambda: store._apply_transaction([Put(key="a", value=b"1")]),
                lambda: store._apply_transaction([Put(key="b", value=b"2"), Create(key="there", value=b"")]),
                lambda: store._apply_transaction([Put(key="c", value=b"3")]),
            ]
        )
        assert [isinstance(outcome, int) for outcome in outcomes] == [True, False, True]
        assert sorted(values(store)) == ["a", "c", "there"]


def test_a_database_locked_by_another_program_is_unavailable_after_a_bounded_wait(path):
    with opened(path) as store:
        store._db.execute("PRAGMA busy_timeout = 200")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            store.put("a", b"1")
        other.execute("ROLLBACK")
        other.close()
        store.put("a", b"2")
        assert store.get("a").value == b"2"


def three_more(store, number):
    try:
        store.transact([Put(key=f"k/{number}/{i}", value=os.urandom(3000)) for i in range(3)])
    except Full:
        return False
    return True


def test_a_full_database_says_so_and_nothing_is_half_done(path):
    with opened(path) as store:
        store._db.execute("PRAGMA max_page_count = 40")
        stored = 0
        while three_more(store, stored):
            stored += 1
        assert stored > 3
        assert len(values(store)) == 3 * stored
        before = store.revision()
        store.delete("k/0/0")
        assert store.put("small", b"x") == before + 2


def test_in_a_group_that_does_not_fit_the_small_ones_still_go_through(path):
    with opened(path) as store:
        store._db.execute("PRAGMA max_page_count = 30")
        big = bytes(200_000)
        outcomes = store._commit_group(
            [
                lambda: store._apply_transaction([Put(key="small/1", value=b"1")]),
                lambda: store._apply_transaction([Put(key="big", value=big)]),
                lambda: store._apply_transaction([Put(key="small/2", value=b"2")]),
            ]
        )
        assert [type(outcome) for outcome in outcomes] == [int, Full, int]
        assert sorted(values(store)) == ["small/1", "small/2"]
    with opened(path) as store:
        assert sorted(values(store)) == ["small/1", "small/2"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_really_full_disk_says_so_and_keeps_everything_acknowledged(tmp_path):
    script = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.store.errors import Full
from appliance.store.sqlite import MAX_READERS, SqliteBackend
class Clock:
    def now(self): return datetime(2026, 3, 1, tzinfo=UTC)
store = SqliteBackend.open(Path(sys.argv[1]) / "state.db", clock=Clock())
done = 0
try:
    while True:
        store.put(f"k/{done}", bytes(20_000)); done += 1
except Full as error:
    pass
kept = sum(1 for _ in store.items("k/"))
store.close()
again = SqliteBackend.open(Path(sys.argv[1]) / "state.db", clock=Clock())
print(done, kept, sum(1 for _ in again.items("k/")))
"""
    disk = tmp_path / "disk"
    disk.mkdir()
    # A mount namespace of its own: the mount goes away with the process, whatever happens.
    shell = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", str(disk), sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr and "permi" in done.stderr:
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    written, kept, reopened = map(int, done.stdout.split())
    assert written == kept == reopened > 10


def test_a_disk_that_takes_no_more_bytes_loses_nothing_acknowledged(path):
    script = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.store.errors import Unavailable
from appliance.store.sqlite import MAX_READERS, SqliteBackend
class Clock:
    def now(self): return datetime(2026, 3, 1, tzinfo=UTC)
store = SqliteBackend.open(Path(sys.argv[1]), clock=Clock())
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
done = 0
try:
    while True:
        store.put(f"k/{done}", bytes(20_000)); done += 1
except Unavailable as error:
    print(done)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with opened(path) as store:
        assert len(values(store)) in {int(done.stdout), int(done.stdout) + 1}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


CRASHING = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from appliance.store.backend import Put
from appliance.store.sqlite import MAX_READERS, SqliteBackend
class Clock:
    def now(self): return datetime(2026, 3, 1, tzinfo=UTC)
store = SqliteBackend.open(Path(sys.argv[1]), clock=Clock())
def write(thread):
    for i in range(100_000):
        name = f"{sys.argv[2]}-{thread}-{i}"
        store.transact([Put(key=f"a/{name}", value=b"x" * 500), Put(key=f"b/{name}", value=name.encode())])
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()
for thread in range(4):
    threading.Thread(target=write, args=(thread,)).start()
"""


def test_killed_in_the_middle_of_writing_twenty_times_nothing_acknowledged_is_lost(path):
    chance = random.Random(20260301)
    acknowledged = set()
    for life in range(20):
        command = [sys.executable, "-c", CRASHING, str(path), str(life)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            lines = [child.stdout.readline() for _ in range(chance.randint(1, 100))]
            child.kill()
            lines += child.stdout.read().splitlines(keepends=True)
        acknowledged |= {line.strip() for line in lines if line.endswith("\n") and line.count("-") == 2}
    assert len(acknowledged) > 200
    with opened(path) as store:
        found = {item.key.removeprefix("a/") for item in store.items("a/")}
        assert acknowledged <= found
        assert found == {item.key.removeprefix("b/") for item in store.items("b/")}
        assert len({item.revision for item in store.items("a/")}) == len(found)


def test_a_writer_that_does_not_answer_is_told_apart_from_one_that_never_began(path, monkeypatch):
    monkeypatch.setattr("appliance.store.sqlite.PATIENCE", 0.1)
    gate = threading.Event()
    with opened(path) as store, ThreadPoolExecutor(2) as pool:
        attempt = store._attempt

        def slow(group):
            gate.wait(10)
            return attempt(group)

        monkeypatch.setattr(store, "_attempt", slow)
        first = pool.submit(store.put, "a", b"1")
        with pytest.raises(Unavailable, match="read before trying again"):
            first.result(10)
        with pytest.raises(Unavailable, match="nothing was changed"):
            store.put("b", b"2")
        gate.set()
        monkeypatch.setattr("appliance.store.sqlite.PATIENCE", 10)
        store.put("c", b"3")
        assert sorted(values(store)) == ["a", "c"]


def test_more_readers_than_connections_wait_a_bounded_time(path, monkeypatch):
    monkeypatch.setattr("appliance.store.sqlite.PATIENCE", 0.05)
    with opened(path) as store:
        taken = [store._readers.get() for _ in range(MAX_READERS)]
        with pytest.raises(Unavailable, match="16 threads"):
            store.get("a")
        for reader in taken:
            store._readers.put(reader)
        assert store.find("a") is None


def test_an_overloaded_store_refuses(path, monkeypatch):
    def busy(_):
        raise BatcherBusy("8192 requests wait already")

    with opened(path) as store:
        monkeypatch.setattr(store._batcher, "submit", busy)
        with pytest.raises(Unavailable, match="overloaded"):
            store.put("a", b"")


def test_a_table_that_vanished_is_unavailable_and_the_store_still_closes(path):
    with opened(path) as store:
        store._db.execute("DROP TABLE items")
        with pytest.raises(Unavailable):
            store.put("a", b"")
        with pytest.raises(Unavailable):
            store.find("a")


def test_a_database_without_identity_is_not_ours(path):
    filled(path)
    raw = sqlite3.connect(path)
    raw.execute("DELETE FROM identity")
    raw.commit()
    raw.close()
    with pytest.raises(Corrupt, match="no identity"):
        opened(path)


def test_many_threads_read_and_write_at_once(path):
    with opened(path) as store, ThreadPoolExecutor(40) as pool:

        def work(number):
            for i in range(10):
                store.put(f"t/{number}/{i}", b"x")
                assert store.get(f"t/{number}/{i}").value == b"x"
                store.range(f"t/{number}/")

        list(pool.map(work, range(40)))
        assert len(values(store)) == 400


def test_a_conflict_carries_both_revisions_over_the_thread_border(path):
    with opened(path) as store:
        revision = store.put("a", b"")
        with pytest.raises(Conflict) as caught:
            store.compare_and_swap("a", revision + 7, b"")
        assert (caught.value.expected, caught.value.actual) == (revision + 7, revision)
