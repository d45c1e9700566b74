"""Manifests that are signed, files that are compared, and a store that takes pieces in order."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.recording.blocks import FILE_HEADER, Zstd, chain_start, file_header, pack_block
from appliance.recording.errors import (
    FormatError,
    ManifestInvalid,
    OffsetConflict,
    OffsetGap,
    RecorderFailed,
    RecordingFinished,
    UnknownRecording,
)
from appliance.recording.frames import Outcome, Output, encode_frame
from appliance.recording.manifest import MAX_CHECKPOINTS, SignedManifest, Tally, sign_manifest
from appliance.recording.reader import Recording
from appliance.recording.recovery import recover
from appliance.recording.store import RecordingStore, parse_session_id
from appliance.recording.verify import Changed, Intact, Missing, Short, compare, describe
from tests.appliance.recording.test_reader_and_recovery import write


class Key:
    """An Ed25519 key of the machine's own library, in the role of the token."""

    def __init__(self):
        self._key = Ed25519PrivateKey.generate()

    def sign(self, message):
        return self._key.sign(message)

    def verify(self, message, signature):
        try:
            self._key.public_key().verify(signature, message)
        except InvalidSignature:
            return False
        return True


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def store(tmp_path):
    return RecordingStore(tmp_path / "recordings")


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample.rec"
    plain, data = write(path)
    return plain.uuid, data


def stored(store, sample, key):
    session_id, data = sample
    store.append(session_id, 0, data)
    store.finish(session_id, sign_manifest(store.complete(session_id).manifest, key))
    return store.path(session_id)


def test_the_recorders_manifest_is_what_a_reading_of_the_file_gives(studio, run):
    async def scenario():
        recorder = studio.recorder()
        await recorder.open()
        recorder.output(random.randbytes(1_000_000))
        recorder.input(b"x")
        return recorder, await recorder.close("exit")

    recorder, manifest = run(scenario)
    assert compare(studio.path(recorder), manifest) == Intact()
    read = recover(studio.path(recorder)).manifest
    assert replace(read, started=manifest.started, ended=manifest.ended) == manifest
    assert (manifest.output_bytes, manifest.input_bytes, manifest.reason) == (1_000_000, 1, "exit")


def test_a_signed_manifest_survives_storage_and_its_signature_covers_every_byte(store, sample, key):
    stored(store, sample, key)
    signed = store.manifest(sample[0])
    assert SignedManifest.from_bytes(signed.to_bytes()) == signed
    assert signed.opened(key).session_id == str(sample[0])
    forged = replace(signed, manifest=signed.manifest.replace(b'"complete"', b'"lost"'))
    assert forged != signed
    for wrong in (forged, replace(signed, signature=bytes(64)), replace(signed, signature=Key().sign(b""))):
        with pytest.raises(ManifestInvalid):
            wrong.opened(key)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"manifest":"!!","signature":""}', b"\xff"])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(ManifestInvalid):
        SignedManifest.from_bytes(data)


def test_verification_names_a_missing_recording(store, sample, key):
    stored(store, sample, key).unlink()
    assert store.verify(sample[0], key) == Missing()


def test_verification_names_how_short_a_recording_is(store, sample, key):
    path = stored(store, sample, key)
    size = len(sample[1])
    with Recording.open(path) as recording:
        last = list(recording.blocks())[-1].offset
    path.write_bytes(sample[1][:-1])
    assert store.verify(sample[0], key) == Short(size=size - 1, expected=size, good=last)
    path.write_bytes(sample[1][:last])
    assert store.verify(sample[0], key) == Short(size=last, expected=size, good=last)
    path.write_bytes(sample[1][:10])
    assert store.verify(sample[0], key) == Short(size=10, expected=size, good=0)


def test_verification_names_the_place_of_a_change(store, sample, key):
    path, data = stored(store, sample, key), sample[1]
    for place in range(0, len(data), 13):
        broken = bytearray(data)
        broken[place] ^= 1
        path.write_bytes(broken)
        verdict = store.verify(sample[0], key)
        assert isinstance(verdict, Changed), place
        assert verdict.after <= place < verdict.before
    path.write_bytes(data + b"more")
    assert store.verify(sample[0], key) == Changed(after=len(data), before=len(data) + 4)


