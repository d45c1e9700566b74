"""Signing in and out: U1, A1, W03, W05, W12, M06, M08."""

import json
from http.cookies import SimpleCookie

import pyotp
import pytest

from appliance.domain.errors import Throttled, Unavailable
from tests.support.web_visitor import BASE, FORM, SESSION, Visitor

PASSWORD = "correct horse battery"


def code(secret="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"):
    return pyotp.TOTP(secret).now()


def sign_in(visitor, user="ada", password=PASSWORD, second=None, **more):
    visitor.get("/web/login")
    fields = {"user": user, "password": password, "code": code() if second is None else second}
    return visitor.post("/web/login", fields | more)


def test_password_and_code_sign_in(visitor):
    answer = sign_in(visitor)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/web/")
    assert "ada" in visitor.get("/web/account").get_data(as_text=True)


def test_a_code_may_be_typed_with_blanks(visitor):
    assert sign_in(visitor, second=f"{code()[:3]} {code()[3:]}").status_code == 303


def test_a_recovery_code_signs_in_once(visitor, auth):
    auth.accounts["ada"].recovery = {"aaaa-bbbb-cccc"}
    assert sign_in(visitor, second="aaaa-bbbb-cccc").status_code == 303
    assert sign_in(Visitor(auth), second="aaaa-bbbb-cccc").status_code == 403


@pytest.mark.parametrize(
    ("user", "password", "second"),
    [
        ("ada", "wrong password", None),
        ("ada", PASSWORD, "000000"),
        ("ada", PASSWORD, ""),
        ("nobody", PASSWORD, None),
        ("", PASSWORD, None),
        ("ada", "", ""),
        ("ada\u202e", PASSWORD, None),
        ("ADA", PASSWORD, None),
        ("\uff41da", PASSWORD, None),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(visitor, user, password, second):
    answer = sign_in(visitor, user, password, second)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 403
    assert "That did not match. Check the user name, the password and the code" in text
    assert visitor.cookie(SESSION) is None


def test_an_unknown_name_gets_the_same_page_but_for_the_name(auth):
    def page(user):
        answer = sign_in(Visitor(auth), user, "wrong password")
        text = answer.get_data(as_text=True).replace(user, "NAME")
        return answer.status_code, len(text), sorted(name for name, _ in answer.headers)

    assert page("joe") == page("zoe")


def test_the_security_key_challenge_tells_an_unknown_name_from_a_wrong_password_by_nothing(auth):
    def answer(user):
        visitor = Visitor(auth)
        visitor.get("/web/login")
        headers = {"Sallyport-Form": visitor.token, "Origin": BASE}
        body = json.dumps({"user": user, "password": "wrong"})
        said = visitor.call("/web/login/challenge", body, headers=headers)
        return said.status_code, said.get_data()

    assert answer("ada") == answer("nobody")
    assert answer("ada")[0] == 403


def test_the_cookies_are_out_of_reach(visitor):
    answer = sign_in(visitor)
    cookies = SimpleCookie()
    for line in answer.headers.getlist("Set-Cookie"):
        cookies.load(line)
    assert set(cookies) == {SESSION, FORM}
    for morsel in cookies.values():
        assert morsel["secure"]
        assert morsel["httponly"]
        assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Strict", "/", "")
        assert len(morsel.value) >= 43  # 256 bits; nothing of the person in it
        assert "ada" not in morsel.value


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/web/\\..\\",
        "javascript:alert(1)",
        "/web/\r\nX: y",
        "/elsewhere",
    ],
)
def test_the_way_on_never_leads_away(visitor, target):
    assert sign_in(visitor, next=target).headers["Location"] == "/web/"


def test_the_way_on_leads_back_to_where_one_was_going(visitor):
    answer = visitor.get("/web/cli/0123?x=1")
    assert answer.headers["Location"] == "/web/login?next=%2Fweb%2Fcli%2F0123%3Fx%3D1"
    visitor.get(answer.headers["Location"])
    assert sign_in(visitor, next="/web/cli/0123?x=1").headers["Location"] == "/web/cli/0123?x=1"


def test_signing_out_ends_the_session_on_the_server(visitor, auth):
    sign_in(visitor)
    stolen = visitor.cookie(SESSION)
    visitor.get("/web/account")
    answer = visitor.post("/web/logout")
    assert answer.status_code == 303
    assert "cache" in answer.headers["Clear-Site-Data"]
    assert visitor.cookie(SESSION) is None
    thief = Visitor(auth)
    thief.client.set_cookie(SESSION, stolen, domain="box.example", secure=True)
    assert thief.get("/web/account").status_code == 303


def test_a_session_that_ended_asks_to_sign_in_and_says_why(visitor, auth):
    visitor.as_user("ada")
    auth.web_sessions.clear()
    answer = visitor.get("/web/account")
    assert answer.status_code == 303
    assert "ended=1" in answer.headers["Location"]
    assert "the session had ended" in visitor.get(answer.headers["Location"]).get_data(as_text=True)


@pytest.mark.parametrize("value", ["x", "a b" * 20, "ü" * 30, "x" * 600, "a\tb" + "c" * 30])
def test_a_cookie_of_another_form_is_no_session(visitor, auth, value):
    visitor.client.set_cookie(SESSION, value, domain="box.example", secure=True)
    assert visitor.get("/web/account").status_code == 303
    assert not [name for name, _ in auth.calls if name == "me.show"]


def test_an_attempt_of_one_person_is_not_finished_by_anothers_code(visitor, auth):
    ada = auth.login_begin("", type("R", (), {"user": "ada", "source": "192.0.2.7"}))
    visitor.get("/web/login")
    joes = pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").now()
    answer = visitor.post("/web/login", {"user": "joe", "attempt": ada.attempt, "code": joes})
    assert answer.status_code == 403


def test_too_many_guesses_are_told_to_wait(visitor, auth):
    auth.fail["login.prove"] = Throttled(77)
    answer = sign_in(visitor)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "77")
    assert "Wait 77 seconds" in answer.get_data(as_text=True)


def test_a_sign_in_that_took_too_long_begins_again(visitor):
    answer = sign_in(visitor, attempt="gone")
    assert "took too long" in answer.get_data(as_text=True)


def test_nothing_works_and_nothing_breaks_without_the_auth_service(visitor, auth):
    auth.fail["cluster.ping"] = Unavailable("no answer on /run/secret/path.sock")
    answer = visitor.get("/web/login")
    assert answer.status_code == 503
    assert "Try again in a minute" in answer.get_data(as_text=True)
    assert "path.sock" not in answer.get_data(as_text=True)


def test_a_link_from_another_site_passes_a_page_of_ours_so_that_the_cookie_comes_along(visitor):
    answer = visitor.get("/web/cli/abc", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'content="0; url=/web/cli/abc"' in answer.get_data(as_text=True)


def test_the_form_offers_what_the_cluster_allows(auth):
    auth.factors = ("webauthn",)
    text = Visitor(auth).get("/web/login").get_data(as_text=True)
    assert "Use your security key" in text
    assert "Six digits" not in text
    assert "Use a recovery code" in text
    auth.factors = ("otp",)
    text = Visitor(auth).get("/web/login").get_data(as_text=True)
    assert "Six digits" in text
    assert "security key" not in text
