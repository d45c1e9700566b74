import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import OtpErrorCode
from authenticators.otp.yubico_otp import Counters
from authenticators.otp.yubico_validation import ValidationServer, httpx_transport, read_api_key, sign
from authenticators.secret import Secret
from tests.support.refusals import outcome, refused

Code = OtpErrorCode
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OTP = "ndgtriluugngkuhguutjdfihfkleuvnjtjiljkbtbngb"
API_KEY = Secret(b"k" * 20)
URL = "https://validation.example/wsapi/2.0/verify"


class Peer:
    """A validation server, honest unless told otherwise."""

    def __init__(self, *, key=API_KEY, drop=(), **changes):
        self.key, self.drop, self.changes, self.request = key, drop, changes, {}

    def __call__(self, url):
        self.request = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        answer = {
            "otp": self.request["otp"],
            "nonce": self.request["nonce"],
            "status": "OK",
            "t": "2026-11-20T12:00:00Z0123",
            "sessioncounter": "13",
            "sessionuse": "1",
            "timestamp": "22",
        } | self.changes
        answer = {name: value for name, value in answer.items() if name not in self.drop}
        answer["h"] = sign(answer, self.key)
        return "\r\n".join(f"{name}={value}" for name, value in answer.items()) + "\r\n\r\n"


def server(transport):
    return ValidationServer(
        url=URL, client_id="87", api_key=API_KEY, transport=transport, entropy=secrets.token_bytes
    )


def verify(transport, otp=OTP):
    return server(transport).verify(otp, now=NOW)


def test_an_honest_answer_gives_the_counters():
    peer = Peer()
    assert verify(peer) == Counters(use=13, session=1, timestamp=22)
    unsigned = {name: value for name, value in peer.request.items() if name != "h"}
    assert peer.request["h"] == sign(unsigned, API_KEY)
    assert len(peer.request["nonce"]) == 32


REFUSED = {
    "another key": (Peer(key=Secret(b"x")), Code.SERVER_SIGNATURE_WRONG),
    "another nonce": (Peer(nonce="0" * 32), Code.SERVER_NONCE_MISMATCH),
    "no nonce": (Peer(drop=("nonce",)), Code.SERVER_NONCE_MISMATCH),
    "another OTP": (Peer(otp=OTP[::-1]), Code.SERVER_OTP_MISMATCH),
    "no OTP": (Peer(drop=("otp",)), Code.SERVER_OTP_MISMATCH),
    "an old answer": (Peer(t="2026-11-20T11:49:59Z0000"), Code.SERVER_ANSWER_STALE),
    "no time": (Peer(drop=("t",)), Code.SERVER_ANSWER_MALFORMED),
    "a replay": (Peer(status="REPLAYED_OTP"), Code.ALREADY_USED),
    "bad": (Peer(status="BAD_OTP"), Code.SERVER_REFUSED),
    "without ours": (Peer(status="BACKEND_ERROR", drop=("nonce", "otp")), Code.SERVER_REFUSED),
    "no counters": (Peer(drop=("sessionuse",)), Code.SERVER_ANSWER_MALFORMED),
    "no status": (lambda _: "h=x", Code.SERVER_ANSWER_MALFORMED),
    "two statuses": (lambda _: "status=OK\nstatus=BAD", Code.SERVER_ANSWER_MALFORMED),
    "no lines": (lambda _: "<html>", Code.SERVER_ANSWER_MALFORMED),
    "endless": (lambda _: "status=" + "x" * 5000, Code.SERVER_ANSWER_MALFORMED),
    "unsigned": (lambda _: "status=OK", Code.SERVER_SIGNATURE_WRONG),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_breaks_a_rule_is_refused(name):
    peer, code = REFUSED[name]
    with refused(code):
        verify(peer)


def test_a_code_of_another_form_is_not_sent_anywhere():
    peer = Peer()
    with refused(Code.WRONG_LENGTH):
        verify(peer, otp="123456")
    assert peer.request == {}


@pytest.mark.parametrize("wrong", [{"url": "http://x"}, {"client_id": ""}, {"api_key": Secret(b"")}])
def test_a_server_without_tls_or_key_is_not_made(wrong):
    with refused(Code.BAD_PARAMETER):
        replace(server(Peer()), **wrong)


@given(st.text(max_size=100))
def test_any_answer_is_refused_with_a_code(text):
    assert isinstance(outcome(verify, lambda _: text), OtpErrorCode)


def client(handler):
    return httpx2.Client(transport=httpx2.MockTransport(handler), trust_env=False)


def test_httpx_carries_it_and_its_failures_are_unreachable():
    peer = Peer()
    with client(lambda request: httpx2.Response(200, text=peer(str(request.url)))) as http:
        assert verify(httpx_transport(http)).use == 13
    for status in (500, 302):
        with (
            client(lambda _, status=status: httpx2.Response(status)) as http,
            refused(Code.SERVER_UNREACHABLE),
        ):
            verify(httpx_transport(http))


def test_a_certificate_that_does_not_verify_is_unreachable():
    def refuse(request):
        message = "certificate verify failed"
        raise httpx2.ConnectError(message)

    with client(refuse) as http, refused(Code.SERVER_UNREACHABLE):
        verify(httpx_transport(http))


def test_an_api_key_is_read_from_base64():
    assert read_api_key("a2tr") == Secret(b"kkk")
    with refused(Code.BAD_PARAMETER):
        read_api_key("not base64!")


def test_an_answer_ten_minutes_off_is_still_taken():
    assert server(Peer()).verify(OTP, now=NOW + timedelta(minutes=10))