def test_a_recording_rebuilt_with_a_chain_of_its_own_is_found_and_placed(store, sample, key):
    """Someone with the disk can compute every digest anew; the signed checkpoints still differ."""
    path, data = stored(store, sample, key), sample[1]
    with Recording.open(path) as recording:
        blocks = list(recording.blocks())
        raws = [b"".join(encode_frame(item.frame, 0) for item in recording.unpack(block)) for block in blocks]
    raws[6] = encode_frame(Output(b"nothing happened"), 0)
    forged, previous = data[: FILE_HEADER.size], chain_start(data[: FILE_HEADER.size])
    for index, raw in enumerate(raws):
        packed, previous = pack_block(
            transform=Zstd(), raw=raw, previous=previous, sequence=index, elapsed_us=0, wall_us=0
        )
        forged += blocks[index].data if index < 6 else packed
        previous = forged[-32:] if index < 6 else previous
    path.write_bytes(forged)
    verdict = store.verify(sample[0], key)
    assert isinstance(verdict, Changed)
    assert verdict.after == blocks[6].offset


def test_another_sessions_recording_in_its_place_is_found(store, sample, key, tmp_path):
    path = stored(store, sample, key)
    path.write_bytes(write(tmp_path / "other.rec")[1])
    assert not store.verify(sample[0], key)


def test_every_verdict_but_intact_is_false_and_has_its_sentence():
    verdicts = [Intact(), Missing(), Short(size=1, expected=2, good=0), Changed(after=3, before=4)]
    assert [bool(verdict) for verdict in verdicts] == [True, False, False, False]
    assert len({describe(verdict) for verdict in verdicts}) == 4


@given(lengths=st.lists(st.integers(1, 1000), max_size=2000))
@settings(max_examples=20)
def test_checkpoints_stay_few_and_even(lengths):
    tally = Tally(file_header(uuid4()))
    for index, length in enumerate(lengths):
        tally.add(length, index.to_bytes(32, "big"))
    points = tally.checkpoints
    assert len(points) <= MAX_CHECKPOINTS
    gaps = {later.blocks - sooner.blocks for sooner, later in pairwise(points)}
    assert len(gaps) <= 1
    assert all(point.end == FILE_HEADER.size + sum(lengths[: point.blocks]) for point in points)


def test_pieces_sent_again_after_any_failure_are_taken_as_done(store, sample):
    session_id, data = sample
    assert store.append(session_id, 0, data[:100]) == 100
    assert store.append(session_id, 0, data[:100]) == 100
    assert store.append(session_id, 50, data[50:300]) == 300
    assert store.append(session_id, 300, data[300:]) == len(data)
    assert store.path(session_id).read_bytes() == data
    assert store.path(session_id).stat().st_mode & 0o777 == 0o600


def test_a_hole_is_refused_and_says_what_is_expected(store, sample):
    session_id, data = sample
    store.append(session_id, 0, data[:100])
    with pytest.raises(OffsetGap) as caught:
        store.append(session_id, 101, data[101:])
    assert caught.value.expected == 100
    with pytest.raises(OffsetGap):
        store.append(uuid4(), 1, b"x")
    assert store.size(session_id) == 100


def test_other_bytes_at_a_place_that_is_taken_are_refused(store, sample):
    session_id, data = sample
    store.append(session_id, 0, data[:100])
    with pytest.raises(OffsetConflict):
        store.append(session_id, 90, b"x" * 30)
    with pytest.raises(OffsetConflict):
        store.append(session_id, -1, b"x")
    assert store.path(session_id).read_bytes() == data[:100]


@given(data=st.data())
@settings(max_examples=40)
def test_any_order_of_repeated_pieces_ends_in_the_same_bytes(data, tmp_path_factory):
    store, session_id = RecordingStore(tmp_path_factory.mktemp("s") / "r"), uuid4()
    whole = random.Random(1).randbytes(500)
    for _ in range(30):
        start = data.draw(st.integers(0, min(store.size(session_id), 499)))
        end = data.draw(st.integers(start, 500))
        store.append(session_id, start, whole[start:end])
        assert store.path(session_id).read_bytes() == whole[: store.size(session_id)]


def test_nothing_is_added_after_the_manifest_but_a_repeat_is_fine(store, sample, key):
    stored(store, sample, key)
    session_id, data = sample
    store.append(session_id, 0, data)
    with pytest.raises(RecordingFinished):
        store.append(session_id, len(data), b"x")
    with pytest.raises(RecordingFinished):
        store.complete(session_id)
    store.finish(session_id, store.manifest(session_id))
    other = replace(store.manifest(session_id), signature=b"other")
    with pytest.raises(RecordingFinished):
        store.finish(session_id, other)


