"""Live sessions: what the edge may say of them, when they end, who may look at them."""

import uuid
from dataclasses import replace

import pytest

from appliance.broker.callers import Person
from appliance.domain.errors import Denied, Invalid, NotFound, SallyportError
from appliance.domain.operations import custody, journal, nodes, people, ssh
from tests.support.auth_box import HERE, token_of


@pytest.fixture
def joe(box):
    joe = box.certified(box.sign_up("joe"))
    box.add_node("web1")
    return joe


@pytest.fixture
def sid(box, joe):
    return box.connect(joe).session


def report(box, sid, event="exec", /, **fields):
    fact = ssh.SessionFacts(session=sid, event=event, fields=fields)
    return box.proxy("sessions.report", ssh.SessionReport(facts=(fact,)))


def pulse(box, *sids):
    return box.proxy("proxy.pulse", ssh.Pulse(proxy_id="p", sessions=sids)).end


def end(box, sid, reason="closed"):
    return box.proxy("sessions.end", ssh.SessionEnd(session=sid, reason=reason, bytes_in=1, bytes_out=2))


# what is reported

FIELDS = ("user", "login", "sid", "server_id", "addr.remote", "event", "code", "time", "uid", "success")
FIELDS += ("seq", "prev", "truncated", "rest")


def test_what_the_edge_reports_is_in_the_log_under_the_sessions_own_names(box, sid):
    report(box, sid, command="id", exit=0)
    found = box.events("exec")[0]
    assert (found["user"], found["login"], found["sid"], found["addr.remote"]) == ("joe", "root", sid, HERE)
    assert (found["command"], found["exit"], found["code"]) == ("id", 0, "SP2100I")


@pytest.mark.parametrize(
    "field",
    FIELDS,
)
def test_the_edge_has_no_say_in_who_where_and_when(box, sid, field):
    before = len(box.events())
    report(box, sid, **{field: "forged", "command": "id"})
    found = box.events("exec")[0]
    assert found.get(field) != "forged"
    assert len(box.events()) == before + 1


def test_what_failed_is_marked_as_failed(box, sid):
    report(box, sid, error="no such file")
    assert (box.events("exec")[0]["error"], box.events("exec")[0]["code"]) == ("no such file", "SP2100W")


@pytest.mark.parametrize(
    "event", ["auth", "session.start", "session.end", "user.create", "", "EXEC", "cert.create"]
)
def test_other_events_are_not_the_edges_to_report(box, sid, event):
    with pytest.raises(Invalid, match="not an event"):
        report(box, sid, event)


@pytest.mark.parametrize("name", ["", "x", "../../etc", str(uuid.UUID(int=5)).upper() + " "])
def test_a_session_has_a_proper_id(box, sid, name):
    for call in (lambda: report(box, name), lambda: end(box, name), lambda: pulse(box, name)):
        with pytest.raises(Invalid, match="session id"):
            call()


def test_an_unknown_session_has_no_history(box):
    with pytest.raises(Denied):
        report(box, str(uuid.UUID(int=5)))
    assert "unknown session" in box.events("access.denied")[-1]["error"]
    with pytest.raises(Denied):
        end(box, str(uuid.UUID(int=5)))


# how they end


def test_a_session_ends_once(box, sid):
    end(box, sid)
    end(box, sid, "again")
    found = box.events("session.end")
    assert [(one["reason"], one["bytes_in"], one["bytes_out"]) for one in found] == [("closed", 1, 2)]
    assert pulse(box, sid) == {sid: "the session was ended"}


def test_a_live_session_goes_on(box, sid):
    assert pulse(box, sid) == {}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (("users.delete", people.UserNamed(name="joe")), "the account was removed"),
        (("users.reset", people.UserNamed(name="joe")), "the account was removed"),
        (("nodes.delete", nodes.NodeNamed(name="web1")), "the node was removed"),
        (("certificates.revoke", custody.CertificatesRevoke(user="joe")), "the certificate was revoked"),
    ],
)
def test_what_takes_the_right_away_ends_the_session_with_the_next_pulse(box, sid, act, reason):
    box.console(*act)
    assert pulse(box, sid) == {sid: reason}


def test_a_session_from_before_a_reset_does_not_go_on_after_it(box, sid):
    token = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    box.clock.forward(seconds=1)
    box.sign_up("joe", token=token)
    assert pulse(box, sid) == {sid: "the account was removed"}


def sweep(box, *, seconds=5, times=1):
    for _ in range(times):
        box.clock.forward(seconds=seconds)
        box.rooms.sessions.sweep()


def test_a_session_that_nobody_speaks_of_ends_after_half_a_minute(box, sid):
    box.rooms.sessions.sweep()
    sweep(box, times=6)
    assert not box.events("session.end")
    sweep(box)
    assert box.events("session.end")[0]["reason"] == "lost: the proxy stopped answering"
    assert box.state.sessions.get(sid).value.ended_at


def test_a_session_that_is_spoken_of_goes_on(box, sid):
    for _ in range(20):
        pulse(box, sid)
        sweep(box)
    assert not box.events("session.end")


def test_a_restart_gives_every_worker_time_to_speak(box, sid):
    box.clock.forward(hours=1)
    box.recompose()
    box.rooms.sessions.sweep()
    pulse(box, sid)
    sweep(box, times=3)
    assert not box.events("session.end")


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_ends_no_session_and_keeps_none_alive(box, sid, jump):
    box.rooms.sessions.sweep()
    pulse(box, sid)
    sweep(box, seconds=jump)
    assert not box.events("session.end")
    sweep(box, times=7)
    assert len(box.events("session.end")) == 1


