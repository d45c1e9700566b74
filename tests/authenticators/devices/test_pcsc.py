"""Our device code through a real pcscd: the virtual key is a card in its reader."""

import json
import secrets
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from threading import Event

import pytest
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, CredentialData, OathSession

from authenticators.devices.fido import FidoClient
from authenticators.devices.finder import choose_key, close_keys, find_fido_keys
from authenticators.devices.oath import OathKey
from authenticators.devices.smart_card import open_cards
from authenticators.errors import DeviceErrorCode
from authenticators.fido2.relying_party import Authenticated, RelyingParty
from authenticators.otp.totp import Totp
from authenticators.secret import Secret
from tests.support.prompts import ScriptedPrompter
from tests.support.refusals import refused
from tests.support.virtual_keys import ORIGIN, RP_ID, make_key
from tests.support.vpcd import private_pcscd
from tests.support.webauthn import JOE, NOW
from tests.support.yubikit_connections import CardConnection

pytestmark = pytest.mark.functional

SECRET = b"12345678901234567890"
MOMENT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory):
    with private_pcscd(tmp_path_factory.mktemp("pcscd") / "devices") as daemon:
        yield daemon


def test_a_key_in_a_reader_is_found_registers_and_logs_in(pcscd):
    rp = RelyingParty(rp_id=RP_ID, name="Bastion", origins=frozenset({ORIGIN}))
    with pcscd.insert(make_key()):
        fido = FidoClient(prompter=ScriptedPrompter())
        options, state = rp.begin_registration(user=JOE, now=NOW, user_verification="discouraged")
        response = json.dumps(fido.make_credential(options, ORIGIN))
        credential = rp.complete_registration(state, response, now=NOW).credential
        options, asked = rp.begin_authentication(
            now=NOW, credentials=[credential], user_handle=JOE.handle, user_verification="discouraged"
        )
        response = json.dumps(fido.get_assertion(options, ORIGIN))
        proof = rp.complete_authentication(asked, response, lookup=lambda _: credential, now=NOW)
    assert isinstance(proof, Authenticated)


def test_a_key_is_named_by_its_reader_and_gone_when_it_is_taken_away(pcscd):
    with pcscd.insert(make_key()):
        keys = find_fido_keys()
        chosen = choose_key(keys, ScriptedPrompter(), cancel=Event())
        assert (chosen.name, chosen.transport) == (pcscd.reader_name, "smart-card")
        close_keys(keys)
    assert find_fido_keys() == []


def test_the_codes_of_a_key_in_a_reader_are_calculated(pcscd):
    key = make_key()
    OathSession(CardConnection(key)).put_credential(
        CredentialData(
            name="joe", oath_type=OATH_TYPE.TOTP, hash_algorithm=HASH_ALGORITHM.SHA1, secret=SECRET
        )
    )
    with pcscd.insert(key), open_cards() as cards:
        oath = OathKey(cards[0], ScriptedPrompter(), secrets.token_bytes)
        (account,) = oath.accounts()
        code = oath.code(account, now=MOMENT)
    assert code == Totp(secret=Secret(SECRET)).code_at(MOMENT)


@contextmanager
def oath_of_a_card_that_left(daemon):
    """Open the key's OATH application, then take the key away and leave the connection."""
    with ExitStack() as stack:
        with daemon.insert(make_key()):
            (card, *_) = stack.enter_context(open_cards())
            oath = OathKey(card, ScriptedPrompter(), secrets.token_bytes)
        yield oath


def test_a_card_pulled_out_is_removed(pcscd):
    with oath_of_a_card_that_left(pcscd) as oath, refused(DeviceErrorCode.REMOVED):
        oath.accounts()
