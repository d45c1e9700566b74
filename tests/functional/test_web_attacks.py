"""A browser that is led astray: other sites' forms and frames, hostile recordings (W01, W07, W08)."""

import http.server
import json
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pyotp
import pytest

from appliance.domain.operations import journal, nodes
from appliance.recording.asciicast import export, parts
from appliance.recording.frames import End, Exec, Header, Outcome, Output, Program, Resize, SessionFacts
from appliance.recording.reader import Timed
from tests.support.browser import chromium
from tests.support.memory_auth import MemoryAuth
from tests.support.web_server import free_port, running

pytestmark = pytest.mark.functional

SID = "0b1c2d3e-1111-4222-8333-444455556666"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PAGES = (
    "/web/",
    "/web/account",
    "/web/nodes/add",
    "/web/nodes/n/remove",
    "/web/users",
    "/web/users/add",
    "/web/users/ada",
    "/web/sessions",
    "/web/events",
    "/web/trust",
    "/web/login",
    "/web/signed-out",
)
MARK = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def auth():
    service = MemoryAuth(address=f"localhost:{free_port()}")
    service.add("ada", password="correct horse battery", totp=SECRET, roles=("editor",))
    return service


@pytest.fixture(scope="module")
def web(auth, tmp_path_factory):
    port = int(auth.address.rpartition(":")[2])
    with running(tmp_path_factory.mktemp("web"), auth.api(), port=port) as server:
        auth.authority = server.tls.authority_der
        yield server


@pytest.fixture(scope="module")
def browser(web, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), trusted_spki=web.tls.spki) as one:
        one.open(f"{web.url}/web/login")
        one.fill(user="ada", password="correct horse battery", code=pyotp.TOTP(SECRET).now())
        one.click("Sign in")
        one.wait_for_heading("Nodes")
        yield one


