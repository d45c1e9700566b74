"""Who may change something: W01 (cross-site requests, login among them) and W02 (fixation)."""

import json

import pyotp
import pytest

from tests.support.web_visitor import BASE, FORM, SESSION, Visitor

ADA = {"user": "ada", "password": "correct horse battery"}


def code():
    return pyotp.TOTP("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP").now()


def state_changes(app):
    """Every rule that takes POST and is not a tool's door, with its parts filled in."""
    rules = [rule for rule in app.url_map.iter_rules() if "POST" in rule.methods]
    assert len(rules) > 8
    parts = {"<token>": "t" * 44, "<kind>": "totp", "<name>": "joe", "<id_>": "0" * 32, "<sid>": "0" * 36}
    for rule in rules:
        path = rule.rule
        for part, value in parts.items():
            path = path.replace(part, value)
        if not path.startswith("/webapi/"):
            yield path


def acts(auth):
    return [name for name, _ in auth.calls if name not in {"cluster.ping", "me.show"}]


def refusals(visitor, **how):
    """Try every state change in a forbidden way; return the paths that were not refused with 403."""
    visitor.as_user("ada")
    visitor.auth.calls.clear()
    answers = {path: visitor.post(path, **how).status_code for path in state_changes(visitor.app)}
    assert acts(visitor.auth) == []
    return {path: status for path, status in answers.items() if status != 403}


def test_no_state_change_without_the_forms_proof(visitor):
    assert refusals(visitor, token="") == {}


def test_no_state_change_with_another_browsers_proof(visitor, auth):
    other = Visitor(auth, calls_burst=1000).as_user("ada")
    assert refusals(visitor, token=other.token) == {}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_no_state_change_asked_for_by_another_site(visitor, site):
    assert refusals(visitor, headers={"Sec-Fetch-Site": site}) == {}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://box.example:3080",
        "https://box.example",
        "https://x.box.example:3080",
    ],
)
def test_no_state_change_from_another_origin(visitor, origin):
    assert refusals(visitor, headers={"Origin": origin, "Sec-Fetch-Site": None}) == {}


def test_no_state_change_by_a_cookie_planted_without_its_key(visitor):
    visitor.as_user("ada")
    visitor.client.set_cookie(FORM, "x", domain="box.example", secure=True)
    assert visitor.post("/web/logout").status_code == 403


def test_get_changes_nothing(visitor, auth):
    visitor.as_user("ada")
    auth.calls.clear()
    for path in state_changes(visitor.app):
        visitor.get(path)
    changes = {
        "create",
        "delete",
        "reset",
        "update",
        "add_openssh",
        "answer",
        "finish",
        "begin",
        "end",
        "prove",
    }
    assert not [name for name in acts(auth) if name.rpartition(".")[2] in changes]


def test_the_proof_of_before_signing_in_is_void_afterwards(visitor):
    visitor.get("/web/login")
    before, key = visitor.token, visitor.cookie(FORM)
    assert visitor.post("/web/login", ADA | {"code": code()}).status_code == 303
    assert visitor.cookie(FORM) != key
    assert visitor.post("/web/logout", token=before).status_code == 403


def test_a_session_cookie_planted_before_signing_in_is_replaced_and_ended(visitor, auth):
    planted = auth.session("joe")
    visitor.client.set_cookie(SESSION, planted, domain="box.example", secure=True)
    visitor.get("/web/login")
    assert visitor.post("/web/login", ADA | {"code": code()}).status_code == 303
    assert visitor.cookie(SESSION) not in {None, planted}
    old = Visitor(auth)
    old.client.set_cookie(SESSION, planted, domain="box.example", secure=True)
    assert old.get("/web/account").status_code == 303


def test_a_form_of_one_session_is_no_good_for_the_next_one(visitor):
    visitor.as_user("ada")
    of_ada = visitor.token
    visitor.as_user("joe")
    assert visitor.post("/web/logout", token=of_ada).status_code == 403


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "text/xml", ""])
def test_other_kinds_of_bodies_are_refused(visitor, kind):
    visitor.get("/web/login")
    answer = visitor.client.post(
        "/web/login", base_url=BASE, data=b"--x--", content_type=kind, environ_overrides=visitor.environ
    )
    assert answer.status_code == 415


def test_compressed_bodies_are_refused(visitor):
    visitor.get("/web/login")
    assert visitor.post("/web/login", ADA, headers={"Content-Encoding": "gzip"}).status_code == 415


def test_ten_thousand_fields_are_refused(visitor):
    visitor.get("/web/login")
    assert visitor.post("/web/login", {f"f{i}": "x" for i in range(10000)}).status_code == 413


def test_a_flood_of_forms_is_slowed(auth):
    visitor = Visitor(auth, calls_burst=3, calls_per_second=1)
    visitor.get("/web/login")
    statuses = [visitor.post("/web/login", ADA).status_code for _ in range(5)]
    assert statuses == [403, 403, 403, 429, 429]
    assert int(visitor.post("/web/login", ADA).headers["Retry-After"]) >= 1
    assert Visitor(auth, app=visitor.app, source="192.0.2.99").get("/web/login").status_code == 200


def test_json_needs_the_proof_as_well(visitor):
    visitor.get("/web/login")
    body = json.dumps({"user": "", "password": ""})
    assert visitor.call("/web/login/challenge", body).status_code == 403
    headers = {"Sallyport-Form": visitor.token, "Origin": BASE}
    assert visitor.call("/web/login/challenge", body, headers=headers).status_code == 200


def test_pages_answer_to_their_own_name_only(visitor):
    answer = visitor.client.get("/web/login?x=1", base_url="https://10.0.0.1:3080")
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{BASE}/web/login?x=1")
    posted = visitor.client.post("/web/login", base_url="https://rebound.example:3080", data={"a": "b"})
    assert posted.status_code == 421
