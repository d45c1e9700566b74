"""What pages may do in a browser: W05, W07 (the second line of defence), W08, W12."""

import re
from pathlib import Path

import pytest

import webui
from tests.support.web_visitor import BASE, Visitor, config
from webui.app import create_app

ROOT = Path(webui.__file__).parent
SID = "0b1c2d3e-1111-4222-8333-444455556666"
PAGES = [
    "/web/login",
    "/web/signed-out",
    "/web/trust",
    "/web/ca.pem",
    "/web/",
    "/web/account",
    "/web/users",
    "/web/users/joe",
    "/web/users/add",
    "/web/nodes/add",
    "/web/nodes/x/remove",
    "/web/sessions",
    "/web/events",
    "/web/users/nobody",
    "/nowhere",
    "/v1/webapi/ping",
    "/v1/webapi/find",
    f"/web/sessions/{SID}/recording.cast",
]


def policy(answer):
    parts = (part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_strict_headers(visitor, path):
    answer = visitor.as_user("ada").get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    csp = policy(answer)
    assert csp["default-src"] == csp["base-uri"] == csp["frame-ancestors"] == "'none'"
    assert csp["form-action"] == "'self'"
    assert csp["require-trusted-types-for"] == "'script'"
    assert not re.search(
        r"unsafe-(inline|eval|hashes)|\*|http:|data:|blob:", answer.headers["Content-Security-Policy"]
    )


def test_scripts_run_by_a_nonce_that_is_new_each_time(visitor):
    nonces = set()
    for _ in range(3):
        answer = visitor.get("/web/login")
        nonce = re.fullmatch(r"'nonce-([A-Za-z0-9+/=]{24})'", policy(answer)["script-src"])[1]
        scripts = re.findall(r"<script[^>]*>", answer.get_data(as_text=True))
        assert scripts
        assert all(f'nonce="{nonce}"' in tag and "src=" in tag for tag in scripts)
        nonces.add(nonce)
    assert len(nonces) == 3


def test_only_the_replay_may_compile_webassembly(visitor, auth):
    from tests.webui.test_pages import a_session  # noqa: PLC0415 - one maker of sessions

    auth.sessions = [a_session(user="ada")]
    answer = visitor.as_user("ada").get(f"/web/sessions/{auth.sessions[0].id}")
    assert answer.status_code == 200
    assert policy(answer)["script-src"].endswith("'wasm-unsafe-eval'")
    assert "wasm" not in visitor.get("/web/sessions").headers["Content-Security-Policy"]


def test_a_browser_on_localhost_is_not_bound_to_https_for_its_other_ports(auth):
    from dataclasses import replace  # noqa: PLC0415

    app = create_app(replace(config(), address="localhost:3080"), auth.api())
    answer = app.test_client().get("/web/login", base_url="https://localhost:3080")
    assert "Strict-Transport-Security" not in answer.headers


def test_answers_for_tools_set_no_cookie(visitor):
    assert "Set-Cookie" not in visitor.get("/v1/webapi/ping").headers


@pytest.mark.parametrize("template", sorted(ROOT.glob("templates/**/*.html")), ids=lambda path: path.stem)
def test_templates_have_nothing_inline_and_escape_everything(template):
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\son[a-z]+=", text)
    assert not re.search(r"\sstyle=|<style", text)
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)
    assert "javascript:" not in text
    for tag in re.findall(r"<script[^>]*>", text):
        assert 'nonce="{{ csp_nonce() }}"' in tag
    outside = re.findall(r'(?:href|src|action)="https?:', text)
    assert outside == []


@pytest.mark.parametrize("template", sorted(ROOT.glob("templates/**/*.html")), ids=lambda path: path.stem)
def test_every_form_that_changes_something_carries_the_proof(template):
    forms = re.findall(r'<form[^>]*method="post".*?</form>', template.read_text(encoding="utf-8"), re.DOTALL)
    assert all("{{ form_token() }}" in form for form in forms)


@pytest.mark.parametrize("script", sorted(ROOT.glob("static/*.js")), ids=lambda path: path.stem)
def test_scripts_write_no_markup_and_call_nobody_outside(script):
    text = script.read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|https?://", text
    )


def test_static_files_are_there_and_say_what_they_are(visitor):
    for name, kind in (
        ("sallyport.css", "text/css"),
        ("page.js", "javascript"),
        ("mark.svg", "image/svg+xml"),
    ):
        answer = visitor.get(f"/static/{name}")
        assert kind in answer.headers["Content-Type"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_static_files_are_the_only_files(visitor, path):
    answer = visitor.get(path)
    assert answer.status_code in {307, 308, 404}
    assert b"create_app" not in answer.get_data()


def test_a_fault_of_ours_tells_a_reference_and_nothing_else(auth, caplog):
    visitor = Visitor(auth).as_user("ada")
    auth.fail["nodes.list"] = RuntimeError("secret detail")
    answer = visitor.get("/web/")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert "secret detail" not in text
    reference = re.search(r"reference ([0-9a-f]{8})", text)[1]
    assert reference in caplog.text
    assert BASE not in text.replace(f"{BASE}/", "")
