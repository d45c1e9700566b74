"""The rooms behind the gate: nodes, users, sessions, events, browser sign-ins (W07, A16)."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.domain import codec
from appliance.domain.errors import Conflict, Denied, Unavailable
from appliance.domain.operations import journal, nodes, people
from tests.support.web_visitor import Visitor

EVIL = "\"><img src=x onerror=alert(1)>'{{7*7}}\u202e\x1b]0;x\x07</textarea><script>alert(2)</script>"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def a_session(**changes):
    given = {
        "id": "0b1c2d3e-1111-4222-8333-444455556666",
        "user": "joe",
        "login": "root",
        "node": "web1",
        "source": "192.0.2.7",
        "started_at": NOW,
        "ended_at": NOW + timedelta(minutes=5),
        "end_reason": "closed",
        "recording_size": 2048,
        "recording_lost": False,
    }
    return journal.SessionView(**given | changes)


def a_node(**changes):
    given = {
        "id": "n1",
        "name": "web1",
        "address": "10.0.0.7:22",
        "kind": "openssh",
        "labels": {"env": "dev"},
    }
    return nodes.NodeView(**given | changes)


def text(answer):
    return answer.get_data(as_text=True)


def harmless(page):
    """Return whether text of the attacker's stands in the page only as text."""
    return (
        "<img src=x" not in page
        and "<script>alert" not in page
        and "49" not in re.sub(r"[0-9a-f]{32,}|nonce=\"[^\"]*\"", "", page)
        and "\u202e" not in page
        and "\x1b" not in page
    )


@pytest.fixture
def ada(auth):
    return Visitor(auth, calls_burst=1000).as_user("ada")


@pytest.fixture
def joe(auth):
    return Visitor(auth, calls_burst=1000).as_user("joe")


def test_home_shows_what_to_type(joe, auth):
    auth.nodes["web1"] = a_node()
    page = text(joe.get("/web/"))
    assert "ssh joe@web1.main" in page
    assert "sally login --proxy=box.example:3080 --user=joe" in page
    assert "Add a node" not in page


def test_what_a_person_may_not_do_is_not_offered_and_not_done(joe, auth):
    page = text(joe.get("/web/"))
    assert "/web/users" not in page
    assert "/web/events" not in page
    for path in ("/web/users", "/web/events"):
        assert joe.get(path).status_code == 403
    for path in ("/web/users/add", "/web/users/ada/delete", "/web/users/ada/reset", "/web/nodes/add"):
        fields = {
            "confirm": "ada",
            "name": "eve",
            "lifetime": "3600",
            "roles": "editor",
            "address": "a:1",
            "host_key": "ssh-x",
        }
        assert joe.post(path, fields).status_code == 403
    assert set(auth.accounts) == {"ada", "joe"}


def test_an_administrator_adds_a_user_and_sees_the_link_once(ada, auth):
    ada.get("/web/users/add")
    fields = {"name": "kim", "logins": "kim, root", "roles": "access auditor", "lifetime": "900"}
    page = text(ada.post("/web/users/add", fields))
    assert re.search(r"https://box\.example:3080/web/invite/[\w-]{44}", page)
    made = next(request for name, request in auth.calls if name == "users.create")
    assert made == people.UserCreate(
        name="kim", logins=("kim", "root"), roles=("access", "auditor"), ttl_seconds=900
    )
    assert "/web/invite/" not in text(ada.get("/web/users/kim"))
    assert "link not used yet" in text(ada.get("/web/users"))


def test_what_can_not_be_added_is_explained_beside_the_form(ada):
    ada.get("/web/users/add")
    answer = ada.post("/web/users/add", {"name": "joe", "roles": "access", "lifetime": "3600"})
    assert answer.status_code == 409
    assert "There is a user joe already." in text(answer)
    assert 'value="joe"' in text(answer)
    answer = ada.post("/web/users/add", {"name": "kim", "roles": "access", "lifetime": "999999999"})
    assert answer.status_code == 400


def test_changing_a_user(ada, auth):
    ada.get("/web/users/joe")
    assert ada.post("/web/users/joe", {"logins": "joe,admin", "roles": "access"}).status_code == 303
    assert auth.accounts["joe"].view.logins == ("joe", "admin")
    auth.fail["users.update"] = Conflict("somebody else changed it first")
    answer = ada.post("/web/users/joe", {"logins": "joe", "roles": "access"})
    assert answer.status_code == 409
    assert "Somebody else changed it first." in text(answer)


def test_resetting_shows_a_link(ada):
    ada.get("/web/users/joe")
    assert "was reset" in text(ada.post("/web/users/joe/reset"))


