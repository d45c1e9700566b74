"""yubikit, the library under ykman, drives every application of the virtual card."""

import hashlib
import hmac
import os
from datetime import UTC, datetime

import pyotp
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from yubikit.core import InvalidPinError
from yubikit.core.otp import CommandRejectedError
from yubikit.core.smartcard import SW, ApduError
from yubikit.management import CAPABILITY, ManagementSession
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, CredentialData, OathSession
from yubikit.piv import (
    DEFAULT_MANAGEMENT_KEY,
    KEY_TYPE,
    MANAGEMENT_KEY_TYPE,
    OBJECT_ID,
    PIN_POLICY,
    SLOT,
    TOUCH_POLICY,
    PivSession,
)
from yubikit.yubiotp import SLOT as OTP_SLOT
from yubikit.yubiotp import HmacSha1SlotConfiguration, YubiOtpSession, YubiOtpSlotConfiguration

from authenticators.virtual.attestation import PIV_SERIAL
from authenticators.virtual.attestation import test_root as vendor_root
from authenticators.virtual.faults import BadSignature, FaultPlan, RefuseTouch
from tests.support.virtual_keys import make_key
from tests.support.yubikit_connections import CardConnection, ReportConnection

PIN = "123456"
PUK = "12345678"
MESSAGE = b"attack at dawn"


@pytest.fixture
def key():
    return make_key()


@pytest.fixture
def piv(key):
    session = PivSession(CardConnection(key))
    session.authenticate(DEFAULT_MANAGEMENT_KEY)
    session.verify_pin(PIN)
    return session


def verify(public, signature, message=MESSAGE):
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, message)


@pytest.mark.parametrize("model", ["modern", "classic"])
def test_management_tells_serial_version_and_applications(model):
    key = make_key(model)
    info = ManagementSession(CardConnection(key)).read_device_info()
    assert (info.serial, tuple(info.version)) == (key.state.serial, key.profile.firmware)
    assert CAPABILITY.PIV in next(iter(info.supported_capabilities.values()))


@pytest.mark.parametrize(
    "kind",
    [KEY_TYPE.ECCP256, KEY_TYPE.ECCP384, KEY_TYPE.ED25519, KEY_TYPE.RSA2048],
    ids=lambda kind: kind.name,
)
def test_a_generated_key_signs_and_is_described(piv, kind):
    public = piv.generate_key(SLOT.AUTHENTICATION, kind)
    verify(public, piv.sign(SLOT.AUTHENTICATION, kind, MESSAGE, hashes.SHA256(), padding.PKCS1v15()))
    metadata = piv.get_slot_metadata(SLOT.AUTHENTICATION)
    assert (metadata.key_type, metadata.generated, metadata.pin_policy) == (kind, True, PIN_POLICY.ONCE)
    assert metadata.public_key == public


def test_an_imported_key_signs_but_is_not_attested(piv):
    private = rsa.generate_private_key(65537, 2048)
    piv.put_key(SLOT.SIGNATURE, private)
    piv.verify_pin(PIN)
    verify(
        private.public_key(),
        piv.sign(SLOT.SIGNATURE, KEY_TYPE.RSA2048, MESSAGE, hashes.SHA256(), padding.PKCS1v15()),
    )
    with pytest.raises(ApduError):
        piv.attest_key(SLOT.SIGNATURE)


@pytest.mark.parametrize(
    ("kind", "peer"),
    [
        (KEY_TYPE.ECCP256, lambda: ec.generate_private_key(ec.SECP256R1())),
        (KEY_TYPE.X25519, x25519.X25519PrivateKey.generate),
    ],
    ids=["P-256", "X25519"],
)
def test_the_card_agrees_on_a_secret(piv, kind, peer):
    public, private = piv.generate_key(SLOT.KEY_MANAGEMENT, kind), peer()
    secret = piv.calculate_secret(SLOT.KEY_MANAGEMENT, private.public_key())
    expected = private.exchange(public) if kind is KEY_TYPE.X25519 else private.exchange(ec.ECDH(), public)
    assert secret == expected


def test_an_attestation_leads_to_the_test_root_and_names_the_key(piv, key):
    public = piv.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    statement = piv.attest_key(SLOT.AUTHENTICATION)
    intermediate = piv.get_certificate(SLOT.ATTESTATION)
    statement.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(vendor_root().certificate)
    assert statement.public_key() == public
    serial = statement.extensions.get_extension_for_oid(PIV_SERIAL).value.value
    assert int.from_bytes(serial[2:], "big") == key.state.serial


