"""Reading back, seeking, and what a torn or changed file looks like."""

from __future__ import annotations

import itertools
from uuid import uuid4

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.recording.blocks import (
    BLOCK_HEADER,
    FILE_HEADER,
    MAX_RAW,
    Zstd,
    chain_start,
    file_header,
    pack_block,
)
from appliance.recording.errors import ChangedBlock, FormatError, TornBlock, UnknownRecording
from appliance.recording.frames import End, Header, Outcome, Output, encode_frame
from appliance.recording.reader import Recording
from appliance.recording.recovery import recover
from tests.appliance.recording.studio import facts

SECOND = 1_000_000


def write(path, *, seconds=10, end=True):
    """Write a recording of one block a second, each with an output frame at every 100 ms."""
    plain = facts()
    data = file_header(plain.uuid)
    previous = chain_start(data)
    for second in range(seconds):
        raw = encode_frame(Header(plain), 0) if second == 0 else b""
        raw += b"".join(
            encode_frame(Output(b"%d.%d " % (second, tenth)), 100_000 if tenth else 0) for tenth in range(10)
        )
        if end and second == seconds - 1:
            raw += encode_frame(End(outcome=Outcome.COMPLETE, output_bytes=seconds * 40), 0)
        block, previous = pack_block(
            transform=Zstd(),
            raw=raw,
            previous=previous,
            sequence=second,
            elapsed_us=second * SECOND,
            wall_us=1_700_000_000 * SECOND + second * SECOND + (3600 * SECOND if second > 5 else 0),
        )
        data += block
    path.write_bytes(data)
    return plain, data


def outputs(path, since=0):
    with Recording.open(path) as recording:
        return [
            (timed.at_us, timed.frame.data)
            for timed in recording.frames(since)
            if isinstance(timed.frame, Output)
        ]


def test_frames_have_their_times_from_the_beginning_and_by_the_wall_clock(tmp_path):
    plain, _ = write(tmp_path / "a.rec")
    with Recording.open(tmp_path / "a.rec") as recording:
        assert recording.facts() == plain
        assert recording.session_id == plain.uuid
        timed = list(recording.frames())
    assert [item.at_us for item in timed[1:11]] == list(range(0, SECOND, 100_000))
    assert timed[0].wall_us == 1_700_000_000 * SECOND
    # The clock was set forward by an hour in between; the anchors of the blocks show it.
    assert timed[-1].wall_us - timed[-1].at_us == (1_700_000_000 + 3600) * SECOND


@given(since=st.integers(-5, 12 * SECOND))
@settings(max_examples=60)
def test_seeking_gives_the_same_frames_as_reading_all(since, tmp_path_factory):
    path = tmp_path_factory.mktemp("seek") / "a.rec"
    write(path)
    assert outputs(path, since) == [item for item in outputs(path) if item[0] >= since]


def test_seeking_unpacks_only_what_is_asked_for(tmp_path):
    write(tmp_path / "a.rec", seconds=50)
    unpacked = []

    class Counting(Zstd):
        def unseal(self, stored, raw_length):
            unpacked.append(raw_length)
            return super().unseal(stored, raw_length)

    with Recording.open(tmp_path / "a.rec", {Zstd.codec: Counting()}) as recording:
        assert len(list(recording.frames(48 * SECOND))) == 21
    assert len(unpacked) == 2


def test_a_recording_that_still_grows_ends_where_its_last_whole_block_does(tmp_path):
    path = tmp_path / "a.rec"
    _, data = write(path, end=False)
    path.write_bytes(data[:-30])
    with Recording.open(path) as recording:
        assert sum(isinstance(timed.frame, Output) for timed in recording.frames(live=True)) == 90
        with pytest.raises(TornBlock):
            list(recording.frames())
        assert [timed.at_us for timed in recording.frames(9 * SECOND, live=True)] == []


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "a.rec"
    for data in (b"", b"SALLY", b"x" * 100, b"SALLYREC\0\2" + bytes(22)):
        path.write_bytes(data)
        with pytest.raises(FormatError):
            Recording.open(path)
    with pytest.raises(UnknownRecording):
        Recording.open(tmp_path / "none.rec")


def test_a_symbolic_link_is_not_followed(tmp_path):
    write(tmp_path / "real")
    (tmp_path / "a.rec").symlink_to(tmp_path / "real")
    with pytest.raises(UnknownRecording):
        Recording.open(tmp_path / "a.rec")


def test_every_single_changed_byte_is_found(tmp_path):
    path = tmp_path / "a.rec"
    _, data = write(path, seconds=3)
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x20
        path.write_bytes(broken)
        with pytest.raises(FormatError), Recording.open(path) as recording:
            list(recording.frames())


