"""Sign-up links: U1, W05, W09."""

import re

import pyotp
import pytest

from tests.support.web_visitor import Visitor

GOOD = "three blind mice ran"


@pytest.fixture
def path(auth):
    auth.add("kim", active=False)
    return auth.link("kim").url.partition("box.example:3080")[2]


def secret_of(page):
    return re.search(r'name="secret" value="([A-Z2-7]+)"', page.get_data(as_text=True))[1]


def finish(visitor, path, page, **changes):
    secret = secret_of(page)
    uri = re.search(r'name="uri" value="([^"]+)"', page.get_data(as_text=True))[1].replace("&amp;", "&")
    fields = {"secret": secret, "uri": uri, "password": GOOD, "again": GOOD, "device_name": "phone"}
    fields["code"] = pyotp.TOTP(secret).now()
    return visitor.post(f"{path}/finish", fields | changes)


def begun(visitor, path):
    visitor.get(path)
    return visitor.post(f"{path}/totp")


def test_a_link_shows_whose_it_is_and_what_to_choose_from(visitor, path):
    text = visitor.get(path).get_data(as_text=True)
    assert "Welcome, kim" in text
    assert "Use an authenticator app" in text
    assert "Use a security key or passkey" in text


def test_the_whole_way_to_recovery_codes(visitor, path, auth):
    answer = finish(visitor, path, begun(visitor, path))
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert len(re.findall(r"<li><code>", text)) == 10
    assert "no-store" in answer.headers["Cache-Control"]
    assert auth.accounts["kim"].view.active
    device = next(request for name, request in auth.calls if name == "invites.finish").device_name
    assert device == "phone"


def test_the_page_has_a_qr_code_and_the_secret(visitor, path):
    page = begun(visitor, path)
    text = page.get_data(as_text=True)
    assert '<svg class="qr"' in text or 'class="qr"' in text
    assert text.count(secret_of(page)) >= 2


def test_used_expired_and_altered_links_say_so(visitor, path, auth):
    assert finish(visitor, path, begun(visitor, path)).status_code == 200
    used = visitor.get(path)
    assert used.status_code == 404
    assert "used already" in used.get_data(as_text=True)
    expired = visitor.get(auth.link("joe", ttl=-1).url.partition(":3080")[2]).get_data(as_text=True)
    assert "has expired" in expired
    altered = visitor.get(path[:-1] + ("A" if path[-1] != "A" else "B")).get_data(as_text=True)
    assert "was altered" in altered


def test_a_link_works_once_even_when_two_finish(path, auth):
    first, second = Visitor(auth), Visitor(auth)
    page = begun(first, path)
    second.get(path)
    assert finish(first, path, page).status_code == 200
    assert finish(second, path, page).status_code == 404


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": "short", "again": "short"}, "12 to 128 characters, this one has 5"),
        ({"password": "x" * 129, "again": "x" * 129}, "this one has 129"),
        ({"again": "three blind mice ate"}, "not the same"),
        ({"code": "000000"}, "not right"),
        ({"code": ""}, "not right"),
    ],
)
def test_what_was_mistyped_is_asked_again_with_the_same_secret(visitor, path, changes, told):
    page = begun(visitor, path)
    answer = finish(visitor, path, page, **changes)
    assert answer.status_code in {400, 403}
    assert told in answer.get_data(as_text=True)
    assert secret_of(answer) == secret_of(page)
    assert GOOD not in answer.get_data(as_text=True)
    assert finish(visitor, path, answer).status_code == 200


def test_a_device_name_that_is_too_long_is_refused(visitor, path):
    answer = finish(visitor, path, begun(visitor, path), device_name="x" * 65)
    assert "too long" in answer.get_data(as_text=True)


def test_a_forged_secret_is_only_ever_shown_to_who_sent_it_and_escaped(visitor, path):
    page = begun(visitor, path)
    evil = '"><script>alert(1)</script>'
    answer = finish(visitor, path, page, secret=evil, code="1", uri="otpauth://totp/" + evil)
    assert "<script>alert" not in answer.get_data(as_text=True)


def test_a_uri_that_is_none_of_ours_makes_no_qr_code(visitor, path):
    answer = finish(visitor, path, begun(visitor, path), uri="https://evil.example", code="1")
    assert "<svg" not in answer.get_data(as_text=True)


@pytest.mark.parametrize("credential", ["{", "[]", '{"id": 1, "id": 2}', '{"id": NaN}', "null", "{}"])
def test_a_malformed_credential_is_refused_kindly(visitor, path, credential):
    visitor.get(path)
    visitor.post(f"{path}/webauthn")
    fields = {"password": GOOD, "again": GOOD, "credential": credential}
    answer = visitor.post(f"{path}/finish", fields)
    assert answer.status_code in {400, 403}
    assert "Register the key" in answer.get_data(as_text=True)


def test_an_unknown_factor_is_no_page(visitor, path):
    visitor.get(path)
    assert visitor.post(f"{path}/smoke-signals").status_code == 404


def test_the_token_is_told_to_nobody(visitor, path):
    answer = visitor.get(path)
    assert answer.headers["Referrer-Policy"] == "strict-origin"
    token = path.rpartition("/")[2]
    assert token not in str(answer.headers)
    outside = re.findall(r'(?:href|src|action)="(https?://[^"]*)"', answer.get_data(as_text=True))
    assert outside == []
