import base64

import pytest
from fido2 import cbor
from hypothesis import given
from hypothesis import strategies as st

from authenticators.errors import WebAuthnErrorCode
from authenticators.fido2.wire import check_cbor, decode_base64url, encode_base64url
from tests.support.refusals import outcome, refused

cbor_values = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.booleans() | st.binary(max_size=20) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(-9, 9) | st.text(max_size=3), inner)
    ),
    max_leaves=6,
)


@given(st.binary(max_size=64))
def test_base64url_comes_back(data):
    assert decode_base64url(encode_base64url(data)) == data


@pytest.mark.parametrize("text", ["A", "AB+/", "AA AA", "AA\n", "AB", "é", "AAAB" + "C", 7, None, b"AAAA"])
def test_only_the_canonical_spelling_of_base64url_is_read(text):
    with refused(WebAuthnErrorCode.BAD_BASE64):
        decode_base64url(text)


@pytest.mark.parametrize("text", ["AA==", "AAA=", "====", "="])
def test_padding_has_a_code_of_its_own(text):
    with refused(WebAuthnErrorCode.PADDED_BASE64):
        decode_base64url(text)


@given(st.text(alphabet=base64.b64encode(bytes(range(48))).decode() + "-_= ", max_size=12))
def test_no_two_texts_give_the_same_bytes(text):
    result = outcome(decode_base64url, text)
    assert isinstance(result, WebAuthnErrorCode) or encode_base64url(result) == text


@given(cbor_values)
def test_what_the_library_writes_is_well_formed(value):
    encoded = cbor.encode(value)
    assert check_cbor(encoded) is None
    for cut in range(len(encoded)):
        assert outcome(check_cbor, encoded[:cut]) is WebAuthnErrorCode.MALFORMED_CBOR


@given(st.binary(max_size=40))
def test_whatever_passes_can_be_decoded(data):
    if outcome(check_cbor, data) is None:
        cbor.decode(data)


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "a18001",
        "a1f501",
        "42ff",
        "5f4100ff",
        "a201020103",
        "f6",
        "f97e00",
        "c000",
        "1c",
        "61ff",
        "f814",
        "9b" + "ff" * 8,
        "81" * 10 + "01",
    ],
    ids=[
        "nothing",
        "array key",
        "true key",
        "short string",
        "indefinite",
        "equal keys",
        "null",
        "float",
        "tag",
        "reserved",
        "not UTF-8",
        "long true",
        "endless array",
        "deep",
    ],
)
def test_what_ctap_does_not_write_is_refused(encoded):
    with refused(WebAuthnErrorCode.MALFORMED_CBOR):
        check_cbor(bytes.fromhex(encoded))
