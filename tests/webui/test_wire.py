import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.front.wire import MAX_HEADER_LINES, Places, StrictHeaderReader, Turns

read = StrictHeaderReader()


def test_plain_headers_are_read():
    assert read(io.BytesIO(b"Host: a:1\r\ncontent-length:  5 \r\n\r\n")) == {
        b"Host": b"a:1",
        b"Content-Length": b"5",
    }


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5_0\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length:\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"transfer-encoding: x\r\nContent-Length: 5\r\n",
        b"Transfer_Encoding: chunked\r\n",
        b"Host: a\r\nHost: b\r\n",
        b"Host: a\r\n folded\r\n",
        b"Host: a\n",
        b"Host: a\rX: b\r\n",
        b"Host: a\x00\r\n",
        b"no colon\r\n",
        b": empty\r\n",
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused(lines):
    with pytest.raises(ValueError, match=r".+"):
        read(io.BytesIO(lines + b"\r\n"))


def test_headers_without_an_end_are_refused():
    with pytest.raises(ValueError, match="CRLF"):
        read(io.BytesIO(b"Host: a\r\n"))


def test_too_many_lines_are_refused():
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADER_LINES + 1))
    with pytest.raises(ValueError, match="Too many"):
        read(io.BytesIO(lines + b"\r\n"))


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data):
    try:
        headers = read(io.BytesIO(data))
    except ValueError:
        return
    assert all(b"\r" not in value and b"\n" not in value for value in headers.values())


def test_places_are_counted_in_all_and_per_source_and_given_back():
    places = Places(total=3, per_source=2)
    assert [places.take("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert places.take("192.0.2.2")
    assert not places.take("192.0.2.3")
    places.give_back("192.0.2.1")
    assert places.take("192.0.2.3")


@given(
    st.lists(
        st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), st.booleans()), max_size=60
    )
)
def test_turns_are_never_more_than_allowed_and_none_is_lost(steps):
    turns, busy, waiting = Turns(per_source=2), {}, {}
    for number, (source, comes) in enumerate(steps):
        if comes:
            began = turns.begin(source, number)
            assert began == (len(busy.get(source, ())) < 2)
            (busy if began else waiting).setdefault(source, []).append(number)
        elif busy.get(source):
            busy[source].pop(0)
            following = turns.end(source)
            assert following == (waiting[source].pop(0) if waiting.get(source) else None)
            if following is not None:
                busy[source].append(following)
        assert all(len(at_work) <= 2 for at_work in busy.values())
