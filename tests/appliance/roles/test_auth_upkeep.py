"""What the auth process does beside answering: signs its log, tells of a full disk, removes what is over."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.audit.errors import ChainBroken
from appliance.audit.log import AuditLog
from appliance.audit.verify import verify
from appliance.domain.errors import Unavailable
from appliance.domain.events import EventName
from appliance.roles import auth, checkpoints
from appliance.roles.upkeep import Chore, keep_up
from tests.support import auth_box as support
from tests.support.hand_clock import HandClock


@pytest.fixture
def box(tmp_path):
    """A box with a signer of its own: it remembers what it has signed of which log."""
    with (
        tempfile.TemporaryDirectory(prefix="signer-") as folder,
        support.shared_signer_in(Path(folder)) as signer,
        support.auth_box(tmp_path, signer) as one,
    ):
        yield one


def fresh(box):
    return checkpoints.checkpointer(
        box.log,
        folder=box.ground.layout.log,
        tree=box.ground.layout.auth / checkpoints.TREE,
        authorities=box.rooms.authorities,
        signer=box.ground.custody.client,
    )


def test_the_log_is_under_a_signature_from_the_start_and_at_the_end(box):
    made = fresh(box)
    with ExitStack() as closing:
        checkpoints.begin(made, closing)
        assert made.last.size == box.log.head().seq > 0
        box.invite("joe")
    assert made.last.size == box.log.head().seq
    report = verify(box.ground.layout.log, [made._key])
    assert (report.good, report.signed) == (True, box.log.head().seq)
    assert made.last.origin == "main/audit"


def test_a_log_that_was_cut_after_it_was_signed_stops_the_start(box):
    with ExitStack() as closing:
        checkpoints.begin(fresh(box), closing)
    day = next(box.ground.layout.log.glob("*.log"))
    box.log.close()
    day.write_bytes(b"".join(day.read_bytes().splitlines(keepends=True)[:-1]))
    box.log = AuditLog.open(box.ground.layout.log, clock=box.clock)
    with pytest.raises(ChainBroken, match="acknowledged"), ExitStack() as closing:
        checkpoints.begin(fresh(box), closing)


def test_a_signer_that_can_not_sign_now_does_not_stop_the_start(box, caplog):
    made = fresh(box)
    box.ground.custody.client.close()
    made._signer = type("Gone", (), {"sign_note": lambda *_: raise_sealed()})()
    with ExitStack() as closing:
        checkpoints.begin(made, closing)
    assert "not under a fresh signature yet" in caplog.text


def raise_sealed():
    from hsm.signer.protocol import Code, SignerError  # noqa: PLC0415

    raise SignerError(Code.SEALED, "sealed")


def test_a_disk_that_fills_up_is_an_event(tmp_path, caplog):
    opened = []
    event = {"event": EventName.AUDIT_PRESSURE.text, "code": "SP9101W"}
    tell = checkpoints.on_pressure(lambda: opened[0] if opened else None, event)
    tell(0.5)
    log = AuditLog.open(tmp_path / "log", clock=HandClock(), on_pressure=tell, disk_use=lambda _: 0.8)
    opened.append(log)
    log.record({"event": "first"})
    log.record({"event": "second"})
    log.close()
    text = next((tmp_path / "log").glob("*.log")).read_text()
    assert text.count("audit.disk_pressure") == 1
    assert '"used_percent":80' in text
    assert "80 % full" in caplog.text


def test_the_names_of_the_logs_own_events_are_known():
    assert EventName.AUDIT_REPAIRED.value == ("audit.repaired", "SP9100")


class Steps:
    """A stop signal that lets so many steps pass at once."""

    def __init__(self, count):
        self.left = count

    def wait(self, _seconds):
        self.left -= 1
        return self.left < 0


def test_chores_are_done_in_their_turn():
    done = []
    often = Chore(name="often", every=5.0, do=lambda: done.append("often"))
    seldom = Chore(name="seldom", every=60.0, do=lambda: done.append("seldom"))
    keep_up((often, seldom), Steps(24), step=5.0)
    assert (done.count("often"), done.count("seldom")) == (24, 2)


@pytest.mark.parametrize("error", [Unavailable("the disk is full"), RuntimeError("a fault of ours")])
def test_a_chore_that_fails_ends_neither_the_others_nor_the_service(error, caplog):
    done = []

    def fail():
        raise error

    chores = (
        Chore(name="ending sessions", every=5.0, do=fail),
        Chore(name="b", every=5.0, do=lambda: done.append(1)),
    )
    keep_up(chores, Steps(3), step=5.0)
    assert len(done) == 3
    assert "ending sessions" in caplog.text


def test_what_has_expired_is_removed(box):
    chores = {one.name: one for one in auth._chores(box.ground, box.rooms)}
    box.begin("joe")
    box.clock.forward(hours=1)
    assert chores["removing what has expired"].do() == 1