def test_a_manifest_of_another_file_is_refused(store, sample, key, tmp_path):
    session_id, data = sample
    store.append(session_id, 0, data)
    foreign = tmp_path / "foreign.rec"
    write(foreign)
    with pytest.raises(ManifestInvalid):
        store.finish(session_id, sign_manifest(recover(foreign).manifest, key))
    manifest = replace(store.complete(session_id).manifest, size=1)
    with pytest.raises(ManifestInvalid):
        store.finish(session_id, sign_manifest(manifest, key))


def test_a_recording_whose_sender_died_is_ended_as_lost_and_then_finished(store, sample, key):
    session_id, data = sample
    store.append(session_id, 0, data[:-20])
    recovered = store.complete(session_id, reason="the proxy is gone")
    assert (recovered.manifest.outcome, recovered.manifest.reason) == (Outcome.LOST, "the proxy is gone")
    store.finish(session_id, sign_manifest(recovered.manifest, key))
    assert store.verify(session_id, key)
    assert [item.manifest.outcome for item in store.listing()] == [Outcome.LOST]


def test_the_spool_of_a_proxy_is_uploaded_from_wherever_the_store_stopped(studio, store, run, key):
    async def scenario():
        recorder = studio.recorder()
        await recorder.open()
        recorder.output(random.randbytes(700_000))
        await recorder.close()
        return UUID(recorder.facts.session_id)

    session_id = run(scenario)
    for attempt in range(5):
        for offset, data in studio.sink.chunks(session_id, store.size(session_id)):
            store.append(session_id, offset, data[: 100_000 + attempt])
            break
    for offset, data in studio.sink.chunks(session_id, store.size(session_id)):
        store.append(session_id, offset, data)
    assert store.path(session_id).read_bytes() == studio.sink.path(session_id).read_bytes()
    studio.sink.forget(session_id)
    with pytest.raises(UnknownRecording):
        list(studio.sink.chunks(session_id))
    store.finish(session_id, sign_manifest(store.complete(session_id).manifest, key))
    with store.open(session_id) as recording:
        assert sum(len(t.frame.data) for t in recording.frames() if isinstance(t.frame, Output)) == 700_000


def test_listing_and_reading(store, sample, key):
    session_id, data = sample
    stored(store, sample, key)
    unfinished = uuid4()
    store.append(unfinished, 0, b"SALLYREC")
    (store.folder / "notes.rec").write_text("not ours")
    listing = {item.session_id: item for item in store.listing()}
    assert set(listing) == {session_id, unfinished}
    assert listing[session_id].manifest.size == len(data)
    assert listing[unfinished].manifest is None
    assert store.read(session_id, 5, 10) == data[5:15]
    assert store.read(session_id, len(data), 10) == b""
    with pytest.raises(FormatError):
        store.open(unfinished)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../etc/passwd",
        "/etc/passwd",
        "a" * 300,
        "\0",
        "{12345678-1234-5678-1234-567812345678}",
        "urn:uuid:12345678-1234-5678-1234-567812345678",
        "12345678123456781234567812345678",
        "12345678-1234-5678-1234-56781234567A",
    ],
)
def test_only_a_uuid_in_its_canonical_form_names_a_recording(name):
    with pytest.raises(UnknownRecording):
        parse_session_id(name)


def test_a_symbolic_link_planted_in_the_store_is_not_written_through(store, sample, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    store.path(sample[0]).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        store.append(sample[0], 0, sample[1])
    assert victim.read_bytes() == b""


def test_unknown_recordings_are_unknown(store):
    for call in (store.manifest, store.open, store.complete):
        with pytest.raises(UnknownRecording):
            call(uuid4())
    with pytest.raises(UnknownRecording):
        store.read(uuid4(), 0, 1)
    assert store.size(uuid4()) == 0


def test_a_store_folder_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "r").mkdir(mode=0o750)
    with pytest.raises(RecorderFailed):
        RecordingStore(tmp_path / "r")


def test_verification_names_a_file_that_is_no_recording_any_more(store, sample, key):
    path = stored(store, sample, key)
    path.write_bytes(b"x" * len(sample[1]))
    assert store.verify(sample[0], key) == Changed(after=0, before=1)


def test_a_manifest_that_names_another_session_is_not_satisfied(store, sample, key):
    path = stored(store, sample, key)
    manifest = store.manifest(sample[0]).opened(key)
    assert compare(path, manifest)
    assert not compare(path, replace(manifest, session_id=str(uuid4())))
