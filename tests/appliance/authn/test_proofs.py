"""What is required, what was proved, and the secrets behind it."""

import secrets
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.authn.attempt import Attempt, Requirement
from appliance.authn.password import MAX_LENGTH, PasswordCheck, hash_password
from appliance.authn.requirement import enrolled, sign_in
from appliance.authn.seeds import KEY_BYTES, SeedVault
from appliance.domain.decision import Factor
from appliance.domain.errors import Invalid, Unavailable
from appliance.domain.records import Credentials, TotpDevice, WebauthnDevice

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACTORS = st.frozensets(st.sampled_from(Factor))
REQUIREMENTS = st.lists(FACTORS, max_size=4).map(tuple).map(Requirement)
TOTP = TotpDevice(id="1", name="phone", sealed_secret=b"", last_step=0, created_at=NOW)
KEY = WebauthnDevice(id="2", name="key", credential_id=b"", credential="", created_at=NOW)


def person(**has):
    return Credentials(user="joe", password="", handle=b"", **has)


# attempts


@given(REQUIREMENTS, FACTORS)
def test_an_attempt_is_accepted_when_every_set_is_met_and_there_is_one(required, proved):
    attempt = Attempt(required, proved)
    assert attempt.accepted == (bool(required.sets) and all(one & proved for one in required.sets))


@given(REQUIREMENTS, FACTORS, st.sampled_from(Factor))
def test_a_further_proof_never_takes_acceptance_away(required, proved, factor):
    attempt = Attempt(required, proved)
    assert attempt.with_proof(factor).accepted or not attempt.accepted
    assert attempt.with_proof(factor).proved == proved | {factor}


def test_nothing_required_is_nothing_accepted():
    assert not Attempt(Requirement(()), frozenset(Factor)).accepted


def test_a_set_that_nothing_can_meet_is_never_met():
    assert not Attempt(Requirement((frozenset(),)), frozenset(Factor)).accepted


# requirements


ALLOWED = st.lists(st.sampled_from(["otp", "webauthn"]), max_size=2)
PEOPLE = st.builds(
    person,
    totp=st.sampled_from([(), (TOTP,)]),
    webauthn=st.sampled_from([(), (KEY,)]),
    recovery=st.sampled_from(["", "{}"]),
)


@given(PEOPLE, ALLOWED, st.booleans())
def test_a_password_is_always_required_and_never_enough_where_a_factor_is(credentials, allowed, required):
    found = sign_in(credentials, allowed, required=required)
    assert not Attempt(found, frozenset(Factor) - {Factor.PASSWORD}).accepted
    alone = Attempt(found, frozenset({Factor.PASSWORD})).accepted
    permitted = {Factor.TOTP: "otp", Factor.WEBAUTHN: "webauthn"}
    usable = {one for one in enrolled(credentials) if permitted.get(one) in allowed}
    assert alone == (not required and not usable)


@given(PEOPLE, ALLOWED)
def test_a_factor_that_is_not_allowed_any_more_counts_for_nothing(credentials, allowed):
    found = sign_in(credentials, allowed, required=True)
    proved = {Factor.PASSWORD}
    proved |= {Factor.TOTP} if "otp" not in allowed else set()
    proved |= {Factor.WEBAUTHN} if "webauthn" not in allowed else set()
    assert not Attempt(found, frozenset(proved)).accepted


@pytest.mark.parametrize("factor", ["otp", "webauthn"])
def test_somebody_without_any_factor_does_not_get_around_it(factor):
    found = sign_in(person(), [factor], required=True)
    assert not Attempt(found, frozenset({Factor.PASSWORD})).accepted


# passwords


def test_a_password_is_kept_as_argon2id_with_the_recommended_cost():
    stored = hash_password("correct horse battery", shortest=12, user="joe")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    check = PasswordCheck("decoy")
    assert check(stored, "correct horse battery")
    assert not check(stored, "correct horse batterz")


@pytest.mark.parametrize("given_", ["decoy", "", "x" * (MAX_LENGTH + 1)])
def test_for_nobody_no_password_is_right_not_even_the_decoys(given_):
    assert not PasswordCheck("decoy")(None, given_)


@pytest.mark.parametrize("stored", ["", "junk", "$argon2id$v=19$m=65536,t=3,p=1$", "$2b$12$" + "a" * 53])
def test_a_damaged_record_opens_nothing(stored):
    assert not PasswordCheck("decoy")(stored, "anything at all")


@pytest.mark.parametrize("password", ["joe.smith.name", "JOE.Smith.Name"])
def test_a_password_is_not_the_name(password):
    with pytest.raises(Invalid, match="differ"):
        hash_password(password, shortest=12, user="joe.smith.name")


def test_a_refused_password_is_not_in_the_message():
    with pytest.raises(Invalid) as error:
        hash_password("hunter2", shortest=12, user="joe")
    assert "hunter2" not in str(error.value)


# seeds


VAULT = SeedVault(bytes(range(KEY_BYTES)), secrets.token_bytes)


@given(st.binary(max_size=64), st.text(max_size=10), st.text(max_size=10))
def test_a_secret_comes_out_as_it_went_in_and_is_not_to_be_seen(secret, user, device):
    if "\0" in user + device:
        return
    sealed = VAULT.seal(secret, user=user, device=device)
    assert VAULT.open(sealed, user=user, device=device) == secret
    assert len(secret) < 4 or secret not in sealed


@pytest.mark.parametrize(
    ("user", "device"), [("ann", "phone"), ("joe", "key"), ("", ""), ("joe\0phone", ""), ("jo", "e\0phone")]
)
def test_a_secret_opens_for_its_own_user_and_device_only(user, device):
    sealed = VAULT.seal(b"secret", user="joe", device="phone")
    with pytest.raises(Unavailable, match="can't be opened"):
        VAULT.open(sealed, user=user, device=device)


@given(st.integers(0, 33), st.integers(1, 255))
def test_no_altered_byte_goes_unnoticed(place, change):
    sealed = bytearray(VAULT.seal(b"secret", user="joe", device="phone"))
    sealed[place] ^= change
    with pytest.raises(Unavailable):
        VAULT.open(bytes(sealed), user="joe", device="phone")


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(11), bytes(12), bytes(27)])
def test_a_record_that_is_too_short_is_damaged(sealed):
    with pytest.raises(Unavailable):
        VAULT.open(sealed, user="joe", device="phone")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused_at_once(size):
    with pytest.raises(Unavailable, match="seed key"):
        SeedVault(bytes(size), secrets.token_bytes)


def test_a_vault_does_not_show_its_key():
    assert "key" not in repr(VAULT)
    assert VAULT.key.hex() not in repr(VAULT)
