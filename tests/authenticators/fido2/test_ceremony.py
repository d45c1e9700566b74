import json
from datetime import timedelta

import pytest

from authenticators.errors import WebAuthnErrorCode
from authenticators.fido2.ceremony import (
    AuthenticationState,
    MemoryCeremonies,
    RegistrationState,
    derive_challenge,
)
from authenticators.fido2.credential import Credential
from tests.support.refusals import refused
from tests.support.webauthn import JOE, NOW, RP, ForgedKey, enrolled

_, REGISTRATION = RP.begin_registration(user=JOE, now=NOW, scope="enrol", exclude=[enrolled(ForgedKey())])
_, AUTHENTICATION = RP.begin_authentication(
    now=NOW, credentials=[enrolled(ForgedKey())], user_handle=JOE.handle
)
_, DISCOVERABLE = RP.begin_authentication(now=NOW)


@pytest.mark.parametrize(
    "state", [REGISTRATION, AUTHENTICATION, DISCOVERABLE], ids=["create", "get", "anyone"]
)
def test_a_state_survives_storage(state):
    assert type(state).from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_a_state_of_one_ceremony_is_not_read_as_the_other():
    with refused(WebAuthnErrorCode.WRONG_CEREMONY):
        AuthenticationState.from_dict(REGISTRATION.to_dict())
    with refused(WebAuthnErrorCode.WRONG_CEREMONY):
        RegistrationState.from_dict(AUTHENTICATION.to_dict())


@pytest.mark.parametrize("damage", [{"challenge": 1}, {"issued": "then"}, {"allow": 5}, {"exclude": None}])
def test_a_damaged_state_is_refused(damage):
    state = AUTHENTICATION if "allow" in damage else REGISTRATION
    with refused(WebAuthnErrorCode.BAD_STATE):
        type(state).from_dict(state.to_dict() | damage)


def test_a_damaged_credential_is_refused():
    with refused(WebAuthnErrorCode.BAD_STATE):
        Credential.from_dict(enrolled(ForgedKey()).to_dict() | {"aaguid": "no"})


def test_the_states_of_a_store_are_named_by_their_challenge():
    names = {state.ceremony_id for state in (REGISTRATION, AUTHENTICATION, DISCOVERABLE)}
    assert len(names) == 3
    assert all(len(name) == 64 for name in names)


def test_a_state_is_taken_once():
    kept = MemoryCeremonies()
    kept.keep(REGISTRATION)
    assert kept.take(REGISTRATION.ceremony_id, now=NOW) == REGISTRATION
    with refused(WebAuthnErrorCode.EXPIRED):
        kept.take(REGISTRATION.ceremony_id, now=NOW)


def test_a_state_that_expired_is_not_given_and_not_kept():
    kept = MemoryCeremonies()
    kept.keep(REGISTRATION)
    with refused(WebAuthnErrorCode.EXPIRED):
        kept.take(REGISTRATION.ceremony_id, now=NOW + timedelta(seconds=60))


def test_a_derived_challenge_is_of_one_action_and_one_nonce():
    challenge = derive_challenge(digest=b"d" * 32, nonce=b"n" * 16)
    assert len(challenge) == 32
    assert challenge == derive_challenge(digest=b"d" * 32, nonce=b"n" * 16)
    others = {
        derive_challenge(digest=b"e" * 32, nonce=b"n" * 16),
        derive_challenge(digest=b"d" * 32, nonce=b"m" * 16),
        derive_challenge(digest=b"d" * 33, nonce=b"n" * 16),
    }
    assert challenge not in others
    assert len(others) == 3


@pytest.mark.parametrize(("digest", "nonce"), [(b"d" * 31, b"n" * 16), (b"d" * 32, b"n" * 15)])
def test_a_challenge_is_not_derived_from_little(digest, nonce):
    with refused(WebAuthnErrorCode.WEAK_CHALLENGE):
        derive_challenge(digest=digest, nonce=nonce)