@contextmanager
def other_site(page):
    """Serve one page at another site."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def self_sending(action, **fields):
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    form = f'<form id="f" method="post" action="{action}">{inputs}</form>'
    return f"<h1>Nice pictures</h1>{form}<script>document.getElementById('f').submit()</script>"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/web/users/add", {"name": "eve", "roles": "editor", "lifetime": "3600"}),
        ("/web/users/ada/delete", {"confirm": "ada"}),
        ("/web/logout", {}),
        ("/web/login", {"user": "eve", "password": "eves own password", "code": "123456"}),
    ],
)
def test_a_form_of_another_site_changes_nothing(browser, web, auth, path, fields):
    auth.calls.clear()
    with other_site(self_sending(web.url + path, **fields)) as url:
        browser.open(url)
        browser.wait_for_heading("This form was not accepted")
    assert [name for name, _ in auth.calls if name not in {"cluster.ping", "me.show"}] == []
    browser.open(f"{web.url}/web/account")
    browser.wait_for_heading("Your account")


def test_a_script_of_another_site_reads_and_sends_nothing(browser, web, auth):
    script = """
      window.out = [];
      const note = (what) => (error) => window.out.push(what + ":" + error.name);
      const headers = {"Content-Type": "application/json"};
      const json = {method: "POST", credentials: "include", body: "{}", headers};
      Promise.all([
        fetch(URL + "/web/users", {credentials: "include"}).catch(note("read")),
        fetch(URL + "/web/login/challenge", json).catch(note("challenge")),
        fetch(URL + "/webapi/v1/login.begin", json).catch(note("relay")),
      ]).then(() => { document.title = "done"; });
    """.replace("URL", json.dumps(web.url))
    auth.calls.clear()
    with other_site(f"<h1>Nice pictures</h1><script>{script}</script>") as url:
        browser.open(url)
        browser.wait_until("return document.title === 'done'")
        out = browser.driver.execute_script("return window.out")
    assert sorted(out) == ["challenge:TypeError", "read:TypeError", "relay:TypeError"]
    assert not [name for name, _ in auth.calls if name in {"login.begin", "users.list"}]


def test_our_pages_show_themselves_in_no_frame(browser, web):
    frame = f'<h1>Nice pictures</h1><iframe src="{web.url}/web/users" width="800" height="600"></iframe>'
    with other_site(frame) as url:
        browser.console()
        browser.open(url)
        time.sleep(1)
        said = " ".join(browser.console())
    assert "frame-ancestors 'none'" in said or "Refused to frame" in said or "X-Frame-Options" in said


def test_a_link_of_another_site_finds_the_person_signed_in(browser, web):
    with other_site(f'<h1>Chat</h1><a href="{web.url}/web/account">Look at this</a>') as url:
        browser.open(url)
        browser.click("Look at this")
        browser.wait_for_heading("Your account")


def test_hostile_names_run_nothing_and_load_nothing(browser, web, auth):
    auth.nodes["x"] = nodes.NodeView(id="x", name=MARK, address=MARK, kind=MARK, labels={MARK: MARK})
    auth.events = [{"event": MARK, "code": MARK, "user": MARK, "time": MARK, "error": MARK, MARK: [MARK]}]
    for path in ("/web/", "/web/events"):
        browser.open(web.url + path)
        time.sleep(0.3)
        assert browser.driver.title != "taken"
        assert MARK in browser.text
    auth.nodes.clear()


def a_session(auth, **changes):
    given = {
        "id": SID,
        "user": "ada",
        "login": "root",
        "node": "web1",
        "source": "192.0.2.7",
        "started_at": auth.now - timedelta(hours=1),
        "ended_at": auth.now,
        "end_reason": "closed",
        "recording_size": 5000,
        "recording_lost": False,
    }
    return journal.SessionView(**given | changes)


def cast(*outputs):
    head = json.dumps({"version": 2, "width": 80, "height": 24, "timestamp": 1, "title": MARK})
    lines = [json.dumps([0.1 * (number + 1), "o", text]) for number, text in enumerate(outputs)]
    return "\n".join([head, *lines]) + "\n"


def test_a_recording_is_played_and_can_do_nothing_else(browser, web, auth):
    auth.sessions = [a_session(auth, login=MARK, end_reason=MARK)]
    hostile = f"\x1b]0;{MARK}\x07\x1b]8;;javascript:document.title='taken'\x07link\x1b]8;;\x07{MARK}\r\n"
    auth.casts[SID] = [cast("hello from the recording\r\n", hostile, "\x1b]52;c;ZXZpbA==\x07", "end\r\n")]
    browser.console()
    browser.open(f"{web.url}/web/sessions/{SID}")
    browser.wait_for("#player[data-ready]")
    browser.wait_for(".ap-player, .asciinema-player, .ap-wrapper")
    browser.find("#player").click()
    browser.wait_for_text("end")
    browser.wait_until(
        "return document.querySelector('#player').innerText.includes('hello from the recording')"
    )
    time.sleep(0.5)
    assert browser.driver.title != "taken"
    assert browser.refused_by_policy() == []
    assert (
        browser.driver.execute_script(
            "return document.querySelectorAll('#player img, #player script').length"
        )
        == 0
    )


def test_a_recording_that_can_not_be_had_is_told_in_words(browser, web, auth):
    auth.casts.pop(SID, None)
    browser.open(f"{web.url}/web/sessions/{SID}")
    browser.wait_for_text("The recording could not be played")


def test_no_page_breaks_its_own_policy(browser, web, auth):
    auth.nodes["n"] = nodes.NodeView(id="n", name="n", address="a:1", kind="openssh", labels={})
    browser.console()
    for path in PAGES:
        browser.open(web.url + path)
        browser.wait_for("h1")
        assert browser.refused_by_policy() == [], path


def test_every_field_has_a_name_for_those_who_can_not_see_it(browser, web):
    unnamed = """
      const all = "input:not([type=hidden]):not([aria-hidden]), select, textarea, button, a";
      return [...document.querySelectorAll(all)]
        .filter((one) => one.checkVisibility())
        .filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.innerText.trim()))
        .map((one) => one.outerHTML);
    """
    for path in (
        "/web/",
        "/web/nodes/add",
        "/web/users",
        "/web/users/add",
        "/web/users/ada",
        "/web/events",
        "/web/login",
        "/web/trust",
    ):
        browser.open(web.url + path)
        browser.wait_for("h1")
        assert browser.driver.execute_script(unnamed) == [], path
        assert browser.driver.execute_script("return document.querySelectorAll('h1').length") == 1
        assert browser.driver.execute_script("return document.querySelectorAll('main').length") == 1


def recorded():
    """Return the parts of a cast of 2 MiB as the auth service exports it, markers and a resize among it."""
    facts = SessionFacts(session_id=SID, user="ada", login="root", node="web1", terminal="xterm")
    frames = [Header(facts), Output(b"first line\r\n"), Exec(Program.COMMAND, b"make -j8"), Resize(100, 30)]
    frames += [Output(b"%05d " % number + b"x" * 90 + b"\r\n") for number in range(16000)]
    frames += [Output(b"last line\r\n"), End(outcome=Outcome.COMPLETE)]
    timed = [
        Timed(at_us=number * 100, wall_us=number * 100, frame=frame) for number, frame in enumerate(frames)
    ]
    return list(parts(export(timed)))


def test_what_the_recorder_exports_is_played_to_its_end(browser, web, auth):
    auth.sessions = [a_session(auth)]
    auth.casts[SID] = recorded()
    assert len(auth.casts[SID]) >= 2
    browser.open(f"{web.url}/web/sessions/{SID}")
    browser.wait_for("#player[data-ready]")
    browser.find("#player").click()
    browser.wait_until("return document.querySelector('#player').innerText.includes('last line')")
    assert browser.refused_by_policy() == []
