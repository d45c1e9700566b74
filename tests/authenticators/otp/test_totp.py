import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import OtpErrorCode
from authenticators.otp.secrets import OtpHash, new_secret
from authenticators.otp.totp import Totp
from authenticators.secret import Secret
from tests.support.refusals import outcome, refused

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/otp/rfc6238.json").read_text())
NOW = datetime(2026, 11, 20, 12, 0, 10, tzinfo=UTC)
TOTP = Totp(secret=Secret(b"12345678901234567890"))


@pytest.mark.parametrize("row", VECTORS["codes"], ids=lambda row: str(row["time"]))
@pytest.mark.parametrize("algorithm", OtpHash)
def test_the_codes_of_rfc_6238_come_out_and_verify(row, algorithm):
    secret = Secret(bytes.fromhex(VECTORS["secrets_hex"][algorithm]))
    totp = Totp(secret=secret, digits=VECTORS["digits"], algorithm=algorithm)
    moment = datetime.fromtimestamp(row["time"], tz=UTC)
    assert totp.code_at(moment) == row[algorithm]
    assert totp.verify(row[algorithm], now=moment, last_step=None) == row["time"] // 30


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_one_step_of_skew_either_way_is_accepted_and_the_matched_step_returned(steps):
    code = TOTP.code_at(NOW + timedelta(seconds=30 * steps))
    assert TOTP.verify(code, now=NOW, last_step=None) == TOTP.step_at(NOW) + steps


@pytest.mark.parametrize("steps", [-2, 2, 40])
def test_a_code_outside_the_window_is_wrong(steps):
    with refused(OtpErrorCode.WRONG_CODE):
        TOTP.verify(TOTP.code_at(NOW + timedelta(seconds=30 * steps)), now=NOW, last_step=None)


def test_the_same_code_is_refused_the_second_time_and_told_apart_from_a_guess():
    code = TOTP.code_at(NOW)
    step = TOTP.verify(code, now=NOW, last_step=None)
    with refused(OtpErrorCode.ALREADY_USED):
        TOTP.verify(code, now=NOW, last_step=step)


def test_the_code_of_the_step_before_an_accepted_one_is_refused():
    before = TOTP.code_at(NOW - timedelta(seconds=30))
    with refused(OtpErrorCode.ALREADY_USED):
        TOTP.verify(before, now=NOW, last_step=TOTP.step_at(NOW))


def test_a_clock_that_jumps_back_revives_no_code():
    earlier = NOW - timedelta(hours=1)
    with refused(OtpErrorCode.ALREADY_USED):
        TOTP.verify(TOTP.code_at(earlier), now=earlier, last_step=TOTP.step_at(NOW))


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "12345",
        "1234567",
        "12345a",
        "+12345",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "123456\n7",
        "\u0663" * 6,
    ],
)
def test_what_is_not_six_ascii_digits_is_malformed(typed):
    with refused(OtpErrorCode.MALFORMED):
        TOTP.verify(typed, now=NOW, last_step=None)


def test_the_spaces_that_apps_show_are_ignored():
    code = TOTP.code_at(NOW)
    assert TOTP.verify(f" {code[:3]} {code[3:]} ", now=NOW, last_step=None) == TOTP.step_at(NOW)


@given(st.text(max_size=12))
def test_any_text_is_accepted_or_refused_with_a_code(typed):
    now = TOTP.step_at(NOW)
    allowed = {OtpErrorCode.MALFORMED, OtpErrorCode.WRONG_CODE, now - 1, now, now + 1}
    assert outcome(TOTP.verify, typed, now=NOW, last_step=None) in allowed


def test_secrets_below_160_bits_are_refused():
    with refused(OtpErrorCode.WEAK_SECRET):
        Totp(secret=Secret(bytes(19)))
    with refused(OtpErrorCode.WEAK_SECRET):
        new_secret(secrets.token_bytes, size=10)
    assert len(new_secret(secrets.token_bytes)) == 20


@pytest.mark.parametrize(
    "wrong", [{"digits": 5}, {"digits": 9}, {"period": 0}, {"period": 300}, {"window": 3}]
)
def test_parameters_that_weaken_the_code_are_refused(wrong):
    with refused(OtpErrorCode.BAD_PARAMETER):
        Totp(secret=Secret(bytes(20)), **wrong)


def test_a_moment_without_a_time_zone_is_refused():
    with refused(OtpErrorCode.BAD_PARAMETER):
        TOTP.code_at(NOW.replace(tzinfo=None))


def test_the_provisioning_uri_carries_what_an_app_needs():
    uri = urlsplit(TOTP.provisioning_uri(account="joe@box", issuer="Sallyport: lab"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {
        "secret": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"],
        "issuer": ["Sallyport: lab"],
    }


def test_the_secret_is_not_printed():
    assert "1234" not in repr(TOTP)
    assert repr(TOTP.secret) == "<secret>"
