"""Checkpoints signed by the real signer, over its socket."""

import pytest

from appliance.audit.checkpoint import Checkpointer
from appliance.audit.note import NoteAlgorithm
from appliance.audit.signer import SignerNotes, note_key
from appliance.audit.verify import verify
from hsm.provider import Algorithm
from hsm.signer.protocol import Ca, SignerError
from tests.support.signer import running_signer

ALGORITHMS = {NoteAlgorithm.ED25519: Algorithm.ED25519, NoteAlgorithm.ECDSA: Algorithm.P256}
ORIGIN = "bastion.example.com/audit"


@pytest.fixture
def signer(tmp_path):
    (tmp_path / "signer").mkdir()
    with running_signer(tmp_path / "signer") as running:
        yield running


@pytest.mark.parametrize("kind", NoteAlgorithm)
def test_the_signer_signs_checkpoints_that_the_verifier_takes(signer, opened, folder, tmp_path, kind):
    key = note_key(ORIGIN, signer.auth.create_key(Ca.AUDIT, 1, ALGORITHMS[kind]))
    assert key.algorithm is kind
    log = opened()
    notes = SignerNotes(client=signer.auth, generation=1)
    checkpointer = Checkpointer(folder, tree=tmp_path / "tree", key=key, signer=notes, durable=log.head)
    for _ in range(3):
        log.record_all([{"event": "e"}] * 5)
        checkpointer.advance()
    report = verify(folder, [key])
    assert (report.good, report.signed, report.checkpoints) == (True, 15, 3)


def test_the_signer_itself_refuses_a_log_that_began_anew(signer, opened, folder, tmp_path):
    key = note_key(ORIGIN, signer.auth.create_key(Ca.AUDIT, 1))
    notes = SignerNotes(client=signer.auth, generation=1)
    log = opened()
    log.record_all([{"event": "e"}] * 5)
    Checkpointer(folder, tree=tmp_path / "tree", key=key, signer=notes, durable=log.head).advance()
    log.close()
    for path in folder.iterdir():
        path.unlink()
    fresh = opened()
    fresh.record({"event": "nothing ever happened"})
    other = Checkpointer(folder, tree=tmp_path / "other", key=key, signer=notes, durable=fresh.head)
    with pytest.raises(SignerError, match="another history"):
        other.advance()
