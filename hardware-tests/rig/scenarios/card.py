"""The smart card and OTP sides: PIV signatures, OATH codes, the HMAC slot that unseals, typed codes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from yubikit.core import InvalidPinError
from yubikit.core.smartcard import ApduError
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, CredentialData, OathSession
from yubikit.piv import DEFAULT_MANAGEMENT_KEY, KEY_TYPE, SLOT, PivSession

from authenticators.errors import OtpError
from authenticators.otp.totp import Totp
from authenticators.otp.yubico_otp import YubicoOtpToken
from authenticators.secret import Secret
from authenticators.virtual.attestation import test_root
from rig.bench import PIV_PIN
from rig.expect import expect, refused

if TYPE_CHECKING:
    from rig.bench import Bench, Plugged

MESSAGE = b"a certificate to be signed"


def piv_sign(bench: Bench) -> None:
    """A key made in the token signs with the PIN only, and proves where it was made."""
    bench.make_key("ca")
    with bench.plugged("ca") as key:
        piv = PivSession(key.card())
        piv.authenticate(DEFAULT_MANAGEMENT_KEY)
        public = piv.generate_key(SLOT.SIGNATURE, KEY_TYPE.ECCP256)
        with refused(ApduError, lambda error: error.sw == 0x6982, "without the PIN nothing is signed"):
            piv.sign(SLOT.SIGNATURE, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())
        piv.verify_pin(PIV_PIN)
        signature = piv.sign(SLOT.SIGNATURE, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())
        public.verify(signature, MESSAGE, ec.ECDSA(hashes.SHA256()))
        statement = piv.attest_key(SLOT.SIGNATURE)
        maker = piv.get_certificate(SLOT.ATTESTATION)
        statement.verify_directly_issued_by(maker)
        if bench.maker_is_virtual:
            maker.verify_directly_issued_by(test_root().certificate)
        expect(statement.public_key() == public, "the statement is about this key")


def piv_pin_blocked(bench: Bench) -> None:
    """Three wrong PINs block the card; the PUK opens it again."""
    bench.make_key("ca")
    with bench.plugged("ca") as key:
        piv = PivSession(key.card())
        for left in (2, 1, 0):
            with refused(
                InvalidPinError, lambda error, left=left: error.attempts_remaining == left, "a try less"
            ):
                piv.verify_pin("000000")
        with refused(InvalidPinError, lambda _: True, "the right PIN is refused too"):
            piv.verify_pin(PIV_PIN)
        piv.unblock_pin("12345678", "654321")
        piv.verify_pin("654321")


def oath(bench: Bench) -> None:
    """A TOTP secret on the key shows the code that the site accepts, once."""
    bench.make_key("joe")
    secret = os.urandom(20)
    with bench.plugged("joe") as key:
        session = OathSession(key.card())
        account = session.put_credential(
            CredentialData("joe", OATH_TYPE.TOTP, HASH_ALGORITHM.SHA1, secret, issuer="Bastion")
        )
        now = bench.now()
        shown = session.calculate_code(account, int(now.timestamp())).value
    site = Totp(secret=Secret(secret))
    step = site.verify(shown, now=now, last_step=None)
    with refused(OtpError, lambda _: True, "the same code is refused the second time"):
        site.verify(shown, now=now, last_step=step)


def hmac_unseal(bench: Bench) -> None:
    """The token's PIN is sealed to a key's HMAC slot: that key opens it, another one does not."""
    secret, challenge, pin = os.urandom(20), os.urandom(32), b"token PIN 1234"
    bench.make_key("operator")
    bench.make_key("stranger")
    with bench.plugged("operator") as key:
        key.challenge_response().program(secret)
        nonce = os.urandom(12)
        sealed = AESGCM(_unsealing_key(key, challenge)).encrypt(nonce, pin, None)
        key.replug()
        opened = AESGCM(_unsealing_key(key, challenge)).decrypt(nonce, sealed, None)
        expect(opened == pin, "the operator's key opens it after a replug")
    with bench.plugged("stranger") as key:
        key.challenge_response().program(os.urandom(20))
        with refused(InvalidTag, lambda _: True, "another key does not"):
            AESGCM(_unsealing_key(key, challenge)).decrypt(nonce, sealed, None)


def typed_otp(bench: Bench) -> None:
    """A touched key types a Yubico OTP, which the site accepts once."""
    bench.make_key("joe")
    public, private, aes = os.urandom(6), os.urandom(6), os.urandom(16)
    with bench.plugged("joe") as key:
        key.program_otp(public, private, aes)
        typed = [key.type_otp().strip() for _ in range(2)]
    site = YubicoOtpToken(public_id=public, private_id=Secret(private), aes_key=Secret(aes))
    counters = site.verify(typed[0], last=None)
    with refused(OtpError, lambda _: True, "the same code is refused the second time"):
        site.verify(typed[0], last=counters)
    site.verify(typed[1], last=counters)


def _unsealing_key(key: Plugged, challenge: bytes) -> bytes:
    answer = key.challenge_response().answer(challenge)
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"seal").derive(answer)
