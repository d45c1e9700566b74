import hashlib
import hmac
import secrets

import pytest

from authenticators.errors import OtpErrorCode
from authenticators.otp.challenge_response import SoftwareResponder, new_challenge, verify_response
from authenticators.secret import Secret
from tests.support.refusals import refused

SECRET = Secret(bytes(range(20)))


def test_the_answer_is_hmac_sha1():
    answer = SoftwareResponder(SECRET).respond(b"Hi There")
    assert answer.reveal() == hmac.digest(SECRET.reveal(), b"Hi There", hashlib.sha1)


def test_the_first_vector_of_rfc_2202_comes_out():
    answer = SoftwareResponder(Secret(b"\x0b" * 20)).respond(b"Hi There")
    assert answer.reveal().hex() == "b617318655057264e28bc0b6fb378c8ef146be00"


def test_a_right_answer_passes_and_a_wrong_one_is_refused():
    challenge = new_challenge(secrets.token_bytes)
    assert len(challenge) == 32
    verify_response(SECRET, challenge, SoftwareResponder(SECRET).respond(challenge))
    with refused(OtpErrorCode.WRONG_RESPONSE):
        verify_response(SECRET, challenge, SoftwareResponder(SECRET).respond(b"another"))


def test_a_challenge_has_1_to_63_bytes():
    assert SoftwareResponder(SECRET).respond(b"x" * 63)
    with refused(OtpErrorCode.CHALLENGE_TOO_LONG):
        SoftwareResponder(SECRET).respond(b"x" * 64)
    with refused(OtpErrorCode.CHALLENGE_EMPTY):
        SoftwareResponder(SECRET).respond(b"")


@pytest.mark.parametrize("size", [0, 19, 21])
def test_a_slot_s_secret_has_20_bytes(size):
    with refused(OtpErrorCode.WEAK_SECRET):
        SoftwareResponder(Secret(bytes(size)))
