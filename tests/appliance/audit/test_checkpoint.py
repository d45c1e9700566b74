import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import merkle
from appliance.audit.chain import Head, leaf_hash, seal
from appliance.audit.checkpoint import FILE, Checkpoint, Checkpointer, open_checkpoint
from appliance.audit.errors import ChainBroken, NoteInvalid, Shortened, SinkUnavailable
from appliance.audit.files import day_files, read_lines
from appliance.audit.note import NoteKey, open_note, signed_note
from appliance.audit.sinks import FileSink
from appliance.audit.verify import main, verify

PROJECT = Path(__file__).parents[3]
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = NoteKey("bastion.example.com/audit", PRIVATE.public_key().public_bytes_raw())


class LocalSigner:
    """Signs in this process, as the signer process does in the product."""

    def sign_note(self, text):
        return signed_note(text, KEY, PRIVATE.sign(text.encode()))


SIGNER = LocalSigner()


class Kept:
    def __init__(self):
        self.lines = []

    def send(self, lines):
        self.lines += lines


@pytest.fixture
def log(opened):
    return opened()


@pytest.fixture
def checkpointer(folder, tmp_path, log):
    return renewed(folder, tmp_path, log)


def renewed(folder, tmp_path, log, **options):
    return Checkpointer(folder, tree=tmp_path / "tree", key=KEY, signer=SIGNER, durable=log.head, **options)


def fill(log, count):
    log.record_all([{"event": "e", "n": i} for i in range(count)])


def leaves(folder):
    return [leaf_hash(line.data) for line in read_lines(folder)]


def root_of(hashes):
    frontier = merkle.Frontier()
    for leaf in hashes:
        frontier.append(leaf)
    return frontier.root()


def test_a_checkpoint_signs_all_durable_events_and_nothing_new_signs_nothing(log, checkpointer, folder):
    assert checkpointer.advance() is None
    fill(log, 7)
    signed = checkpointer.advance()
    assert signed == Checkpoint(origin=KEY.name, size=7, root=root_of(leaves(folder)))
    assert checkpointer.advance() is None
    fill(log, 1)
    assert checkpointer.advance().size == 8
    lines = (folder / FILE).read_bytes().splitlines()
    assert [open_checkpoint(line, [KEY]).size for line in lines] == [7, 8]


def test_every_event_can_be_proved_to_somebody_who_has_only_the_key(log, checkpointer, folder):
    fill(log, 13)
    checkpointer.advance()
    for number, line in enumerate(read_lines(folder), 1):
        proof = checkpointer.prove(number)
        checkpoint = Checkpoint.parse(open_note(proof.checkpoint, [KEY]))
        assert proof.leaf == leaf_hash(line.data)
        assert merkle.verify_inclusion(proof.index, checkpoint.size, proof.leaf, proof.path, checkpoint.root)
    with pytest.raises(ValueError, match="no leaf"):
        checkpointer.prove(14)


def test_a_later_checkpoint_is_proved_to_continue_an_earlier_one(log, checkpointer):
    fill(log, 6)
    first = checkpointer.advance()
    fill(log, 5)
    second = checkpointer.advance()
    proof = checkpointer.prove_growth(6)
    assert merkle.verify_consistency(6, 11, proof, first.root, second.root)


def test_checkpoints_go_on_after_a_restart(log, checkpointer, folder, tmp_path):
    fill(log, 5)
    checkpointer.advance()
    fill(log, 5)
    again = renewed(folder, tmp_path, log)
    assert again.last.size == 5
    assert again.advance() == Checkpoint(origin=KEY.name, size=10, root=root_of(leaves(folder)))


@pytest.mark.parametrize("damage", ["lost", "rubbish", "ahead"])
def test_a_lost_or_damaged_tree_is_read_from_the_log_again(log, checkpointer, folder, tmp_path, damage):
    fill(log, 9)
    checkpointer.advance()
    match damage:
        case "lost":
            shutil.rmtree(tmp_path / "tree")
        case "rubbish":
            (tmp_path / "tree" / "level-00").write_bytes(bytes(9 * 32))
        case "ahead":
            with (tmp_path / "tree" / "level-00").open("ab") as file:
                file.write(bytes(100))
    fill(log, 3)
    again = renewed(folder, tmp_path, log)
    assert again.advance() == Checkpoint(origin=KEY.name, size=12, root=root_of(leaves(folder)))