def test_a_certificate_is_kept(piv):
    public = piv.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    issuer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "joe")])
    certificate = (
        x509.CertificateBuilder(name, name, public, 7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .sign(issuer, hashes.SHA256())
    )
    piv.put_certificate(SLOT.AUTHENTICATION, certificate)
    assert piv.get_certificate(SLOT.AUTHENTICATION) == certificate
    piv.delete_certificate(SLOT.AUTHENTICATION)
    with pytest.raises(ApduError) as error:
        piv.get_certificate(SLOT.AUTHENTICATION)
    assert error.value.sw == SW.FILE_NOT_FOUND


def test_wrong_pins_count_down_block_and_are_undone_by_the_puk(key):
    session = PivSession(CardConnection(key))
    left = []
    for _ in range(3):
        with pytest.raises(InvalidPinError) as error:
            session.verify_pin("000000")
        left.append(error.value.attempts_remaining)
    assert left == [2, 1, 0]
    with pytest.raises(InvalidPinError):
        session.verify_pin(PIN)
    session.unblock_pin(PUK, "654321")
    session.verify_pin("654321")
    session.change_pin("654321", "111222")
    session.verify_pin("111222")


def test_nothing_is_generated_without_the_management_key_and_nothing_signed_without_the_pin(key):
    session = PivSession(CardConnection(key))
    with pytest.raises(ApduError) as error:
        session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    assert error.value.sw == SW.SECURITY_CONDITION_NOT_SATISFIED
    with pytest.raises(ApduError):
        session.authenticate(bytes(24))
    session.authenticate(DEFAULT_MANAGEMENT_KEY)
    session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    with pytest.raises(ApduError) as error:
        session.sign(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())
    assert error.value.sw == SW.SECURITY_CONDITION_NOT_SATISFIED


@pytest.mark.parametrize("kind", list(MANAGEMENT_KEY_TYPE), ids=lambda kind: kind.name)
def test_the_management_key_can_be_changed_to_any_kind(piv, key, kind):
    new = os.urandom(kind.key_len)
    piv.set_management_key(kind, new)
    session = PivSession(CardConnection(key))
    assert session.management_key_type is kind
    session.authenticate(new)


def test_the_pin_is_wanted_for_each_signature_where_the_policy_says_always(piv):
    piv.generate_key(SLOT.SIGNATURE, KEY_TYPE.ECCP256, PIN_POLICY.ALWAYS)
    piv.verify_pin(PIN)
    piv.sign(SLOT.SIGNATURE, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())
    with pytest.raises(ApduError):
        piv.sign(SLOT.SIGNATURE, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())


def test_a_key_that_wants_a_touch_does_not_sign_without_one(piv, key):
    piv.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256, touch_policy=TOUCH_POLICY.ALWAYS)
    piv.sign(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())
    key.faults = FaultPlan.always(RefuseTouch())
    with pytest.raises(ApduError):
        piv.sign(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256, MESSAGE, hashes.SHA256())


def test_a_key_can_be_moved_and_deleted_since_firmware_5_7(piv):
    public = piv.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ED25519)
    piv.move_key(SLOT.AUTHENTICATION, SLOT.RETIRED1)
    assert piv.get_slot_metadata(SLOT.RETIRED1).public_key == public
    piv.delete_key(SLOT.RETIRED1)
    with pytest.raises(ApduError):
        piv.get_slot_metadata(SLOT.RETIRED1)


def test_a_reset_empties_the_application(piv):
    piv.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    piv.put_object(OBJECT_ID.CHUID, b"x" * 300)
    piv.reset()
    with pytest.raises(ApduError):
        piv.get_slot_metadata(SLOT.AUTHENTICATION)
    assert piv.get_pin_attempts() == 3


def test_the_classic_model_has_no_ed25519_and_a_triple_des_management_key():
    session = PivSession(CardConnection(make_key("classic")))
    assert session.management_key_type is MANAGEMENT_KEY_TYPE.TDES
    session.authenticate(DEFAULT_MANAGEMENT_KEY)
    with pytest.raises(ApduError):
        session.protocol.send_apdu(0, 0x47, 0, 0x9A, bytes.fromhex("ac038001e0"))
    assert isinstance(session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256), ec.EllipticCurvePublicKey)


def test_a_spoiled_signature_does_not_verify(piv, key):
    public = piv.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ED25519)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    key.faults = FaultPlan.always(BadSignature())
    with pytest.raises(InvalidSignature):
        verify(public, piv.sign(SLOT.AUTHENTICATION, KEY_TYPE.ED25519, MESSAGE, hashes.SHA256()))


SECRET = b"12345678901234567890"


@pytest.mark.parametrize("algorithm", list(HASH_ALGORITHM), ids=lambda algorithm: algorithm.name)
def test_totp_codes_equal_those_of_pyotp(key, algorithm):
    session = OathSession(CardConnection(key))
    data = CredentialData("joe", OATH_TYPE.TOTP, algorithm, SECRET, digits=8, issuer="Bastion")
    credential = session.put_credential(data)
    digest = getattr(hashlib, algorithm.name.lower())
    expected = pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", digits=8, digest=digest).at(1_111_111_109)
    assert session.calculate_code(credential, 1_111_111_109).value == expected
    assert session.calculate_all(1_111_111_109)[credential].value == expected


