"""The PIV provider over pyscard and a real pcscd, on the virtual YubiKey; ykman is the witness."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from authenticators.virtual import attestation as vendor
from authenticators.virtual.faults import FaultPlan, Unplug
from authenticators.virtual.state import DEFAULT_MANAGEMENT_KEY
from hsm import piv
from hsm.encoding import signature
from hsm.errors import PinRefused, TokenGone
from hsm.naming import Namespace
from hsm.provider import Algorithm, AttestationKind
from hsm.secret import Secret
from hsm.signer.protocol import Ca, Code, SignerError
from tests.support.certificates import user_request
from tests.support.signer import CLUSTER, running_signer
from tests.support.virtual_keys import make_key
from tests.support.vpcd import missing_parts, private_pcscd, wait_for_card

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(bool(missing_parts()), reason=f"missing: {missing_parts()}"),
]

LABEL = "sallyport:main:user:1"
YKMAN = str(Path(sys.executable).with_name("ykman"))


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory):
    with private_pcscd(tmp_path_factory.mktemp("pcscd") / "hsm") as daemon:
        yield daemon


def _open(pin="123456", **settings):
    return piv.PivProvider(
        connect=piv.connect_by_serial(None),
        pin=Secret(pin),
        namespace=Namespace(cluster=CLUSTER),
        management_key=Secret(DEFAULT_MANAGEMENT_KEY),
        trusted=(vendor.test_root().certificate,),
        **settings,
    )


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.P256, Algorithm.P384, Algorithm.RSA3072])
def test_a_key_is_made_listed_used_attested_and_deleted(pcscd, algorithm):
    with pcscd.insert(make_key()), _open() as provider:
        made = provider.create(LABEL, algorithm)
        assert provider.list() == (made,)
        assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))
        assert provider.attest(LABEL).kind is AttestationKind.CERTIFICATE
        provider.delete(LABEL)
        assert provider.list() == ()


def test_ykman_sees_the_key_and_its_label_and_makes_no_trouble_while_it_is_open(pcscd):
    with pcscd.insert(make_key()), _open() as provider:
        made = provider.create(LABEL, Algorithm.P256)
        command = [YKMAN, "--reader", pcscd.reader_name, "piv", "info"]
        shown = subprocess.run(command, env=pcscd.environment, capture_output=True, text=True, check=False)
        assert "Sallyport key label" in shown.stdout, shown
        assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))


def test_pulled_and_put_back_while_open(pcscd):
    key = make_key()
    with pcscd.insert(key):
        provider = _open()
        made = provider.create(LABEL, Algorithm.P256)
    with pytest.raises(TokenGone):
        provider.sign(LABEL, b"m")
    with pcscd.insert(key):
        assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))
        provider.close()


def test_another_yubikey_in_its_place_does_not_get_the_pin(pcscd):
    with pcscd.insert(make_key()):
        provider = _open()
        provider.create(LABEL, Algorithm.P256)
    with pcscd.insert(make_key()) as card:
        with pytest.raises(TokenGone, match="plugged in, not"):
            provider.sign(LABEL, b"m")
        assert card.key.state.piv.pin_left == 3
    provider.close()


def test_a_wrong_pin_stops_before_the_last_try(pcscd):
    with pcscd.insert(make_key()):
        for left in (2, 1, 1, 1):
            with pytest.raises(PinRefused) as refused:
                _open("000000")
            assert refused.value.tries_left == left


def test_the_signer_on_a_yubikey_goes_on_after_it_was_pulled(pcscd, tmp_path):
    key = make_key()
    with pcscd.insert(key) as card, running_signer(tmp_path, opener=lambda _: _open()) as signer:
        signer.auth.create_key(Ca.USER, 1)
        signer.auth.sign_user_certificate(user_request())
        card.unplug()
        wait_for_card(present=False)
        with pytest.raises(SignerError) as refused:
            signer.auth.sign_user_certificate(user_request())
        assert refused.value.code is Code.TOKEN_GONE
        with pcscd.insert(key):
            signer.auth.sign_user_certificate(user_request())
            assert signer.auth.attest(Ca.USER, 1).kind == "certificate"


def test_pulled_in_the_middle_of_a_signature(pcscd):
    key = make_key()
    with pcscd.insert(key) as card, _open() as provider:
        made = provider.create(LABEL, Algorithm.P256)
        key.faults = FaultPlan.always(Unplug())
        with pytest.raises(TokenGone):
            provider.sign(LABEL, b"m")
        card.unplug()
        wait_for_card(present=False)
        key.faults = FaultPlan()
        card.plug()
        wait_for_card(present=True)
        assert signature.verify(made.public_key, b"m", provider.sign(LABEL, b"m"))