def rewrite(folder, change):
    path = day_files(folder)[0]
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"".join(line + b"\n" for line in change(lines)))


def forged(lines, first):
    """Write everything from a line on anew, as somebody would who knows how the chain is made."""
    kept = lines[:first]
    head = Head(first, leaf_hash(kept[-1]).hex() if kept else "0" * 64)
    for line in lines[first:]:
        record = {k: v for k, v in json.loads(line).items() if k not in {"seq", "prev"}}
        new, head = seal({**record, "n": "forged"}, head)
        kept.append(new)
    return kept


@pytest.mark.parametrize("keep_tree", [True, False])
def test_a_log_written_anew_under_a_signature_is_never_signed_again(  # noqa: PLR0917 - its fixtures
    log, checkpointer, folder, tmp_path, opened, keep_tree
):
    fill(log, 8)
    checkpointer.advance()
    log.close()
    rewrite(folder, lambda lines: forged(lines, 3))
    if not keep_tree:
        shutil.rmtree(tmp_path / "tree")
    reopened = opened()
    fill(reopened, 2)
    with pytest.raises(ChainBroken):
        renewed(folder, tmp_path, reopened).advance()
    assert len((folder / FILE).read_bytes().splitlines()) == 1


def test_a_log_that_lost_signed_events_is_never_signed_again(log, checkpointer, folder, tmp_path, opened):
    fill(log, 8)
    checkpointer.advance()
    log.close()
    rewrite(folder, lambda lines: lines[:5])
    reopened = opened()
    with pytest.raises(Shortened):
        renewed(folder, tmp_path, reopened).advance()
    fill(reopened, 10)
    with pytest.raises(ChainBroken):
        renewed(folder, tmp_path, reopened).advance()


def test_an_event_removed_before_it_was_signed_is_found(log, checkpointer, folder):
    fill(log, 8)
    rewrite(folder, lambda lines: lines[:3] + lines[4:])
    with pytest.raises(ChainBroken):
        checkpointer.advance()
    assert not (folder / FILE).exists()


def test_events_that_are_not_durable_are_not_signed(log, folder, tmp_path):
    fill(log, 8)
    first_five = list(read_lines(folder))[:5]
    head = Head(5, leaf_hash(first_five[-1].data).hex())
    checkpointer = Checkpointer(folder, tree=tmp_path / "t", key=KEY, signer=SIGNER, durable=lambda: head)
    assert checkpointer.advance().size == 5


def test_copies_go_to_the_anchors_and_one_that_is_down_stops_nothing(log, folder, tmp_path):
    class Down:
        def send(self, lines):
            raise SinkUnavailable("unplugged")

    kept = Kept()
    checkpointer = renewed(folder, tmp_path, log, anchors=[Down(), kept])
    fill(log, 2)
    checkpointer.advance()
    assert kept.lines == (folder / FILE).read_bytes().splitlines()


def test_a_checkpoint_torn_by_a_crash_is_made_again(log, checkpointer, folder, tmp_path):
    fill(log, 2)
    checkpointer.advance()
    with (folder / FILE).open("ab") as file:
        file.write(b'{"note": "half')
    fill(log, 1)
    assert renewed(folder, tmp_path, log).advance().size == 3
    assert verify(folder, [KEY]).good