def test_deleting_needs_the_name_typed(ada, auth):
    ada.get("/web/users/joe")
    assert ada.post("/web/users/joe/delete", {"confirm": "jo"}).status_code == 400
    assert "joe" in auth.accounts
    assert ada.post("/web/users/joe/delete", {"confirm": "joe"}).status_code == 303
    assert "joe" not in auth.accounts


def test_adding_and_removing_a_node(ada, auth):
    ada.get("/web/nodes/add")
    fields = {
        "name": "web9",
        "address": "10.0.0.9:22",
        "host_key": "ssh-ed25519 AAAA",
        "labels": "env=dev\nteam = shop,x=a=b",
    }
    page = text(ada.post("/web/nodes/add", fields))
    assert "TrustedUserCAKeys" in page
    assert "ssh-ed25519-cert-v01@openssh.com" in page
    assert auth.nodes["web9"].labels == {"env": "dev", "team": "shop", "x": "a=b"}
    ada.get("/web/nodes/web9/remove")
    assert ada.post("/web/nodes/web9/remove").status_code == 303
    assert auth.nodes == {}


@pytest.mark.parametrize("labels", ["env", "=", "a=1,a=2"])
def test_labels_that_are_none_are_explained(ada, labels, auth):
    ada.get("/web/nodes/add")
    answer = ada.post(
        "/web/nodes/add", {"name": "w", "address": "a:1", "host_key": "ssh-x", "labels": labels}
    )
    if labels == "=":
        assert auth.nodes["w"].labels == {"": ""}  # auth judges keys; the page only splits
    else:
        assert answer.status_code == 400
        assert "expected key=value" in text(answer)


def test_sessions_are_listed_and_replayed(joe, auth):
    auth.sessions = [a_session()]
    auth.casts[auth.sessions[0].id] = ['{"version":2}\n', '[0.1,"o","hi"]\n', '[0.2,"o","\\u001b[31m"]\n']
    assert "root@web1" in text(joe.get("/web/sessions"))
    page = text(joe.get(f"/web/sessions/{auth.sessions[0].id}"))
    assert f'data-cast="/web/sessions/{auth.sessions[0].id}/recording.cast"' in page
    cast = joe.get(f"/web/sessions/{auth.sessions[0].id}/recording.cast")
    assert text(cast) == "".join(auth.casts[auth.sessions[0].id])
    assert cast.headers["Content-Type"].startswith("application/x-asciicast")
    assert "attachment" in cast.headers["Content-Disposition"]


@pytest.mark.parametrize("sid", ["x", "../../etc/passwd", "0B1C2D3E-1111-4222-8333-444455556666", "a" * 5000])
def test_a_session_id_of_another_form_goes_no_further(joe, auth, sid):
    auth.calls.clear()
    assert joe.get(f"/web/sessions/{sid}/recording.cast").status_code in {400, 404}
    assert not [name for name, _ in auth.calls if name == "recordings.export"]


def test_a_recording_of_somebody_else_is_refused(joe, auth):
    auth.sessions = [a_session(user="ada")]
    auth.fail["recordings.export"] = Denied(
        "not theirs", message="there is no such session, or it is not yours"
    )
    assert joe.get(f"/web/sessions/{auth.sessions[0].id}").status_code == 404
    answer = joe.get(f"/web/sessions/{auth.sessions[0].id}/recording.cast")
    assert answer.status_code == 403
    assert "not theirs" not in text(answer)


def test_events_are_filtered_and_shown(ada, auth):
    auth.events = [
        {"event": "exec", "code": "SP2100I", "time": "2026-11-20T12:00:00Z", "user": "joe", "command": "ls"},
        {"event": "auth", "code": "SP1000W", "user": "eve", "success": False, "error": "wrong password"},
    ]
    page = text(ada.get("/web/events"))
    assert page.count('class="refused"') == 1
    assert '<time datetime="2026-11-20T12:00:00Z">' in page
    ada.get("/web/events?event=exec&user=joe&session=abc&limit=50")
    asked = [request for name, request in auth.calls if name == "events.list"][-1]
    assert (asked.event, asked.user, asked.session, asked.limit) == ("exec", "joe", "abc", 50)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e3", "\uff19", "99999999999999999999"])
def test_a_limit_that_is_none_is_refused(ada, limit):
    assert ada.get("/web/events", query_string={"limit": limit}).status_code == 400


