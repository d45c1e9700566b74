"""The virtual card under a real pcscd: python-fido2, ykman, OpenSC and ykcs11 are the peers."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from fido2.ctap import CtapError
from fido2.ctap2 import ClientPin, Ctap2
from fido2.pcsc import CtapPcscDevice
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity
from yubikit.piv import DEFAULT_MANAGEMENT_KEY, KEY_TYPE, SLOT, PivSession

from authenticators.virtual.faults import FaultPlan, RefuseTouch, Unplug
from authenticators.virtual.store import KeyFile
from authenticators.virtual.transports.vpcd import USB_ATR
from tests.support.virtual_keys import RP_ID, Person, client_for, make_key
from tests.support.vpcd import PLAIN_READER, YUBIKEY_READER, private_pcscd, wait_for_card
from tests.support.yubikit_connections import CardConnection

pytestmark = pytest.mark.functional

YKCS11 = str(next(Path("/usr/lib").glob("*/libykcs11.so.2"), "the package ykcs11"))
OPENSC = str(next(Path("/usr/lib").glob("*/opensc-pkcs11.so"), "the package opensc-pkcs11"))
YKMAN = str(Path(sys.executable).with_name("ykman"))
PARAMETERS = [{"alg": -7, "type": "public-key"}]
USER = {"id": b"joe", "name": "joe"}


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory):
    with private_pcscd(tmp_path_factory.mktemp("pcscd") / "plain") as daemon:
        assert daemon.reader_name == f"{PLAIN_READER} 00 00"
        yield daemon


def output_of(daemon, *command, **kwargs):
    done = subprocess.run(
        command, env=daemon.environment, capture_output=True, timeout=60, check=False, text=True, **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def fido_device(daemon):
    (device,) = CtapPcscDevice.list_devices(daemon.reader_name)
    return device


def test_a_pin_protected_credential_is_made_and_used_over_the_reader(pcscd):
    with pcscd.insert(make_key()):
        ctap2 = Ctap2(fido_device(pcscd))
        pin = ClientPin(ctap2)
        pin.set_pin("248163")
        token = pin.get_pin_token("248163", ClientPin.PERMISSION.MAKE_CREDENTIAL, RP_ID)
        mac = pin.protocol.authenticate(token, bytes(32))
        made = ctap2.make_credential(
            bytes(32), {"id": RP_ID, "name": "b"}, USER, PARAMETERS, pin_uv_param=mac, pin_uv_protocol=2
        )
        credential = made.auth_data.credential_data
        others = [{"id": bytes([i]) * 63, "type": "public-key"} for i in range(7)]
        answer = ctap2.get_assertion(
            RP_ID, bytes(32), [*others, {"id": credential.credential_id, "type": "public-key"}]
        )
        answer.verify(bytes(32), credential.public_key)
        assert made.auth_data.is_user_verified()


def test_a_refused_touch_reaches_the_client(pcscd):
    key = make_key(faults=FaultPlan.always(RefuseTouch()))
    with pcscd.insert(key), pytest.raises(CtapError, match="OPERATION_DENIED"):
        Ctap2(fido_device(pcscd)).make_credential(bytes(32), {"id": RP_ID, "name": "b"}, USER, PARAMETERS)


def test_a_card_pulled_out_in_the_middle_leaves_an_empty_reader(pcscd):
    with pcscd.insert(make_key(faults=FaultPlan.always(Unplug()))):
        device = fido_device(pcscd)
        with pytest.raises(Exception, match=r"(?i)no valid response|transmit|removed"):
            Ctap2(device).make_credential(bytes(32), {"id": RP_ID, "name": "b"}, USER, PARAMETERS)


def test_ykman_describes_the_key(pcscd):
    key = make_key()
    with pcscd.insert(key):
        info = output_of(pcscd, YKMAN, "--reader", pcscd.reader_name, "info")
        piv = output_of(pcscd, YKMAN, "--reader", pcscd.reader_name, "piv", "info")
        fido = output_of(pcscd, YKMAN, "--reader", pcscd.reader_name, "fido", "info")
    assert str(key.state.serial) in info
    assert "PIN tries remaining:      3/3" in piv
    assert "PIN" in fido


def test_opensc_signs_with_the_piv_key(pcscd, tmp_path):
    key = make_key("classic")
    session = PivSession(CardConnection(key))
    session.authenticate(DEFAULT_MANAGEMENT_KEY)
    public = session.generate_key(SLOT.AUTHENTICATION, KEY_TYPE.ECCP256)
    with pcscd.insert(key):
        reader = ["--reader", pcscd.reader_name]
        output_of(
            pcscd, YKMAN, *reader, "piv", "certificates", "generate", "-m", DEFAULT_MANAGEMENT_KEY.hex(),
            "-P", "123456", "-s", "CN=joe", "9a", "-", input=_pem(public),
        )  # fmt: skip
        (tmp_path / "message").write_bytes(b"attack at dawn")
        output_of(
            pcscd, "pkcs11-tool", "--module", OPENSC, "--slot-index", "0", "--login", "--pin", "123456",
            "--sign", "--id", "01", "-m", "ECDSA-SHA256", "--signature-format", "openssl",
            "-i", str(tmp_path / "message"), "-o", str(tmp_path / "signature"),
        )  # fmt: skip
    public.verify((tmp_path / "signature").read_bytes(), b"attack at dawn", ec.ECDSA(hashes.SHA256()))


def _pem(public):
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_ykcs11_finds_the_key_by_its_reader_and_signs(tmp_path):
    key = make_key("classic")
    with (
        private_pcscd(tmp_path / "named", reader_name=YUBIKEY_READER) as daemon,
        daemon.insert(key, atr=USB_ATR),
    ):
        tool = ["pkcs11-tool", "--module", YKCS11, "--login", "--login-type", "so", "--so-pin"]
        management = DEFAULT_MANAGEMENT_KEY.hex()
        output_of(daemon, *tool, management, "--keypairgen", "--id", "1", "--key-type", "EC:prime256v1")
        output_of(
            daemon, "pkcs11-tool", "--module", YKCS11, "--read-object", "--type", "pubkey", "--id", "1",
            "-o", str(tmp_path / "public"),
        )  # fmt: skip
        (tmp_path / "message").write_bytes(b"attack at dawn")
        output_of(
            daemon, "pkcs11-tool", "--module", YKCS11, "--login", "--pin", "123456", "--sign", "--id", "1",
            "-m", "ECDSA-SHA256", "--signature-format", "openssl",
            "-i", str(tmp_path / "message"), "-o", str(tmp_path / "signature"),
        )  # fmt: skip
    public = load_der_public_key((tmp_path / "public").read_bytes())
    public.verify((tmp_path / "signature").read_bytes(), b"attack at dawn", ec.ECDSA(hashes.SHA256()))


def test_sallyport_vkey_puts_a_key_file_into_the_reader(pcscd, tmp_path):
    key_file = tmp_path / "key.json"
    code = "from authenticators.virtual.cli import main; main()"
    vkey = [sys.executable, "-c", code]
    subprocess.run([*vkey, "new", str(key_file)], check=True, capture_output=True)
    serial = KeyFile(key_file).load().serial
    # The private reader listens in a network of its own; people's pcscd listens where the command runs.
    inside = ["nsenter", f"--net=/proc/{pcscd.process.pid}/ns/net"]
    process = subprocess.Popen([*inside, *vkey, "pcsc", str(key_file)], stderr=subprocess.PIPE, text=True)
    assert str(serial) in process.stderr.readline()
    wait_for_card(present=True)
    assert str(serial) in output_of(pcscd, YKMAN, "--reader", pcscd.reader_name, "info")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    process.stderr.close()
    wait_for_card(present=False)


def test_a_fingerprint_verifies_the_user_over_the_reader(pcscd):
    with pcscd.insert(make_key("fingerprint")):
        client = client_for(fido_device(pcscd), Person())
        server = Fido2Server(PublicKeyCredentialRpEntity(id=RP_ID, name="b"))
        creation, state = server.register_begin(USER, user_verification="required")
        data = server.register_complete(state, client.make_credential(creation["publicKey"]))
        request, state = server.authenticate_begin([data.credential_data], user_verification="required")
        answer = client.get_assertion(request["publicKey"]).get_response(0)
        server.authenticate_complete(state, [data.credential_data], answer)
    assert data.is_user_verified()