def test_blocks_that_were_swapped_left_out_or_doubled_are_found(tmp_path):
    path = tmp_path / "a.rec"
    _, data = write(path, seconds=4)
    with Recording.open(path) as recording:
        blocks = [block.data for block in recording.blocks()]
    head = data[: FILE_HEADER.size]
    for order in itertools.chain(itertools.permutations(range(4)), [(0, 2, 3), (0, 0, 1), (1, 2, 3)]):
        if list(order) == [0, 1, 2, 3]:
            continue
        path.write_bytes(head + b"".join(blocks[index] for index in order))
        with pytest.raises(ChangedBlock), Recording.open(path) as recording:
            list(recording.blocks())


@given(cut=st.integers(FILE_HEADER.size + 1, 1100))
@settings(max_examples=80)
def test_a_torn_tail_is_found_cut_off_kept_aside_and_marked_lost(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("torn") / "a.rec"
    plain, data = write(path, seconds=5)
    data = data[:cut]
    path.write_bytes(data)
    whole = outputs_before(path)
    if not whole:
        with pytest.raises(FormatError):
            recover(path)
        assert path.read_bytes() == data
        return
    recovered = recover(path)
    assert outputs(path) == whole
    assert recovered.manifest.session_id == plain.session_id
    torn = path.with_suffix(".torn")
    assert (torn.read_bytes() if torn.exists() else b"") == data[len(data) - recovered.torn_bytes :]
    with Recording.open(path) as recording:
        last = list(recording.frames())[-1].frame
    if recovered.changed:
        assert (last.outcome, last.torn_bytes) == (Outcome.LOST, recovered.torn_bytes)
    assert not recover(path).changed


def outputs_before(path):
    found = []
    try:
        with Recording.open(path) as recording:
            found.extend(
                (timed.at_us, timed.frame.data)
                for timed in recording.frames()
                if isinstance(timed.frame, Output)
            )
    except TornBlock:
        with Recording.open(path) as recording:
            found = []
            try:
                for block in recording.blocks():
                    found += [
                        (timed.at_us, timed.frame.data)
                        for timed in recording.unpack(block)
                        if isinstance(timed.frame, Output)
                    ]
            except TornBlock:
                pass
    return found


def test_zeros_behind_the_end_as_after_a_power_cut_are_cut_off(tmp_path):
    path = tmp_path / "a.rec"
    _, data = write(path, end=False)
    path.write_bytes(data + bytes(4096))
    recovered = recover(path)
    assert recovered.torn_bytes == 4096
    assert len(outputs(path)) == 100
    assert recovered.manifest.output_bytes == 400


def test_a_whole_recording_is_left_as_it_is(tmp_path):
    path = tmp_path / "a.rec"
    _, data = write(path)
    recovered = recover(path)
    assert not recovered.changed
    assert path.read_bytes() == data
    assert recovered.manifest.outcome is Outcome.COMPLETE
    assert recovered.manifest.blocks == 10


def test_a_block_can_not_unpack_to_more_than_it_says(tmp_path):
    class Bomb(Zstd):
        def seal(self, raw):
            return zstandard.ZstdCompressor().compress(bytes(MAX_RAW * 64))

    session_id = uuid4()
    header = file_header(session_id)
    block, _ = pack_block(
        transform=Bomb(), raw=b"small", previous=chain_start(header), sequence=0, elapsed_us=0, wall_us=0
    )
    (tmp_path / "a.rec").write_bytes(header + block)
    with Recording.open(tmp_path / "a.rec") as recording, pytest.raises(ChangedBlock):
        list(recording.frames())


def test_a_block_that_claims_to_be_enormous_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.rec"
    _, data = write(path, seconds=1)
    header = bytearray(data[FILE_HEADER.size : FILE_HEADER.size + BLOCK_HEADER.size])
    header[16:20] = b"\x7f\xff\xff\xff"
    path.write_bytes(data[: FILE_HEADER.size] + header)
    with Recording.open(path) as recording, pytest.raises(ChangedBlock):
        list(recording.blocks())


def test_a_codec_that_is_not_known_here_is_named(tmp_path):
    class Sealed(Zstd):
        codec = 9

    header = file_header(uuid4())
    block, _ = pack_block(
        transform=Sealed(), raw=b"", previous=chain_start(header), sequence=0, elapsed_us=0, wall_us=0
    )
    (tmp_path / "a.rec").write_bytes(header + block)
    with Recording.open(tmp_path / "a.rec") as recording, pytest.raises(FormatError, match="codec 9"):
        list(recording.frames())
