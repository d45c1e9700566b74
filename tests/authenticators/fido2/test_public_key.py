import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from fido2 import cbor
from fido2.cose import ES256, ES384, ES512, RS256, Ed448, EdDSA
from hypothesis import given
from hypothesis import strategies as st

from authenticators.ed25519 import load_ed25519
from authenticators.errors import WebAuthnErrorCode
from authenticators.fido2.public_key import parse_public_key
from tests.support.refusals import outcome, refused

P256 = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
RSA = RS256.from_cryptography_key(rsa.generate_private_key(65537, 2048).public_key())
ED25519 = EdDSA.from_cryptography_key(ed25519.Ed25519PrivateKey.generate().public_key())
GOOD = [
    P256,
    ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key()),
    ES512.from_cryptography_key(ec.generate_private_key(ec.SECP521R1()).public_key()),
    ED25519,
    Ed448.from_cryptography_key(ed448.Ed448PrivateKey.generate().public_key()),
    RSA,
]


@pytest.mark.parametrize("key", GOOD, ids=lambda key: type(key).__name__)
def test_a_well_formed_key_is_read(key):
    assert parse_public_key(cbor.encode(key)) == key


BAD = {
    "off the curve": P256 | {-3: bytes(32)},
    "short coordinate": P256 | {-2: P256[-2][1:]},
    "long coordinate": P256 | {-2: b"\0" + P256[-2]},
    "another curve": P256 | {-1: 2},
    "another type": P256 | {1: 3},
    "no coordinate": {key: value for key, value in P256.items() if key != -3},
    "RSA of 1024 bits": RSA | {-1: b"\xff" * 128},
    "RSA exponent 1": RSA | {-2: b"\x01"},
    "RSA as EC": RSA | {1: 2},
    "Ed25519 of 31 bytes": ED25519 | {-2: bytes(31)},
    "Ed25519 of small order": ED25519 | {-2: b"\x01" + bytes(31)},
    "Ed25519 on another curve": ED25519 | {-1: 4},
    "text for a coordinate": P256 | {-2: "x" * 32},
}


@pytest.mark.parametrize("name", BAD)
def test_a_key_that_is_not_what_it_says_is_refused(name):
    with refused(WebAuthnErrorCode.BAD_PUBLIC_KEY):
        parse_public_key(cbor.encode(BAD[name]))


@pytest.mark.parametrize(
    "key", [P256 | {3: -65535}, P256 | {3: "ES256"}, {1: 2}], ids=["RS1", "text", "none"]
)
def test_an_algorithm_we_do_not_know_is_not_offered(key):
    with refused(WebAuthnErrorCode.ALGORITHM_NOT_OFFERED):
        parse_public_key(cbor.encode(key))


def test_a_key_that_is_no_map_is_refused():
    with refused(WebAuthnErrorCode.BAD_PUBLIC_KEY):
        parse_public_key(cbor.encode([1, 2]))


@given(
    st.dictionaries(
        st.integers(-4, 4),
        st.integers(-300, 300)
        | st.lists(st.booleans(), max_size=1)
        | st.binary(max_size=40)
        | st.text(max_size=3),
    )
)
def test_any_map_is_read_or_refused_with_a_code(key):
    assert isinstance(outcome(parse_public_key, cbor.encode(key)), WebAuthnErrorCode)


SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]


@pytest.mark.parametrize("sign", [0x00, 0x80])
@pytest.mark.parametrize("point", SMALL_ORDER)
def test_points_of_small_order_are_no_keys(point, sign):
    raw = bytearray.fromhex(point)
    raw[31] |= sign
    with pytest.raises(ValueError, match="small order"):
        load_ed25519(bytes(raw))
