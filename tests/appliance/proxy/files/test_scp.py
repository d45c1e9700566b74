import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.proxy.files.scp import ScpWatcher
from appliance.recording.events import FileVerb


def watch():
    told = []
    return ScpWatcher(told.append), told


def upload(*parts):
    watcher, told = watch()
    watcher.feed_node(b"\0")
    for part in parts:
        watcher.feed_person(part)
        watcher.feed_node(b"\0")
    return watcher, told


def test_an_upload_is_told_with_size_and_hash():
    _, (event,) = upload(b"C0644 5 name\n", b"hello\0")
    assert (event.verb, event.path, event.size, event.ok) == (FileVerb.WRITE, b"name", 5, True)
    assert event.sha256 == hashlib.sha256(b"hello").hexdigest()


def test_a_download_is_the_same_the_other_way_round():
    watcher, told = watch()
    watcher.feed_person(b"\0")
    watcher.feed_node(b"T1 0 1 0\nC0600 3 a b\nxyz\0")
    assert [(event.verb, event.path, event.size) for event in told] == [(FileVerb.READ, b"a b", 3)]


def test_folders_are_a_part_of_the_path():
    _, told = upload(b"D0755 0 d\n", b"C0644 0 e\n", b"\0", b"E\n", b"C0644 1 f\n", b"x\0")
    assert [event.path for event in told] == [b"d/e", b"f"]


def test_a_file_that_was_cut_off_is_told_as_that():
    watcher, told = upload(b"C0644 100 name\n", b"only this")
    watcher.end()
    assert [(event.ok, event.size) for event in told] == [(False, 9)]


def test_what_is_no_scp_is_watched_no_more():
    for first in (b"hello", b"\x1f\0\0\0"):
        watcher, _ = watch()
        watcher.feed_node(first)
        assert watcher.over
    watcher, told = upload(b"rm -rf /\n")
    assert watcher.over
    assert told == []
    watcher, told = upload(b"C0644 5 ../name/x\n")
    assert watcher.over


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.data())
def test_how_the_stream_is_cut_changes_nothing(files, data):
    stream = b"".join(b"C0644 %d f%d\n%s\0" % (len(file), index, file) for index, file in enumerate(files))
    watcher, told = watch()
    watcher.feed_node(b"\0")
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        watcher.feed_person(stream[:size])
        stream = stream[size:]
    assert [event.sha256 for event in told] == [hashlib.sha256(file).hexdigest() for file in files]


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_without_a_crash(data):
    watcher, _ = upload(data)
    watcher.end()
