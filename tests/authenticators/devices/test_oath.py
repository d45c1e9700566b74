import secrets
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, CredentialData, OathSession, _derive_key

from authenticators.devices.oath import OathAccount, OathKey, _read_tlv
from authenticators.errors import DeviceErrorCode
from authenticators.otp.hotp import Hotp
from authenticators.otp.totp import Totp
from authenticators.secret import Secret
from tests.support.prompts import ScriptedPrompter
from tests.support.refusals import outcome, refused
from tests.support.virtual_keys import make_key
from tests.support.yubikit_connections import CardConnection

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECRET = b"12345678901234567890"
Code = DeviceErrorCode


class Card:
    """The virtual card as our connections see one."""

    def __init__(self, key):
        self.connection = CardConnection(key)

    def transmit(self, apdu):
        return self.connection.send_and_receive(apdu)


def credential(name, kind=OATH_TYPE.TOTP, period=30, digits=6):
    return CredentialData(
        name=name,
        oath_type=kind,
        hash_algorithm=HASH_ALGORITHM.SHA1,
        secret=SECRET,
        digits=digits,
        period=period,
        issuer="Sallyport",
    )


@pytest.fixture
def key():
    """A virtual key with three accounts, put there by yubikit."""
    key = make_key()
    session = OathSession(CardConnection(key))
    session.put_credential(credential("joe"))
    session.put_credential(credential("slow", period=60, digits=8), touch_required=True)
    session.put_credential(credential("counted", OATH_TYPE.HOTP))
    return key


def opened(key, prompter=None):
    return OathKey(Card(key), prompter or ScriptedPrompter(), secrets.token_bytes)


def test_the_accounts_are_listed(key):
    accounts = {each.label: each for each in opened(key).accounts()}
    assert accounts == {
        "Sallyport:joe": OathAccount(name="Sallyport:joe", totp=True, touch=False),
        "Sallyport:slow": OathAccount(name="60/Sallyport:slow", totp=True, touch=True),
        "Sallyport:counted": OathAccount(name="Sallyport:counted", totp=False, touch=False),
    }
    assert accounts["Sallyport:slow"].period == 60


def test_a_code_is_what_our_verifier_expects_and_a_touch_is_prompted_for(key):
    prompter = ScriptedPrompter()
    oath = opened(key, prompter)
    by_label = {each.label: each for each in oath.accounts()}
    step = Totp(secret=Secret(SECRET)).verify(
        oath.code(by_label["Sallyport:joe"], now=NOW), now=NOW, last_step=None
    )
    assert step == int(NOW.timestamp()) // 30
    assert prompter.said == []
    slow = Totp(secret=Secret(SECRET), period=60, digits=8)
    assert oath.code(by_label["Sallyport:slow"], now=NOW) == slow.code_at(NOW)
    assert prompter.said == [("touch", "Sallyport:slow")]


def test_a_counted_code_moves_on(key):
    oath = opened(key)
    (account,) = [each for each in oath.accounts() if not each.totp]
    hotp = Hotp(secret=Secret(SECRET))
    codes = [oath.code(account, now=NOW) for _ in range(3)]
    assert len(set(codes)) == 3
    first = hotp.verify(codes[0], last_counter=None)
    assert [hotp.code_at(first + step) for step in range(3)] == codes


def test_a_locked_key_asks_for_its_password(key):
    session = OathSession(CardConnection(key))
    session.set_key(_derive_key(session._salt, "hunter2"))
    oath = opened(key)
    assert oath.is_locked
    with refused(Code.PASSWORD_REQUIRED):
        oath.accounts()
    with refused(Code.WRONG_PASSWORD):
        oath.unlock(Secret(b"hunter3"))
    oath = opened(key)
    oath.unlock(Secret(b"hunter2"))
    assert not oath.is_locked
    assert len(oath.accounts()) == 3


def test_an_account_that_is_not_there_is_told(key):
    with refused(Code.NO_ACCOUNT):
        opened(key).code(OathAccount(name="nobody", totp=True, touch=False), now=NOW)


class Scripted:
    """A card that answers from a list."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def transmit(self, apdu):
        return self.answers.pop(0)


SELECTED = (bytes.fromhex("7903050701710411223344"), 0x9000)


def test_a_card_without_the_application_is_not_supported():
    with refused(Code.NOT_SUPPORTED):
        OathKey(Scripted((b"", 0x6A82)), ScriptedPrompter(), secrets.token_bytes)


@pytest.mark.parametrize("answer", ["", "7605", "76020612", "760506123456"])
def test_an_answer_of_another_form_is_broken(answer):
    oath = OathKey(
        Scripted(SELECTED, (bytes.fromhex(answer), 0x9000)), ScriptedPrompter(), secrets.token_bytes
    )
    with refused(Code.BROKEN):
        oath.code(OathAccount(name="x", totp=True, touch=False), now=NOW)


def test_an_answer_without_end_is_broken():
    class Endless:
        def transmit(self, apdu):
            return bytes(256), 0x6100

    with refused(Code.BROKEN):
        OathKey(Endless(), ScriptedPrompter(), secrets.token_bytes)


def test_a_name_longer_than_a_command_is_refused():
    oath = OathKey(Scripted(SELECTED), ScriptedPrompter(), secrets.token_bytes)
    with refused(Code.BAD_OPTIONS):
        oath.code(OathAccount(name="x" * 250, totp=True, touch=False), now=NOW)


def test_an_unlocked_key_needs_no_password():
    OathKey(Scripted(SELECTED), ScriptedPrompter(), secrets.token_bytes).unlock(Secret(b"any"))


def test_a_touch_that_never_comes_times_out():
    oath = OathKey(Scripted(SELECTED, (b"", 0x6985)), ScriptedPrompter(), secrets.token_bytes)
    with refused(Code.TIMED_OUT):
        oath.code(OathAccount(name="x", totp=True, touch=True), now=NOW)


@given(st.binary(max_size=40))
def test_any_answer_is_read_or_broken(data):
    result = outcome(lambda: list(_read_tlv(data)))
    assert result is Code.BROKEN or sum(2 + len(value) for _, value in result) <= len(data)


@given(st.text(max_size=12))
def test_any_name_has_a_period_and_a_label(name):
    account = OathAccount(name=name, totp=True, touch=False)
    assert account.period > 0
    assert account.label in name
