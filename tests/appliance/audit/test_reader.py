import sqlite3
from datetime import timedelta

import pytest

from appliance.audit.errors import ChainBroken
from appliance.audit.files import day_files
from appliance.audit.reader import MAX_LIMIT, AuditReader, Query


@pytest.fixture
def log(opened, clock):
    log = opened()
    for day in range(4):
        for i in range(10):
            log.record(
                {
                    "event": ("session.start", "session.end")[i % 2],
                    "user": ("joe", "Ann")[i // 5],
                    "login": "root",
                    "sid": f"s{day}-{i // 2}",
                    "detail": {"words": [f"Größe {day}"]},
                    "n": day * 10 + i,
                }
            )
            clock.forward(minutes=1)
        clock.forward(days=1)
    return log


@pytest.fixture
def reader(log, folder, tmp_path):
    reader = AuditReader(folder, index=tmp_path / "index.db", durable=lambda: log.head().seq)
    yield reader
    reader.close()


def numbers(reader, **query):
    return [event["n"] for event in reader.query(Query(**query)).events]


def test_events_come_newest_first_or_oldest_first(reader):
    assert numbers(reader) == list(range(39, -1, -1))
    assert numbers(reader, newest_first=False) == list(range(40))


def test_pages_follow_each_other_without_gap_or_double_in_both_directions(reader):
    for newest_first in (True, False):
        seen, after = [], None
        while True:
            page = reader.query(Query(limit=7, after=after, newest_first=newest_first))
            seen += [event["n"] for event in page.events]
            if page.next is None:
                break
            after = page.next
        assert sorted(seen, reverse=newest_first) == seen
        assert len(seen) == 40


def test_a_page_that_ends_with_the_last_event_has_no_next(reader):
    assert reader.query(Query(limit=40)).next is None


def test_questions_by_person_session_type_and_login(reader):
    assert numbers(reader, user="joe", newest_first=False)[:6] == [0, 1, 2, 3, 4, 10]
    assert numbers(reader, sid="s2-1") == [23, 22]
    assert set(numbers(reader, events=("session.end",))) == set(range(1, 40, 2))
    assert len(numbers(reader, events=("session.end", "session.start"))) == 40
    assert numbers(reader, user="joe", sid="s2-1", events=("session.end",)) == [23]
    assert numbers(reader, login="nobody") == []


def test_a_time_range_includes_its_beginning_and_not_its_end(reader, log, clock):
    first = clock.time - timedelta(days=4, minutes=40)
    second_day = (first + timedelta(days=1, minutes=10)).replace(microsecond=123000)
    found = numbers(reader, since=second_day, until=second_day + timedelta(minutes=3), newest_first=False)
    assert found == [10, 11, 12]


def test_text_is_found_in_any_value_whatever_its_case(reader):
    assert numbers(reader, text="größe 2", newest_first=False) == list(range(20, 30))
    assert numbers(reader, text="ann", limit=3) == [39, 38, 37]
    assert numbers(reader, text="no such words") == []


def test_a_text_search_looks_at_a_bounded_number_of_events_and_says_where_to_go_on(reader, monkeypatch):
    monkeypatch.setattr("appliance.audit.reader.MAX_SCAN", 15)
    page = reader.query(Query(text="größe 0"))
    assert (page.events, page.next) == ((), 26)
    assert numbers(reader, text="größe 0", after=11) == list(range(9, -1, -1))


def test_new_events_are_found_at_once(reader, log):
    assert len(numbers(reader)) == 40
    log.record({"event": "new", "n": 40})
    assert numbers(reader, limit=1) == [40]


def test_events_that_are_not_yet_durable_are_not_shown(log, folder, tmp_path):
    reader = AuditReader(folder, index=tmp_path / "other.db", durable=lambda: 25)
    assert max(numbers(reader, limit=MAX_LIMIT)) == 24
    reader.close()


def test_quotes_and_wildcards_in_a_question_are_only_text(reader):
    for hostile in ("' OR 1=1 --", "%", "_", '"', ":user"):
        assert numbers(reader, user=hostile) == []


@pytest.mark.parametrize("damage", ["missing", "rubbish", "stale"])
def test_a_lost_or_damaged_or_stale_index_is_made_anew(log, folder, tmp_path, damage):
    path = tmp_path / "index.db"
    first = AuditReader(folder, index=path, durable=lambda: log.head().seq)
    assert len(numbers(first)) == 40
    first.close()
    match damage:
        case "missing":
            path.unlink()
        case "rubbish":
            path.write_bytes(b"rubbish" * 1000)
        case "stale":
            newest = day_files(folder)[-1]
            lines = newest.read_bytes().splitlines(keepends=True)
            newest.write_bytes(b"".join(lines[:-1]))
    second = AuditReader(folder, index=path, durable=lambda: log.head().seq)
    assert len(numbers(second)) == 40 - (damage == "stale")
    second.close()


def test_an_empty_folder_has_no_events(folder, tmp_path):
    reader = AuditReader(folder, index=tmp_path / "index.db", durable=lambda: 0)
    assert reader.query(Query()).events == ()
    reader.close()


def test_an_index_that_breaks_while_it_is_used_is_made_anew(reader, monkeypatch):
    broken = [True]
    real = reader._index._take_in

    def take_in(start):
        if broken.pop() if broken else False:
            raise sqlite3.DatabaseError("database disk image is malformed")
        real(start)

    monkeypatch.setattr(reader._index, "_take_in", take_in)
    assert len(numbers(reader)) == 40


def test_an_index_of_another_version_is_made_anew(log, folder, tmp_path):
    path = tmp_path / "index.db"
    AuditReader(folder, index=path, durable=lambda: 40).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    reader = AuditReader(folder, index=path, durable=lambda: 40)
    assert len(numbers(reader)) == 40
    reader.close()


def test_a_day_removed_behind_the_index_is_no_error_once_the_index_is_made_anew(reader, folder):
    assert len(numbers(reader)) == 40
    day_files(folder)[1].unlink()
    assert sorted(numbers(reader)) == [*range(10), *range(20, 40)]


def test_an_event_overwritten_in_place_is_told_and_not_shown(reader, folder, monkeypatch):
    assert len(numbers(reader)) == 40
    path = day_files(folder)[0]
    data = path.read_bytes()
    path.write_bytes(b"#" * data.index(b"\n") + data[data.index(b"\n") :])
    assert len(numbers(reader)) == 39
    monkeypatch.setattr(reader._index, "rebuild", lambda: None)
    path.write_bytes(b"#" * len(data))
    with pytest.raises(ChainBroken):
        numbers(reader, newest_first=False)


def test_lines_that_are_no_events_and_times_that_are_none_stop_no_question(log, folder, tmp_path):
    for time in ("yesterday", "2026-03-09", 7, None):
        log.record({"event": "odd", "time": time})
    with day_files(folder)[-1].open("ab") as file:
        file.write(b'rubbish\n[]\n{"seq":"x"}\n')
    reader = AuditReader(folder, index=tmp_path / "index.db", durable=lambda: 1000)
    assert len(reader.query(Query(events=("odd",))).events) == 4
    assert len(reader.query(Query(limit=1000)).events) == 44
    reader.close()
