import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import OtpErrorCode
from authenticators.otp.hotp import Hotp
from authenticators.secret import Secret
from tests.support.refusals import outcome, refused

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/otp/rfc4226.json").read_text())
HOTP = Hotp(secret=Secret(bytes.fromhex(VECTORS["secret_hex"])))


@pytest.mark.parametrize("counter", range(10))
def test_the_codes_of_rfc_4226_come_out_and_verify(counter):
    code = VECTORS["codes"][counter]
    assert HOTP.code_at(counter) == code
    assert HOTP.verify(code, last_counter=counter - 1 if counter else None) == counter


def test_the_look_ahead_window_ends_where_it_says():
    assert HOTP.verify(HOTP.code_at(6), last_counter=0) == 6
    with refused(OtpErrorCode.WRONG_CODE):
        HOTP.verify(HOTP.code_at(7), last_counter=0)


def test_the_code_accepted_last_is_refused_when_it_comes_again():
    with refused(OtpErrorCode.ALREADY_USED):
        HOTP.verify(HOTP.code_at(3), last_counter=3)


def test_the_counter_never_goes_back():
    with refused(OtpErrorCode.WRONG_CODE):
        HOTP.verify(HOTP.code_at(2), last_counter=3)
    with refused(OtpErrorCode.NOT_CONSECUTIVE):
        HOTP.resynchronise(HOTP.code_at(2), HOTP.code_at(3), last_counter=3)


def test_two_codes_in_a_row_bring_a_far_token_back():
    assert HOTP.resynchronise(HOTP.code_at(80), HOTP.code_at(81), last_counter=2) == 81


@pytest.mark.parametrize("pair", [(80, 80), (80, 82), (81, 80), (200, 201)])
def test_two_codes_not_in_a_row_or_out_of_the_window_bring_nothing(pair):
    first, second = (HOTP.code_at(counter) for counter in pair)
    with refused(OtpErrorCode.NOT_CONSECUTIVE):
        HOTP.resynchronise(first, second, last_counter=2)


@given(st.integers(0, 2**64 - 1), st.integers(0, 20))
def test_a_code_is_accepted_exactly_within_the_window(last, ahead):
    counter = min(last + ahead, 2**64 - 1)
    accepted = outcome(HOTP.verify, HOTP.code_at(counter), last_counter=last)
    if last < counter <= last + 6:
        assert counter <= accepted <= last + 6
    else:
        assert accepted in {OtpErrorCode.ALREADY_USED, OtpErrorCode.WRONG_CODE}


@given(st.text(max_size=8))
def test_any_text_is_accepted_or_refused_with_a_code(typed):
    allowed = {OtpErrorCode.MALFORMED, OtpErrorCode.WRONG_CODE, *range(6)}
    assert outcome(HOTP.verify, typed, last_counter=None) in allowed


@pytest.mark.parametrize("counter", [-1, 2**64])
def test_a_counter_of_more_than_64_bits_is_refused(counter):
    with refused(OtpErrorCode.BAD_PARAMETER):
        HOTP.code_at(counter)


@pytest.mark.parametrize("window", [0, 1001])
def test_a_resynchronisation_over_too_many_codes_is_refused(window):
    with refused(OtpErrorCode.BAD_PARAMETER):
        HOTP.resynchronise("123456", "123457", last_counter=None, window=window)


def test_a_wide_look_ahead_and_a_short_secret_are_refused():
    with refused(OtpErrorCode.BAD_PARAMETER):
        Hotp(secret=Secret(bytes(20)), look_ahead=51)
    with refused(OtpErrorCode.WEAK_SECRET):
        Hotp(secret=Secret(bytes(16)))


def test_the_provisioning_uri_carries_the_counter():
    uri = HOTP.provisioning_uri(account="joe", issuer="Sallyport", counter=7)
    assert uri.startswith("otpauth://hotp/Sallyport:joe?")
    assert "counter=7" in uri