def test_hotp_codes_move_on(key):
    session = OathSession(CardConnection(key))
    credential = session.put_credential(CredentialData("h", OATH_TYPE.HOTP, HASH_ALGORITHM.SHA1, SECRET))
    codes = [session.calculate_code(credential).value for _ in range(3)]
    assert codes == ["755224", "287082", "359152"]


def test_oath_accounts_are_listed_renamed_and_deleted(key):
    session = OathSession(CardConnection(key))
    data = [CredentialData(f"user{i}", OATH_TYPE.TOTP, HASH_ALGORITHM.SHA1, SECRET) for i in range(30)]
    for entry in data:
        session.put_credential(entry)
    assert len(session.list_credentials()) == 30
    assert len(session.calculate_all()) == 30
    session.rename_credential(data[0].get_id(), "renamed")
    session.delete_credential(data[1].get_id())
    names = [credential.name for credential in session.list_credentials()]
    assert "renamed" in names
    assert "user1" not in names


def test_an_oath_access_key_locks_the_accounts(key):
    session = OathSession(CardConnection(key))
    session.put_credential(CredentialData("joe", OATH_TYPE.TOTP, HASH_ALGORITHM.SHA1, SECRET))
    access = session.derive_key("secret")
    session.set_key(access)
    locked = OathSession(CardConnection(key))
    assert locked.locked
    with pytest.raises(ApduError):
        locked.list_credentials()
    with pytest.raises(ApduError):
        locked.validate(bytes(16))
    again = OathSession(CardConnection(key))
    again.validate(access)
    assert len(again.list_credentials()) == 1


def test_an_oath_account_that_wants_a_touch_says_so(key):
    session = OathSession(CardConnection(key))
    data = CredentialData("joe", OATH_TYPE.TOTP, HASH_ALGORITHM.SHA1, SECRET)
    credential = session.put_credential(data, touch_required=True)
    (listed,) = session.calculate_all()
    assert listed.touch_required
    assert session.calculate_code(credential, 59).value == "287082"
    key.faults = FaultPlan.always(RefuseTouch())
    with pytest.raises(ApduError):
        session.calculate_code(credential, 59)


@pytest.mark.parametrize("connect", [CardConnection, ReportConnection], ids=["card", "reports"])
def test_an_hmac_slot_answers_like_hmac(key, connect):
    session = YubiOtpSession(connect(key))
    session.put_configuration(OTP_SLOT.TWO, HmacSha1SlotConfiguration(SECRET))
    state = session.get_config_state()
    assert state.is_configured(OTP_SLOT.TWO)
    assert not state.is_configured(OTP_SLOT.ONE)
    for challenge in (b"x", b"a" * 63, b"zero\0"):
        assert session.calculate_hmac_sha1(OTP_SLOT.TWO, challenge) == hmac.digest(SECRET, challenge, "sha1")
    assert session.get_serial() == key.state.serial


@pytest.mark.parametrize("connect", [CardConnection, ReportConnection], ids=["card", "reports"])
def test_slots_are_swapped_deleted_and_protected_by_an_access_code(key, connect):
    session = YubiOtpSession(connect(key))
    code = b"secret"
    session.put_configuration(OTP_SLOT.ONE, HmacSha1SlotConfiguration(SECRET), code)
    with pytest.raises(CommandRejectedError):
        session.delete_slot(OTP_SLOT.ONE)
    session.swap_slots()
    assert session.get_config_state().is_configured(OTP_SLOT.TWO)
    session.delete_slot(OTP_SLOT.TWO, code)
    assert not session.get_config_state().is_configured(OTP_SLOT.TWO)
    assert key.state.otp.programming_sequence == 0


def test_the_keyboard_interface_reads_device_information(key):
    info = ManagementSession(ReportConnection(key)).read_device_info()
    assert info.serial == key.state.serial


def test_an_empty_slot_gives_no_answer(key):
    session = YubiOtpSession(ReportConnection(key))
    with pytest.raises(CommandRejectedError):
        session.calculate_hmac_sha1(OTP_SLOT.ONE, b"x")


def test_a_yubico_otp_slot_is_configured(key):
    session = YubiOtpSession(ReportConnection(key))
    session.put_configuration(OTP_SLOT.ONE, YubiOtpSlotConfiguration(b"public", b"privat", bytes(16)))
    assert key.state.otp.slot1.fixed == b"public"
    assert session.get_config_state().is_touch_triggered(OTP_SLOT.ONE)