def test_ids_that_the_edge_makes_up_are_not_remembered(box, sid):
    made_up = [str(uuid.UUID(int=n)) for n in range(100)]
    assert set(pulse(box, *made_up, sid)) == set(made_up)
    assert set(box.rooms.sessions.seen.moments) == {sid}


def test_a_pulse_is_bounded(box):
    with pytest.raises(Invalid, match="at most"):
        pulse(box, *["x"] * 100_001)


# recordings


def block(box, sid, offset, data):
    return box.proxy("recordings.append", ssh.RecordingBlock(session=sid, offset=offset, data=data))


def test_a_recording_needs_a_session(box):
    with pytest.raises(Denied):
        block(box, str(uuid.UUID(int=5)), 0, b"x")


def test_a_block_is_bounded_and_leaves_no_gap(box, sid):
    with pytest.raises(Invalid, match="at most 1048576"):
        block(box, sid, 0, bytes((1 << 20) + 1))
    with pytest.raises(SallyportError):
        block(box, sid, 10, b"x")


@pytest.fixture
def recorded(box, sid):
    """A session with a recording that was cut off."""
    block(box, sid, 0, b"not much of a recording")
    return sid


def test_a_recording_without_an_end_says_so(box, recorded):
    try:
        box.proxy("recordings.finish", ssh.RecordingFinish(session=recorded, size=23))
    except SallyportError:
        return
    assert box.events("recording.lost")


def read(box, identity, sid, offset=0):
    return box.call(identity, "recordings.read", journal.RecordingRead(session=sid, offset=offset, length=10))


JOE = Person(user="joe", source=HERE)


def test_a_person_reads_their_own_recording_and_the_log_says_so_once(box, recorded):
    for offset in (0, 10, 20):
        read(box, JOE, recorded, offset)
    found = box.events("recording.access")
    assert [(one["user"], one["sid"], one["session_user"]) for one in found] == [("joe", recorded, "joe")]


def test_reading_from_the_middle_is_reading(box, recorded):
    """Whoever leaves the first byte out is in the log all the same."""
    read(box, JOE, recorded, 1)
    assert len(box.events("recording.access")) == 1


def test_an_export_from_the_middle_is_reading(box, recorded):
    with pytest.raises(SallyportError):
        box.call(JOE, "recordings.export", journal.RecordingExport(session=recorded, cursor=-1))
    assert len(box.events("recording.access")) == 1


def test_reading_again_later_is_another_reading(box, recorded):
    read(box, JOE, recorded)
    box.clock.forward(minutes=10)
    read(box, JOE, recorded)
    assert len(box.events("recording.access")) == 2


def test_a_reading_that_can_not_be_noted_does_not_happen(box, recorded):
    box.trail.broken = True
    for _ in range(2):
        with pytest.raises(SallyportError, match="disk"):
            read(box, JOE, recorded)
    box.trail.broken = False
    read(box, JOE, recorded)
    assert len(box.events("recording.access")) == 1


@pytest.mark.parametrize("roles", [("access",), ("requester",), ()])
def test_somebody_elses_recording_is_as_unknown_as_none(box, recorded, roles):
    box.sign_up("eve", roles=roles)
    eve = Person(user="eve", source=HERE)
    messages = set()
    for sid in (recorded, str(uuid.UUID(int=5))):
        with pytest.raises(Denied) as error:
            read(box, eve, sid)
        messages.add(str(error.value))
    assert len(messages) == 1
    assert box.events("access.denied")[-1]["operation"] == "recordings.read"
    assert not box.events("recording.access")


def test_an_auditor_reads_everybodys_recordings_under_their_own_name(box, recorded):
    box.sign_up("ann", roles=("auditor",))
    read(box, Person(user="ann", source=HERE), recorded)
    assert box.events("recording.access")[0]["user"] == "ann"


def test_a_person_sees_their_own_sessions_and_an_auditor_all(box, sid):
    box.sign_up("eve")
    box.sign_up("ann", roles=("auditor",))
    query = journal.SessionsQuery()
    assert box.person("joe", "sessions.list", query).sessions[0].id == sid
    assert box.person("eve", "sessions.list", query).sessions == ()
    assert box.person("ann", "sessions.list", query).sessions[0].id == sid
    assert box.console("sessions.list", replace(query, live_only=True)).sessions[0].id == sid


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_lists_are_bounded(box, joe, limit):
    for name, query in (("sessions.list", journal.SessionsQuery), ("events.list", journal.EventsQuery)):
        with pytest.raises(Invalid, match="limit"):
            box.console(name, query(limit=limit))


@pytest.mark.parametrize(("offset", "length"), [(-1, 10), (0, 0), (0, (1 << 20) + 1)])
def test_pieces_are_bounded(box, recorded, offset, length):
    with pytest.raises(Invalid):
        box.console("recordings.read", journal.RecordingRead(session=recorded, offset=offset, length=length))


def test_events_are_for_those_whose_role_has_them_without_a_condition(box, joe):
    """The role `access` reads the events of its own sessions only, which this list can't single out."""
    box.sign_up("ann", roles=("auditor",))
    with pytest.raises(Denied):
        box.person("joe", "events.list", journal.EventsQuery())
    assert box.person("ann", "events.list", journal.EventsQuery(user="joe")).events


def test_a_session_that_never_was_has_no_recording(box):
    with pytest.raises(NotFound):
        box.console("recordings.read", journal.RecordingRead(session=str(uuid.UUID(int=5))))
