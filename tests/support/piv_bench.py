"""A PIV card in the test's own process: the applet's commands on real cryptography, and its faults.

It is written from SP 800-73-4 and Yubico's published commands, separately from `hsm.piv_card`, and
keeps what a card keeps: slots, objects, the PIN's tries. `PivBench` opens providers on it; `pull` and
`put_back` are what a hand does.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from hsm.apdu import parse_tlvs, tlv
from hsm.errors import TokenGone
from hsm.piv import PivProvider
from hsm.secret import Secret

MANAGEMENT_KEY = bytes(range(24))
SERIAL, FIRMWARE = 21_000_001, (5, 7, 1)
_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)


def _issue(subject, key, issuer, signer, *, ca, extensions=()):
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        key,
        x509.random_serial_number(),
        _BEGIN,
        _END,
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    for oid, value in extensions:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


@dataclass
class Card:
    """One card; `apdu` takes a command and gives data and status word."""

    pin: bytes = b"123456"
    tries: int = 3
    keys: dict[int, tuple[int, object]] = field(default_factory=dict)
    objects: dict[bytes, bytes] = field(default_factory=dict)
    verified: bool = False
    selected: bool = False
    authenticated: bool = False
    witness: bytes = b""
    chained: bytes = b""
    rest: bytes = b""
    signatures_until_pulled: int | None = None
    pulled: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self):
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = _issue(
            "Owner's PIV root", self.root_key.public_key(), "Owner's PIV root", self.root_key, ca=True
        )
        self.f9 = ec.generate_private_key(ec.SECP256R1())
        intermediate = _issue(
            "Attestation F9", self.f9.public_key(), "Owner's PIV root", self.root_key, ca=True
        )
        der = intermediate.public_bytes(Encoding.DER)
        self.objects[bytes.fromhex("5fff01")] = tlv(0x70, der) + tlv(0x71, b"\x00") + tlv(0xFE, b"")

    def power_off(self):
        self.verified = self.selected = self.authenticated = False
        self.chained = self.rest = b""

    def apdu(self, raw):
        cla, ins, p1, p2 = raw[:4]
        data = raw[5 : 5 + raw[4]] if len(raw) > 5 else b""
        if cla & 0x10:
            self.chained += data
            return b"", 0x9000
        data, self.chained = self.chained + data, b""
        if ins == 0xC0:
            return self._more()
        if ins == 0xA4:
            self.power_off()
            self.selected = data == bytes.fromhex("a000000308")
            return b"", 0x9000 if self.selected else 0x6A82
        if not self.selected:
            return b"", 0x6D00
        answer = self._commands()[ins](p1, p2, data)
        if isinstance(answer, int):
            return b"", answer
        self.rest = answer
        return self._more()

    def _more(self):
        part, self.rest = self.rest[:256], self.rest[256:]
        return part, 0x6100 | min(len(self.rest), 0xFF) if self.rest else 0x9000

    def _commands(self):
        return {
            0xFD: lambda *_: bytes(FIRMWARE),
            0xF8: lambda *_: SERIAL.to_bytes(4, "big"),
            0xF7: self._metadata,
            0x20: self._verify,
            0x87: self._general_authenticate,
            0x47: self._generate,
            0xCB: self._get_data,
            0xDB: self._put_data,
            0xF9: self._attest,
            0xF6: self._delete,
        }

    def _metadata(self, _, slot, __):
        if slot == 0x80:
            return tlv(0x01, b"\xff") + tlv(0x06, bytes((3, self.tries)))
        if slot == 0x9B:
            return tlv(0x01, b"\x0a") + tlv(0x05, b"\x00")
        if slot not in self.keys:
            return 0x6A88
        number, key = self.keys[slot]
        return tlv(1, bytes((number,))) + tlv(2, b"\x02\x01") + tlv(3, b"\x01") + tlv(4, self._public(key))

    @staticmethod
    def _public(key):
        public = key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return tlv(0x81, numbers.n.to_bytes(public.key_size // 8, "big")) + tlv(0x82, b"\x01\x00\x01")
        if isinstance(public, ed25519.Ed25519PublicKey):
            return tlv(0x86, public.public_bytes_raw())
        return tlv(0x86, public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def _verify(self, _, __, data):
        if not data:
            return 0x9000 if self.verified else 0x63C0 | self.tries
        if self.tries == 0:
            return 0x6983
        if data.rstrip(b"\xff") == self.pin:
            self.tries, self.verified = 3, True
            return 0x9000
        self.tries -= 1
        self.verified = False
        return 0x63C0 | self.tries if self.tries else 0x6983

    def _general_authenticate(self, number, slot, data):
        fields = parse_tlvs(parse_tlvs(data)[0x7C])
        if slot == 0x9B:
            return self._mutual(fields)
        if slot not in self.keys:
            return 0x6A88
        if not self.verified:
            return 0x6982
        self._count_down()
        return tlv(0x7C, tlv(0x82, self._sign(self.keys[slot][1], number, fields[0x81])))

    def _count_down(self):
        if self.signatures_until_pulled is not None:
            self.signatures_until_pulled -= 1
            if self.signatures_until_pulled < 0:
                self.signatures_until_pulled, self.pulled = None, True
                raise TokenGone("pulled in the middle of a signature")

    @staticmethod
    def _sign(key, number, data):
        if number == 0xE0:
            return key.sign(data)
        if number in {0x05, 0x16}:
            private = key.private_numbers()
            modulus = private.public_numbers.n
            return pow(int.from_bytes(data, "big"), private.d, modulus).to_bytes(key.key_size // 8, "big")
        hashed = hashes.SHA256() if number == 0x11 else hashes.SHA384()
        return key.sign(data, ec.ECDSA(utils.Prehashed(hashed)))

    def _mutual(self, fields):
        cipher = Cipher(algorithms.AES(MANAGEMENT_KEY), modes.ECB())  # noqa: S305  # one block, SP 800-73-4
        if fields.get(0x80) == b"":
            self.witness = os.urandom(16)
            return tlv(0x7C, tlv(0x80, cipher.encryptor().update(self.witness)))
        if fields[0x80] != self.witness:
            return 0x6982
        self.authenticated = True
        return tlv(0x7C, tlv(0x82, cipher.encryptor().update(fields[0x81])))

    def _generate(self, _, slot, data):
        if not self.authenticated:
            return 0x6982
        number = parse_tlvs(parse_tlvs(data)[0xAC])[0x80][0]
        make = {
            0x11: lambda: ec.generate_private_key(ec.SECP256R1()),
            0x14: lambda: ec.generate_private_key(ec.SECP384R1()),
            0xE0: ed25519.Ed25519PrivateKey.generate,
            0x05: lambda: rsa.generate_private_key(65537, 3072),
            0x16: lambda: rsa.generate_private_key(65537, 4096),
        }
        self.keys[slot] = number, make[number]()
        return tlv(0x7F49, self._public(self.keys[slot][1]))

    def _get_data(self, _, __, data):
        found = self.objects.get(parse_tlvs(data)[0x5C])
        return 0x6A82 if found is None else tlv(0x53, found)

    def _put_data(self, _, __, data):
        if not self.authenticated:
            return 0x6982
        fields = parse_tlvs(data)
        if fields[0x53]:
            self.objects[fields[0x5C]] = fields[0x53]
        else:
            self.objects.pop(fields[0x5C], None)
        return 0x9000

    def _attest(self, slot, _, __):
        if slot not in self.keys:
            return 0x6A88
        extensions = (
            ("1.3.6.1.4.1.41482.3.3", bytes(FIRMWARE)),
            ("1.3.6.1.4.1.41482.3.7", tlv(0x02, SERIAL.to_bytes(4, "big"))),
            ("1.3.6.1.4.1.41482.3.8", b"\x02\x01"),
        )
        public = self.keys[slot][1].public_key()
        made = _issue(
            f"Attestation {slot:02x}", public, "Attestation F9", self.f9, ca=False, extensions=extensions
        )
        return made.public_bytes(Encoding.DER)

    def _delete(self, destination, slot, _):
        if not self.authenticated or destination != 0xFF:
            return 0x6982
        del self.keys[slot]
        return 0x9000


class _Connection:
    """A connection to the card: dead for good once the card was pulled."""

    def __init__(self, bench):
        self._bench = bench
        self._life = bench.life

    def transmit(self, apdu):
        with self._bench.card.lock:
            if self._bench.card.pulled or self._life != self._bench.life:
                raise TokenGone("no card")
            return self._bench.card.apdu(apdu)

    @contextlib.contextmanager
    def transaction(self):
        with self._bench.card.lock:
            yield

    def close(self):
        self._life = -1


@dataclass
class PivBench:
    """A card, and a hand that plugs it in and pulls it."""

    card: Card
    life: int = 0

    @classmethod
    def make(cls):
        return cls(Card())

    def connect(self):
        if self.card.pulled:
            raise TokenGone("the YubiKey is not plugged in")
        return _Connection(self)

    def pull(self):
        self.card.pulled = True
        self.life += 1

    def put_back(self):
        self.card.power_off()
        self.life += 1
        self.card.pulled = False

    def open(self, pin, namespace, **settings):
        known = {"management_key": Secret(MANAGEMENT_KEY), "trusted": (self.card.root,)}
        return PivProvider(
            connect=self.connect, pin=Secret(pin), namespace=namespace, **{**known, **settings}
        )
