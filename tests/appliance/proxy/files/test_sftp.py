import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.proxy.files.sftp import SftpWatcher
from appliance.proxy.wire import string
from appliance.recording.events import FileVerb


def u32(value):
    return value.to_bytes(4, "big")


def u64(value):
    return value.to_bytes(8, "big")


def packet(kind, *parts):
    body = bytes([kind]) + b"".join(parts)
    return u32(len(body)) + body


def status(number, code=0, text=b""):
    return packet(101, u32(number), u32(code), string(text), string(b"en"))


READ, WRITE_CREATE = u32(1), u32(0x1A)
HELLO = (packet(1, u32(3)), packet(2, u32(3)))


def put(path, pieces, handle=b"h", *, close=True):
    """Both directions of an upload: (up, down)."""
    up, down = [packet(3, u32(1), string(path), WRITE_CREATE, u32(0))], [packet(102, u32(1), string(handle))]
    offset = 0
    for number, piece in enumerate(pieces, 2):
        up.append(packet(6, u32(number), string(handle), u64(offset), string(piece)))
        down.append(status(number))
        offset += len(piece)
    if close:
        up.append(packet(4, u32(999), string(handle)))
        down.append(status(999))
    return up, down


def converse(*exchanges):
    told = []
    watcher = SftpWatcher(told.append)
    kept = watcher.feed_person(HELLO[0]) + watcher.feed_node(HELLO[1])
    for up, down in exchanges:
        for one, other in zip(up, down, strict=True):
            kept += watcher.feed_person(one) + watcher.feed_node(other)
    return watcher, told, kept


def test_an_upload_is_told_with_its_size_and_hash():
    pieces = [b"a" * 32768, b"b" * 100]
    _, (event,), kept = converse(put(b"/tmp/x", pieces))
    assert (event.verb, event.path, event.size, event.ok) == (FileVerb.WRITE, b"/tmp/x", 32868, True)
    assert event.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert kept == b""


def test_an_empty_upload_is_told_too():
    _, (event,), _ = converse(put(b"/tmp/x", []))
    assert (event.size, event.sha256) == (0, hashlib.sha256(b"").hexdigest())


def test_a_download_is_told_from_what_the_node_sent():
    up = [packet(3, u32(1), string(b"f"), READ, u32(0))]
    down = [packet(102, u32(1), string(b"h"))]
    up += [
        packet(5, u32(2), string(b"h"), u64(0), u32(100)),
        packet(5, u32(3), string(b"h"), u64(3), u32(100)),
    ]
    down += [packet(103, u32(2), string(b"abc")), status(3, 1)]
    up.append(packet(4, u32(4), string(b"h")))
    down.append(status(4))
    _, (event,), _ = converse((up, down))
    assert (event.verb, event.size, event.sha256) == (FileVerb.READ, 3, hashlib.sha256(b"abc").hexdigest())


def test_parts_that_were_skipped_leave_no_hash():
    up, down = put(b"x", [b"aa"], close=False)
    up += [packet(6, u32(50), string(b"h"), u64(100), string(b"zz")), packet(4, u32(51), string(b"h"))]
    down += [status(50), status(51)]
    _, (event,), _ = converse((up, down))
    assert (event.size, event.sha256) == (4, None)


@pytest.mark.parametrize(
    ("request_", "verb", "path", "target"),
    [
        (packet(13, u32(1), string(b"a")), FileVerb.REMOVE, b"a", None),
        (packet(14, u32(1), string(b"a"), u32(0)), FileVerb.MAKE_DIRECTORY, b"a", None),
        (packet(15, u32(1), string(b"a")), FileVerb.REMOVE_DIRECTORY, b"a", None),
        (packet(18, u32(1), string(b"a"), string(b"b")), FileVerb.RENAME, b"a", b"b"),
        (packet(20, u32(1), string(b"a"), string(b"b")), FileVerb.LINK, b"a", b"b"),
        (packet(9, u32(1), string(b"a"), u32(0)), FileVerb.SET_ATTRIBUTES, b"a", None),
        (
            packet(200, u32(1), string(b"posix-rename@openssh.com"), string(b"a"), string(b"b")),
            FileVerb.RENAME,
            b"a",
            b"b",
        ),
        (
            packet(200, u32(1), string(b"hardlink@openssh.com"), string(b"a"), string(b"b")),
            FileVerb.LINK,
            b"a",
            b"b",
        ),
    ],
)
def test_everything_that_changes_names_is_told_with_its_outcome(request_, verb, path, target):
    _, (event,), _ = converse(([request_], [status(1)]))
    assert (event.verb, event.path, event.target, event.ok) == (verb, path, target, True)
    _, (event,), _ = converse(([request_], [status(1, 3, b"no\x1b[2J")]))
    assert (event.ok, event.reason) == (False, "no\x1b[2J")


def test_a_refused_opening_is_told():
    up, down = [packet(3, u32(1), string(b"/etc/shadow"), READ, u32(0))], [status(1, 3, b"Permission denied")]
    _, (event,), _ = converse((up, down))
    assert (event.path, event.ok, event.reason) == (b"/etc/shadow", False, "Permission denied")


def test_a_file_still_open_at_the_end_is_told_as_interrupted():
    watcher, told, _ = converse(put(b"x", [b"abc"], close=False))
    watcher.end()
    assert [(event.ok, event.size, event.reason) for event in told] == [(False, 3, "interrupted")]


@pytest.mark.parametrize(
    "data", [u32(1 << 30) + b"\x05", u32(0), packet(77, b""), packet(13, b"\0"), b"echo hello; id\n" * 20]
)
def test_what_is_no_sftp_is_kept_from_there_on(data):
    told = []
    watcher = SftpWatcher(told.append)
    assert watcher.feed_person(HELLO[0]) == b""
    kept = watcher.feed_person(data)
    assert watcher.strange
    assert data.endswith(kept)
    assert watcher.feed_person(b"more") == b"more"
    assert watcher.feed_node(b"other") == b"other"


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=400), max_size=6), st.data())
def test_how_the_stream_is_cut_changes_nothing(pieces, data):
    up, down = put(b"p", pieces)
    told = []
    watcher = SftpWatcher(told.append)
    watcher.feed_person(HELLO[0])
    watcher.feed_node(HELLO[1])
    # the handle has to be known before the writes, so opening comes first
    watcher.feed_person(up[0])
    watcher.feed_node(down[0])
    rest, replies = b"".join(up[1:]), b"".join(down[1:])
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        assert watcher.feed_person(rest[:size]) == b""
        rest = rest[size:]
    while replies:
        size = data.draw(st.integers(1, len(replies)))
        assert watcher.feed_node(replies[:size]) == b""
        replies = replies[size:]
    assert told[0].sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_any_bytes_are_taken_without_a_crash(up, down):
    watcher = SftpWatcher(lambda event: None)
    watcher.feed_person(up)
    watcher.feed_node(down)
    watcher.end()