def test_a_last_checkpoint_with_a_wrong_signature_stops_signing(log, checkpointer, folder, tmp_path):
    fill(log, 2)
    checkpointer.advance()
    other = NoteKey(KEY.name, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    with pytest.raises(NoteInvalid):
        Checkpointer(folder, tree=tmp_path / "t", key=other, signer=SIGNER, durable=log.head)
    Checkpointer(folder, tree=tmp_path / "t", key=other, signer=SIGNER, durable=log.head, former_keys=[KEY])


def test_a_signer_that_signs_something_else_is_found_before_anything_is_kept(log, folder, tmp_path):
    class Wrong:
        def sign_note(self, text):
            return SIGNER.sign_note(text.replace("\n2\n", "\n9\n"))

    fill(log, 2)
    with pytest.raises(NoteInvalid, match="another text"):
        Checkpointer(folder, tree=tmp_path / "t", key=KEY, signer=Wrong(), durable=log.head).advance()
    assert not (folder / FILE).exists()


def test_a_signer_that_is_away_is_asked_again(log, folder, tmp_path):
    class Away:
        def __init__(self):
            self.asked = 0

        def sign_note(self, text):
            self.asked += 1
            if self.asked == 1:
                raise RuntimeError("the token is unplugged")
            return SIGNER.sign_note(text)

    signer, stop = Away(), threading.Event()
    checkpointer = Checkpointer(folder, tree=tmp_path / "t", key=KEY, signer=signer, durable=log.head)
    fill(log, 3)
    thread = threading.Thread(target=checkpointer.run, args=(stop,), kwargs={"interval": 0.01})
    thread.start()
    for _ in range(500):
        if checkpointer.last.size == 3:
            break
        stop.wait(0.01)
    stop.set()
    thread.join(10)
    assert (checkpointer.last.size, checkpointer.failure) == (3, None)
    assert signer.asked == 2


def test_a_file_on_another_disk_is_an_anchor(log, folder, tmp_path):
    checkpointer = renewed(folder, tmp_path, log, anchors=[FileSink(tmp_path / "anchor")])
    fill(log, 2)
    checkpointer.advance()
    assert verify(folder, [KEY], [tmp_path / "anchor"]).checkpoints == 2


def test_a_running_checkpointer_signs_once_more_when_it_is_stopped(log, checkpointer):
    stop = threading.Event()
    thread = threading.Thread(target=checkpointer.run, args=(stop,), kwargs={"interval": 60})
    thread.start()
    fill(log, 4)
    stop.set()
    thread.join(10)
    assert checkpointer.last.size == 4


@pytest.fixture
def signed(log, checkpointer, folder, clock, tmp_path):
    """Three days with a checkpoint after each, and a copy of the checkpoints off the box."""
    for _ in range(3):
        fill(log, 5)
        checkpointer.advance()
        clock.forward(days=1)
    copy = tmp_path / "copy.jsonl"
    shutil.copy(folder / FILE, copy)
    return copy


def found(folder, copies=()):
    return [
        (fault.kind, fault.place.file, fault.place.line) for fault in verify(folder, [KEY], copies).faults
    ]


def day(number):
    return f"2026-03-0{number}.00:00:00.log"


def change_day(folder, number, change):
    path = folder / day(number)
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))


def test_the_verifier_finds_nothing_wrong_with_what_was_written(signed, folder):
    report = verify(folder, [KEY], [signed])
    assert report.good
    assert (report.events, report.files, report.checkpoints, report.signed) == (15, 3, 6, 15)


def test_the_verifier_names_an_edit_by_file_and_line_and_the_checkpoint_that_disagrees(signed, folder):
    change_day(folder, 2, lambda lines: [*lines[:2], lines[2].replace(b'"n":2', b'"n":3'), *lines[3:]])
    assert found(folder)[0] == ("edited", day(2), 3)
    assert ("replaced", day(2), 5) in found(folder)


def test_the_verifier_names_a_removed_a_repeated_and_a_moved_event(signed, folder):
    change_day(folder, 2, lambda lines: lines[:1] + lines[2:])
    assert ("removed", day(2), 2) in found(folder)
    change_day(folder, 2, lambda lines: [*lines, lines[0]])
    assert ("repeated", day(2), 5) in found(folder)
    change_day(folder, 3, lambda lines: [lines[1], lines[0], *lines[2:]])
    assert ("moved", day(3), 2) in found(folder)


def test_the_verifier_names_a_removed_day(signed, folder):
    (folder / day(2)).unlink()
    assert ("removed", day(3), 1) in found(folder)


