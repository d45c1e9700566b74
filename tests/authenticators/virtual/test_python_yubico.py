"""python-yubico runs unchanged on a virtual key."""

import hmac
import time
import warnings

import pytest

from authenticators.virtual.faults import FaultPlan, NobodyTouches
from authenticators.virtual.transports.python_yubico import plugged
from tests.support.virtual_keys import make_key

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    import yubico
    from yubico.yubico_exception import YubicoError
    from yubico.yubikey_base import YubiKeyTimeout

SECRET = b"12345678901234567890"


class Clock:
    """Real time: python-yubico sleeps for itself."""

    def __call__(self):
        return time.monotonic()


def configure(yubikey, *, slot=2, button=False):
    config = yubikey.init_config()
    config.mode_challenge_response(SECRET, type="HMAC", variable=True, require_button=button)
    config.extended_flag("SERIAL_API_VISIBLE", True)
    yubikey.write_config(config, slot=slot)


def test_a_key_is_found_and_names_its_version_and_serial():
    key = make_key()
    with plugged(key):
        yubikey = yubico.find_yubikey()
        assert (yubikey.version(), yubikey.serial()) == ("5.7.1", key.state.serial)


def test_a_configured_slot_answers_like_hmac():
    with plugged(make_key()):
        yubikey = yubico.find_yubikey()
        configure(yubikey)
        challenge = b"sealed start".ljust(63, b".")
        assert yubikey.challenge_response(challenge, slot=2) == hmac.digest(SECRET, challenge, "sha1")
        assert yubikey.status().valid_configs() == [2]


def test_a_touch_is_awaited():
    with plugged(make_key(clock=Clock(), touch_seconds=0.2)):
        yubikey = yubico.find_yubikey()
        configure(yubikey, button=True)
        answer = yubikey.challenge_response(b"x", slot=2, may_block=True)
        assert answer == hmac.digest(SECRET, b"x", "sha1")


def test_without_a_touch_the_answer_never_comes():
    with plugged(make_key(clock=Clock(), touch_timeout=0.2, faults=FaultPlan.always(NobodyTouches()))):
        yubikey = yubico.find_yubikey()
        configure(yubikey, button=True)
        with pytest.raises(YubiKeyTimeout):
            yubikey.challenge_response(b"x", slot=2, may_block=True)


def test_of_two_keys_each_answers_for_itself():
    keys = [make_key(), make_key()]
    with plugged(*keys):
        serials = [yubico.find_yubikey(skip=number).serial() for number in range(2)]
    assert serials == [key.state.serial for key in keys]


def test_without_a_key_none_is_found():
    with plugged(), pytest.raises(YubicoError, match="No YubiKey found"):
        yubico.find_yubikey()
