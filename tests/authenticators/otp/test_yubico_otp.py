import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import OtpErrorCode
from authenticators.otp.modhex import decode_modhex, encode_modhex
from authenticators.otp.yubico_otp import Counters, YubicoOtpToken, crc16, public_id_of, split_otp
from authenticators.secret import Secret
from tests.support.refusals import outcome, refused

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/yubico/otp.json").read_text())
SAMPLE, SERIES = VECTORS["token"], VECTORS["series"]
Code = OtpErrorCode


def token(row):
    return YubicoOtpToken(
        public_id=decode_modhex(row["public_id"]),
        private_id=Secret(bytes.fromhex(row["private_id"])),
        aes_key=Secret(bytes.fromhex(row["aes_key"])),
    )


@pytest.mark.parametrize("row", VECTORS["modhex"], ids=lambda row: row["modhex"])
def test_modhex_comes_out_as_published(row):
    assert encode_modhex(bytes.fromhex(row["hex"])) == row["modhex"]
    assert decode_modhex(row["modhex"]) == bytes.fromhex(row["hex"])


def test_the_published_sample_verifies():
    counters = token(SAMPLE).verify(SAMPLE["otp"], last=None)
    assert counters == Counters(
        use=SAMPLE["use_counter"], session=SAMPLE["session_counter"], timestamp=SAMPLE["timestamp"]
    )


def test_the_published_series_verifies_in_its_order_and_no_code_two_times():
    last, seen = None, []
    for otp in SERIES["otps"]:
        last = token(SERIES).verify(otp, last=last)
        seen.append(last)
        with refused(Code.ALREADY_USED):
            token(SERIES).verify(otp, last=last)
    assert seen[0] == Counters(use=13, session=0, timestamp=0)
    assert (seen[1].session, seen[1].timestamp) == (1, 22)
    for otp in SERIES["otps"][:-1]:
        assert outcome(token(SERIES).verify, otp, last=last) in {
            Code.SESSION_COUNTER_WENT_BACK,
            Code.USE_COUNTER_WENT_BACK,
        }


KEY = YubicoOtpToken(public_id=b"public", private_id=Secret(b"secret"), aes_key=Secret(bytes(range(16))))


def make(
    *, public_id=b"public", private_id=b"secret", use=5, session=3, timestamp=1000, key=KEY.aes_key, crc=None
):
    """Return a code as a key types it."""
    plain = (
        private_id + use.to_bytes(2, "little") + timestamp.to_bytes(3, "little") + bytes([session]) + b"rn"
    )
    check = (crc16(plain) ^ 0xFFFF if crc is None else crc).to_bytes(2, "little")
    encryptor = Cipher(algorithms.AES(key.reveal()), modes.ECB()).encryptor()  # noqa: S305 -- the token's own format
    return encode_modhex(public_id + encryptor.update(plain + check) + encryptor.finalize())


LAST = Counters(use=5, session=3, timestamp=1000)
GOOD = make()
REFUSED = {
    "31 characters": (GOOD[13:], Code.WRONG_LENGTH),
    "33 characters": (GOOD[11:], Code.WRONG_LENGTH),
    "43 characters": (GOOD[1:], Code.WRONG_LENGTH),
    "66 characters": (make(public_id=b"p" * 17), Code.WRONG_LENGTH),
    "nothing": ("", Code.WRONG_LENGTH),
    "a letter of Dvorak": ("x" + GOOD[1:], Code.NOT_MODHEX),
    "mixed case": (GOOD[:20] + GOOD[20:].upper(), Code.NOT_MODHEX),
    "full-width": ("\uff43" + GOOD[1:], Code.NOT_MODHEX),
    "another owner's": (make(public_id=b"others"), Code.WRONG_PUBLIC_ID),
    "no public id": (make(public_id=b""), Code.WRONG_PUBLIC_ID),
    "another secret": (make(key=Secret(bytes(16))), Code.BAD_CRC),
    "broken CRC": (make(crc=0), Code.BAD_CRC),
    "another private id": (make(private_id=b"sekret"), Code.WRONG_PRIVATE_ID),
    "a replay": (GOOD, Code.ALREADY_USED),
    "lower use counter": (make(use=4, session=9), Code.USE_COUNTER_WENT_BACK),
    "lower session counter": (make(session=2, timestamp=2000), Code.SESSION_COUNTER_WENT_BACK),
    "same session, other time": (make(timestamp=2000), Code.SESSION_COUNTER_WENT_BACK),
    "earlier time": (make(session=4, timestamp=999), Code.TIMESTAMP_WENT_BACK),
    "same time": (make(session=4), Code.TIMESTAMP_WENT_BACK),
    "use counter 0": (make(use=0), Code.COUNTER_OUT_OF_RANGE),
    "use counter too large": (make(use=0x8000), Code.COUNTER_OUT_OF_RANGE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_code_that_breaks_a_rule_is_refused(name):
    typed, code = REFUSED[name]
    with refused(code):
        KEY.verify(typed, last=LAST)


@pytest.mark.parametrize(
    "typed", [make(use=6, session=0, timestamp=5), make(session=4, timestamp=1001), make(use=0x7FFF)]
)
def test_a_code_that_grows_is_accepted(typed):
    assert KEY.verify(typed, last=LAST)


def test_time_within_a_power_up_may_wrap():
    last = replace(LAST, timestamp=2**24 - 10)
    assert KEY.verify(make(session=4, timestamp=10), last=last)


def test_caps_lock_and_the_key_s_own_return_are_forgiven():
    assert KEY.verify(GOOD.upper() + "\n", last=None) == LAST
    assert public_id_of(GOOD) == encode_modhex(b"public")


def test_counters_survive_storage_and_damaged_ones_are_refused():
    assert Counters.from_dict(json.loads(json.dumps(LAST.to_dict()))) == LAST
    with refused(Code.BAD_PARAMETER):
        Counters.from_dict({"use": 1})


@pytest.mark.parametrize(
    "wrong", [{"aes_key": Secret(b"x")}, {"private_id": Secret(b"x")}, {"public_id": bytes(17)}]
)
def test_a_token_of_other_sizes_is_not_made(wrong):
    with refused(Code.BAD_PARAMETER):
        replace(KEY, **wrong)


@given(st.text(alphabet="cbdefghijklnrtuvxCB \n", max_size=70))
def test_any_text_is_split_or_refused_with_a_code(typed):
    result = outcome(split_otp, typed)
    assert result in {Code.WRONG_LENGTH, Code.NOT_MODHEX} or len(result[1]) == 16


@given(st.binary(max_size=22))
def test_modhex_comes_back(data):
    assert decode_modhex(encode_modhex(data)) == data


@given(st.integers(0, 31), st.sampled_from("cbdefghijklnrtuv"))
def test_a_code_with_a_character_changed_is_refused(position, letter):
    place = 12 + position
    typed = GOOD[:place] + letter + GOOD[place + 1 :]
    assert typed == GOOD or outcome(KEY.verify, typed, last=None) in {Code.BAD_CRC, Code.WRONG_PRIVATE_ID}


def test_the_secrets_are_not_printed():
    assert "secret'" not in repr(KEY)
