"""The ledger: what it notices, and what it survives."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import textwrap

import pytest

from hsm.errors import StoreDamaged
from hsm.signer import ledger as module
from hsm.signer.ledger import IssuedCertificate, Ledger, compare_with_register, entries, verify_ledger
from hsm.signer.protocol import Code, Head, SignerError

CLUSTER = "main"


def _open(path, **settings):
    return Ledger.open(path, CLUSTER, clock=lambda: 1_700_000_000.0, **settings)


def _sign_entry(serial):
    return "sign", {"ca": "user", "serial": str(serial), "sha256": f"{serial:064x}"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def filled(path):
    """A ledger with an `open` line and nine signatures, closed."""
    ledger = _open(path)
    for serial in range(1, 10):
        ledger.append([_sign_entry(serial)])
    ledger.close()
    return path


def test_it_goes_on_where_it_ended(filled):
    head = verify_ledger(filled, CLUSTER).head
    ledger = _open(filled)
    assert ledger.append([_sign_entry(10)]) == [12]
    ledger.close()
    verdict = verify_ledger(filled, CLUSTER, anchors=[head])
    assert verdict.sound
    assert verdict.head.entries == 12
    assert [entry.kind for entry in entries(filled, CLUSTER)][9:] == ["sign", "open", "sign"]


def test_every_line_is_json_that_other_programs_read(filled):
    lines = [json.loads(line) for line in filled.read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(1, 11))
    assert all(line["at"] == 1_700_000_000 for line in lines)


def _change(lines):
    return [line.replace(b'"serial":"4"', b'"serial":"5"') for line in lines]


DAMAGES = {
    "changed": (_change, "entry 5"),
    "removed": (lambda lines: lines[:4] + lines[5:], "entry 5"),
    "swapped": (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "entry 5"),
    "doubled": (lambda lines: lines[:5] + lines[4:], "entry 6"),
    "first removed": (lambda lines: lines[1:], "entry 1"),
    "garbage": (lambda lines: [*lines[:4], b"garbage\n", *lines[4:]], "entry 5"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_stops_the_start(filled, damage):
    act, where = DAMAGES[damage]
    filled.write_bytes(b"".join(act(filled.read_bytes().splitlines(keepends=True))))
    verdict = verify_ledger(filled, CLUSTER)
    assert verdict.differences[0].where == where
    before = filled.read_bytes()
    with pytest.raises(StoreDamaged, match=where):
        _open(filled)
    assert filled.read_bytes() == before


def test_any_changed_bit_is_found(filled):
    whole = filled.read_bytes()
    for at in range(0, len(whole), 13):
        filled.write_bytes(whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :])
        assert not verify_ledger(filled, CLUSTER).sound, at


def test_one_changed_line_is_one_difference(filled):
    filled.write_bytes(b"".join(_change(filled.read_bytes().splitlines(keepends=True))))
    assert len(verify_ledger(filled, CLUSTER).differences) == 1


def test_a_cut_tail_and_another_history_are_found_by_a_head_kept_elsewhere(filled, tmp_path):
    head = verify_ledger(filled, CLUSTER).head
    filled.write_bytes(b"".join(filled.read_bytes().splitlines(keepends=True)[:-2]))
    assert verify_ledger(filled, CLUSTER).sound
    (missing,) = verify_ledger(filled, CLUSTER, anchors=[head]).differences
    assert (missing.where, missing.why) == ("entry 10", "anchored elsewhere, missing here")
    other = _open(filled)
    for serial in (81, 82):
        other.append([_sign_entry(serial)])
    other.close()
    (forked,) = verify_ledger(filled, CLUSTER, anchors=[head]).differences
    assert forked.why == "not the one that was anchored"


def test_another_clusters_ledger_is_not_ours(filled):
    assert not verify_ledger(filled, "other").sound


def test_a_torn_last_line_is_cut_off_and_told(filled):
    whole = filled.read_bytes()
    filled.write_bytes(whole + b'{"n":11,"kind":"si')
    ledger = _open(filled)
    ledger.close()
    assert filled.read_bytes().startswith(whole)
    found = list(entries(filled, CLUSTER))
    assert [entry.kind for entry in found[10:]] == ["recovered", "open"]
    assert found[10].fields["bytes"] == 18
    assert verify_ledger(filled, CLUSTER).sound


def test_one_process_at_a_time(filled):
    ledger = _open(filled)
    with pytest.raises(SignerError) as refused:
        _open(filled)
    assert refused.value.code is Code.LEDGER
    ledger.close()
    _open(filled).close()


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_nothing_of_it(filled):
    ledger = _open(filled)
    before = filled.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, hard))
    try:
        with pytest.raises(SignerError, match="cannot be written"):
            ledger.append([_sign_entry(77)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert filled.read_bytes() == before
    ledger.append([_sign_entry(78)])
    ledger.close()
    assert verify_ledger(filled, CLUSTER).sound


def test_a_disk_that_cannot_even_be_tidied_up_stops_all_signing(filled, monkeypatch):
    ledger = _open(filled)

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "fdatasync", broken)
    with pytest.raises(SignerError):
        ledger.append([_sign_entry(1)])
    monkeypatch.undo()
    with pytest.raises(SignerError, match="restart"):
        ledger.append([_sign_entry(2)])


def test_serial_numbers_never_come_back_also_after_a_restored_backup(path):
    seen = set()
    ledger = _open(path)
    backup = path.read_bytes()
    for _ in range(5):
        for _ in range(20):
            serial = ledger.serials.next()
            assert 0 < serial < 2**63
            assert serial not in seen
            seen.add(serial)
        ledger.close()
        path.write_bytes(backup)
        ledger = _open(path)
    ledger.close()


def test_an_epoch_that_the_ledger_has_seen_is_not_drawn_again(path):
    drawn = iter([b"\0\0\0\0\x01", b"\0\0\0\0\x01", b"\0\0\0\0\0", b"\0\0\0\0\x02"])
    first = _open(path, random=lambda _: next(drawn))
    first.close()
    second = _open(path, random=lambda _: next(drawn))
    assert (first.serials.epoch, second.serials.epoch) == (1, 2)
    second.close()


def test_a_used_up_epoch_stops_instead_of_running_over(path):
    ledger = _open(path)
    ledger.serials.counter = 2**24 - 1
    with pytest.raises(SignerError, match="used up"):
        ledger.serials.next()
    ledger.close()


def test_every_difference_from_the_register_is_named(filled):
    ledger = _open(filled)
    (lost,) = ledger.append([_sign_entry(50)])
    ledger.append([("void", {"entry": lost, "why": "token gone"})])
    ledger.close()
    register = [
        IssuedCertificate(serial=serial, ca="user", signed_sha256=f"{serial:064x}") for serial in range(1, 10)
    ]
    assert not list(compare_with_register(filled, CLUSTER, register))
    register[2] = IssuedCertificate(serial=3, ca="user", signed_sha256="00" * 32)
    register[4] = IssuedCertificate(serial=5000, ca="user", signed_sha256="11" * 32)
    found = {str(difference) for difference in compare_with_register(filled, CLUSTER, register)}
    assert found == {
        "serial 3: the register has other contents than were signed",
        "serial 5000: in the register, never signed by this signer",
        "serial 5: signed, and not in the register",
    }


WRITE_FOR_EVER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from tests.hsm.signer.test_ledger import _open, _sign_entry
    ledger = _open(Path(sys.argv[1]))
    while True:
        batch = [_sign_entry(ledger.serials.next()) for _ in range(3)]
        print(ledger.append(batch)[-1], ledger.head.hash, flush=True)
    """
)


def test_what_was_acknowledged_survives_kill_9(path):
    anchors = []
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
        )
        lines = [writer.stdout.readline() for _ in range(25)]
        writer.send_signal(signal.SIGKILL)
        lines += [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        anchors += [Head(entries=int(line.split()[0]), hash=line.split()[1]) for line in lines]
    _open(path).close()
    verdict = verify_ledger(path, CLUSTER, anchors)
    assert verdict.sound, verdict.differences
    serials = [entry.fields["serial"] for entry in entries(path, CLUSTER) if entry.kind == "sign"]
    assert len(set(serials)) == len(serials) >= 6 * 25 * 3