def test_hostile_text_is_text_on_every_page(ada, auth):
    auth.nodes["e"] = a_node(name=EVIL, address=EVIL, labels={EVIL: EVIL})
    auth.sessions = [a_session(login=EVIL, node=EVIL, source=EVIL, end_reason=EVIL, user=EVIL)]
    auth.events = [
        {"event": EVIL, "code": EVIL, "time": EVIL, "user": EVIL, "error": EVIL, EVIL: EVIL, "list": [EVIL]}
    ]
    view = replace(auth.accounts["joe"].view, logins=(EVIL,), roles=(EVIL,), factors=(EVIL,), created_by=EVIL)
    auth.accounts["joe"].view = view
    pages = [
        "/web/",
        "/web/sessions",
        f"/web/sessions/{auth.sessions[0].id}",
        "/web/events",
        "/web/users",
        "/web/users/joe",
    ]
    for path in pages:
        answer = ada.get(path)
        assert answer.status_code == 200
        assert "&lt;img src=x" in text(answer)
        assert harmless(text(answer)), path


def test_hostile_text_in_what_is_asked_for_is_text(ada):
    for path in ("/web/users/", "/web/nodes/", "/nowhere/"):
        assert harmless(text(ada.get(path + "%3Cscript%3Ealert(2)%3C%2Fscript%3E")))
    assert harmless(text(ada.get("/web/events", query_string={"user": EVIL, "session": EVIL, "event": EVIL})))
    assert harmless(text(ada.get("/web/login", query_string={"next": EVIL})))
    assert harmless(text(ada.post("/web/login", {"user": EVIL, "password": "x"})))
    assert harmless(
        text(ada.post("/web/nodes/add", {"name": EVIL, "address": EVIL, "host_key": EVIL, "labels": EVIL}))
    )


def browser_login(auth):
    request = people.BrowserLoginCreate(source="198.51.100.4", ssh_public_key=b"", tls_public_key=b"")
    return json.loads(auth.post("/v1/browser_logins.create", codec.dumps(request), {})[1])["id"]


@pytest.mark.parametrize("answer", ["approve", "refuse"])
def test_a_waiting_command_line_is_shown_and_answered_once(joe, auth, answer):
    path = f"/web/cli/{browser_login(auth)}"
    page = text(joe.get(path))
    assert "KX7QP2" in page
    assert "198.51.100.4" in page
    assert "23 hours" in page
    assert joe.post(path, {"answer": answer}).status_code == 200
    given = [request for name, request in auth.calls if name == "browser_logins.answer"]
    assert [one.approve for one in given] == [answer == "approve"]
    assert joe.get(path).status_code == 404


def test_a_waiting_command_line_needs_a_clear_answer(joe, auth):
    path = f"/web/cli/{browser_login(auth)}"
    joe.get(path)
    assert joe.post(path, {"answer": "perhaps"}).status_code == 400
    assert joe.post(path).status_code == 400
    assert not [name for name, _ in auth.calls if name == "browser_logins.answer"]


def test_every_room_asks_to_sign_in_first(auth):
    stranger = Visitor(auth)
    rules = [
        rule.rule
        for rule in stranger.app.url_map.iter_rules()
        if "GET" in rule.methods and rule.rule.startswith("/web/")
    ]
    open_to_all = {
        "/web/login",
        "/web/signed-out",
        "/web/trust",
        "/web/ca.pem",
        "/web/ca.der",
        "/web/known_hosts",
    }
    rooms = [rule for rule in rules if rule not in open_to_all and "/invite/" not in rule]
    assert len(rooms) > 9
    auth.calls.clear()
    for rule in rooms:
        answer = stranger.get(re.sub("<[^>]+>", "x", rule))
        assert (answer.status_code, answer.headers["Location"][:10]) == (303, "/web/login")
    assert auth.calls == []


def test_the_trust_page_gives_the_authority_and_its_fingerprints(auth, authority):
    import hashlib  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    stranger = Visitor(auth)
    page = text(stranger.get("/web/trust"))
    digest = hashlib.sha256(authority).hexdigest().upper()
    assert ":".join(digest[i : i + 2] for i in range(0, 64, 2)) in page
    assert re.search(r"sha256:[0-9a-f]{64}", page)
    assert ssl.PEM_cert_to_DER_cert(text(stranger.get("/web/ca.pem"))) == authority
    assert stranger.get("/web/ca.der").get_data() == authority
    assert text(stranger.get("/web/known_hosts")).startswith("@cert-authority")


def test_a_part_that_does_not_answer_is_told_without_its_innards(ada, auth):
    auth.fail["nodes.list"] = Unavailable("/run/sallyport/auth.sock: connection refused")
    answer = ada.get("/web/")
    assert answer.status_code == 503
    assert "auth.sock" not in text(answer)
    assert "Try again in a minute" in text(answer)
    auth.fail["nodes.delete"] = auth.fail["nodes.list"]
    ada.get("/web/nodes/x/remove")
    assert "look before you repeat it" in text(ada.post("/web/nodes/x/remove"))
