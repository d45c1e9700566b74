import json
import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import RecoveryCodeErrorCode
from authenticators.recovery_codes import RecoveryCodeSet, generate, read_code
from tests.support.refusals import outcome, refused

TEXTS, STORED = generate(secrets.token_bytes)


def test_ten_codes_of_eighty_bits_in_readable_groups_are_made():
    assert len(set(TEXTS)) == 10
    for text in TEXTS:
        assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", text)


@pytest.mark.parametrize("index", [0, 4, 9])
def test_a_code_is_found_at_its_index(index):
    assert STORED.verify(TEXTS[index]) == index


def test_a_code_is_good_once_and_the_others_stay_good():
    after = STORED.without(STORED.verify(TEXTS[3]))
    assert after.left == 9
    with refused(RecoveryCodeErrorCode.ALREADY_USED):
        after.verify(TEXTS[3])
    assert after.verify(TEXTS[4]) == 4


def test_reading_forgives_case_dashes_and_letters_that_look_like_digits():
    code = read_code("0000-1111-ABCD-WXYZ")
    assert read_code(" ooOO iIlL abcd\u2010wxyz ") == code


@pytest.mark.parametrize(
    "typed", ["", "7QKM-2XZ9-D4TB", "7QKM-2XZ9-D4TB-HW0RX", "UUUU-UUUU-UUUU-UUUU", "é" * 16]
)
def test_what_is_no_code_is_malformed(typed):
    with refused(RecoveryCodeErrorCode.MALFORMED):
        STORED.verify(typed)


def test_a_code_of_another_set_is_wrong():
    others, _ = generate(secrets.token_bytes, count=1)
    with refused(RecoveryCodeErrorCode.WRONG_CODE):
        STORED.verify(others[0])


@given(st.text(max_size=30))
def test_reading_gives_ten_bytes_or_refuses(typed):
    read = outcome(read_code, typed)
    assert read is RecoveryCodeErrorCode.MALFORMED or len(read) == 10


@given(st.binary(min_size=10, max_size=10))
def test_every_code_reads_back_as_written(code):
    chunks = iter([bytes(16), code])
    (text,), _ = generate(lambda size: next(chunks), count=1)
    assert read_code(text) == code


def test_the_set_survives_storage_and_holds_no_code():
    after = STORED.without(2)
    written = json.dumps(after.to_dict())
    assert RecoveryCodeSet.from_dict(json.loads(written)) == after
    for text in TEXTS:
        assert text.replace("-", "") not in written
        assert read_code(text).hex() not in written


@pytest.mark.parametrize(
    "damage",
    [{"salt": "00"}, {"digests": ["00"]}, {"digests": []}, {"used": [10]}, {"used": None}, {"salt": 5}],
)
def test_a_damaged_set_is_refused(damage):
    with refused(RecoveryCodeErrorCode.BAD_SET):
        RecoveryCodeSet.from_dict(STORED.to_dict() | damage)


@pytest.mark.parametrize("count", [0, 33])
def test_a_set_of_no_or_too_many_codes_is_refused(count):
    with refused(RecoveryCodeErrorCode.BAD_SET):
        generate(secrets.token_bytes, count=count)