def test_the_verifier_names_a_cut_off_end(signed, folder):
    change_day(folder, 3, lambda lines: lines[:3])
    assert found(folder) == [("truncated", day(3), 3)]


def test_the_verifier_names_a_torn_end(signed, folder):
    path = folder / day(3)
    path.write_bytes(path.read_bytes() + b'{"half')
    assert found(folder) == [("unreadable", day(3), 6)]


def test_the_verifier_finds_a_history_written_anew_by_its_checkpoints(signed, folder):
    lines = [line.data for line in read_lines(folder)]
    rewritten = forged(lines, 7)
    for number in (1, 2, 3):
        path = folder / day(number)
        path.write_bytes(b"".join(line + b"\n" for line in rewritten[5 * number - 5 : 5 * number]))
    assert found(folder) == [("replaced", day(2), 5)]


def test_a_log_rolled_back_with_its_checkpoints_is_found_by_the_copy_off_the_box(signed, folder):
    (folder / day(3)).unlink()
    beside = folder / FILE
    beside.write_bytes(b"".join(beside.read_bytes().splitlines(keepends=True)[:2]))
    assert found(folder) == []
    assert found(folder, [signed]) == [("truncated", day(2), 5)]


def test_a_forged_checkpoint_is_named(signed, folder):
    other = Ed25519PrivateKey.generate()
    path = folder / FILE
    lines = path.read_bytes().splitlines()
    record = json.loads(lines[1])
    record["note"] = record["note"].replace("\n10\n", "\n11\n")
    path.write_bytes(b"\n".join([lines[0], json.dumps(record).encode(), lines[2]]) + b"\n")
    assert found(folder) == [("checkpoint", str(path), 2)]
    strange = NoteKey(KEY.name, other.public_key().public_bytes_raw())
    assert {fault.kind for fault in verify(folder, [strange]).faults} == {"checkpoint"}


def test_any_flipped_byte_of_any_file_is_found(signed, folder):
    for path in [*day_files(folder), folder / FILE]:
        whole = path.read_bytes()
        for position in range(0, len(whole), 41):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            assert not verify(folder, [KEY]).good, (path.name, position)
        path.write_bytes(whole)
    assert verify(folder, [KEY]).good


def test_the_verifier_is_a_command_of_its_own(signed, folder, tmp_path):
    (tmp_path / "key").write_text(KEY.text + "\n")
    command = [sys.executable, "-m", "appliance.audit.verify", str(folder), "--checkpoints", str(signed)]
    good = subprocess.run(
        [*command, "--key", KEY.text], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == "no difference: 15 events in 3 files, 15 of them under 6 signed checkpoints\n"
    (folder / day(2)).unlink()
    bad = subprocess.run(
        [*command, "--key", str(tmp_path / "key"), "--format", "json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 1
    faults = [(fault["kind"], fault["file"], fault["line"]) for fault in json.loads(bad.stdout)["faults"]]
    assert ("removed", day(3), 1) in faults


def test_the_report_reads_as_sentences(signed, folder, capsys):
    (folder / f"{day(1)}.torn-9").write_bytes(b"half")
    change_day(folder, 3, lambda lines: lines[:3])
    assert main([str(folder), "--key", KEY.text]) == 1
    truncated, aside, verdict = capsys.readouterr().out.splitlines()
    assert truncated.startswith(
        f"{day(3)}:3: truncated: the log ends after 13 events, but 15 were signed at "
    )
    assert aside == f"note: {day(1)}.torn-9 was set aside after a crash and is not part of the log"
    assert verdict == "1 differences: 13 events in 3 files, 10 of them under 3 signed checkpoints"
    assert main([str(folder), "--key", KEY.text, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["kind"] == "truncated"


def test_the_command_says_when_it_can_not_look(tmp_path, capsys):
    assert main([str(tmp_path / "absent"), "--key", KEY.text]) == 2
    assert main([str(tmp_path), "--key", "no key"]) == 2
    assert "verify: " in capsys.readouterr().err
